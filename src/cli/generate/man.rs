//! Manual pages: one for the program, and one for each subcommand.
//!
//! They have no date, so that they depend on nothing but the definition of the arguments.

use std::path::Path;
use std::{fs, iter};

use clap::Command;
use clap_mangen::Man;
use roff::{Roff, bold, roman};

use crate::report::output_file::{OutputFile, WriteError};

/// Writes the pages of `program` to `folder`.
pub(super) fn write(program: Command, folder: &Path) -> Result<(), WriteError> {
    fs::create_dir_all(folder).map_err(|error| WriteError::at(folder, error))?;
    for (name, page) in pages(program) {
        OutputFile::open(&folder.join(name))?.write(&page)?;
    }
    Ok(())
}

/// The name and the text of each page.
fn pages(program: Command) -> Vec<(String, String)> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    add_pages(&program, None, &mut pages);
    pages
}

fn add_pages(command: &Command, parent: Option<&Command>, pages: &mut Vec<(String, String)>) {
    pages.push((format!("{}.1", page_name(command)), page(command, parent)));
    for subcommand in visible_subcommands(command) {
        add_pages(subcommand, Some(command), pages);
    }
}

fn visible_subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set())
}

/// The name of the page of `command`: `loopline-journal-cat`.
fn page_name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command, parent: Option<&Command>) -> String {
    let man = Man::new(command.clone())
        .title(page_name(command).to_uppercase())
        .source(concat!("loopline ", env!("CARGO_PKG_VERSION")))
        .manual("loopline");
    let mut page = Vec::new();
    let has_subcommands = visible_subcommands(command).next().is_some();
    let mut rendered = man
        .render_title(&mut page)
        .and_then(|()| man.render_name_section(&mut page))
        .and_then(|()| man.render_synopsis_section(&mut page))
        .and_then(|()| man.render_description_section(&mut page))
        .and_then(|()| man.render_options_section(&mut page));
    if has_subcommands {
        rendered = rendered.and_then(|()| man.render_subcommands_section(&mut page));
    }
    rendered.expect("memory can be written");
    let mut page = String::from_utf8(page).expect("names and help are UTF-8");
    page.push_str(&further_sections(command, parent).render());
    page
}

/// The sections that `clap_mangen` does not have.
fn further_sections(command: &Command, parent: Option<&Command>) -> Roff {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let paragraphs: Vec<(&str, &str)> =
        help.split("\n\n").map(str::trim_end).filter(|text| !text.is_empty()).map(section_of).collect();
    let of = |section: &str| -> Vec<&str> {
        paragraphs.iter().filter(|(name, _)| *name == section).map(|(_, text)| *text).collect()
    };
    let mut roff = Roff::new();
    for statuses in of(EXIT_STATUS) {
        roff.control("SH", [EXIT_STATUS]);
        add_statuses(statuses, &mut roff);
    }
    add_list("ENVIRONMENT", VARIABLES, &mut roff);
    if let Some((_, files)) = FILES.iter().find(|(page, _)| *page == page_name(command)) {
        add_list("FILES", files, &mut roff);
    }
    for section in [NOTES, EXAMPLES] {
        for (index, text) in of(section).into_iter().enumerate() {
            if index == 0 {
                roff.control("SH", [section])
            } else {
                roff.control("PP", [])
            };
            add_paragraph(text, &mut roff);
        }
    }
    add_related(command, parent, &mut roff);
    roff
}

const EXIT_STATUS: &str = "EXIT STATUS";
const NOTES: &str = "NOTES";
const EXAMPLES: &str = "EXAMPLES";

/// The section of a paragraph of the help, and its text without what names the section.
fn section_of(paragraph: &str) -> (&'static str, &str) {
    for (prefix, section) in [("Exit status: ", EXIT_STATUS), ("Examples:\n", EXAMPLES)] {
        if let Some(text) = paragraph.strip_prefix(prefix) {
            return (section, text);
        }
    }
    (NOTES, paragraph)
}

fn add_list(section: &str, items: &[(&str, &str)], roff: &mut Roff) {
    roff.control("SH", [section]);
    for (name, text) in items {
        roff.control("TP", []);
        roff.text([bold(*name)]);
        roff.text([roman(*text)]);
    }
}

/// The pages of the other commands of `parent`, and of the subcommands.
fn add_related(command: &Command, parent: Option<&Command>, roff: &mut Roff) {
    let others = parent.into_iter().flat_map(|parent| iter::once(parent).chain(visible_subcommands(parent)));
    let mut names: Vec<&str> = others.chain(visible_subcommands(command)).map(page_name).collect();
    names.retain(|name| *name != page_name(command));
    names.sort_unstable();
    roff.control("SH", ["SEE ALSO"]);
    for (index, name) in names.iter().enumerate() {
        let comma = if index + 1 == names.len() { "" } else { "," };
        roff.text([bold(*name), roman(format!("(1){comma}"))]);
    }
}

/// A paragraph, in which indented lines are a table.
fn add_paragraph(text: &str, roff: &mut Roff) {
    let mut is_table = false;
    for line in text.lines() {
        if line.starts_with("  ") != is_table {
            is_table = !is_table;
            roff.control(if is_table { "EX" } else { "EE" }, []);
        }
        roff.text([roman(line)]);
    }
    if is_table {
        roff.control("EE", []);
    }
}

/// `0 done; 1 it failed`, with each number as an item of a list.
fn add_statuses(text: &str, roff: &mut Roff) {
    let mut items: Vec<String> = Vec::new();
    for part in text.split("; ") {
        match items.last_mut() {
            Some(item) if !part.starts_with(|first: char| first.is_ascii_digit()) => {
                item.push_str("; ");
                item.push_str(part);
            }
            _ => items.push(part.into()),
        }
    }
    for item in items {
        let (status, meaning) = item.split_once(' ').unwrap_or((&item, ""));
        roff.control("TP", []);
        roff.text([bold(status)]);
        // The last of phrases, not a sentence.
        let phrase = meaning.strip_suffix('.').filter(|phrase| !phrase.contains(". "));
        roff.text([roman(phrase.unwrap_or(meaning))]);
    }
}

/// What each page lists. The variables of options are with the options.
const VARIABLES: &[(&str, &str)] = &[
    (
        "LOOPLINE_COMMAND_OPTION",
        "The value of an option of a command, as in LOOPLINE_SERVE_MAX_MESSAGE; true for one without a value. Arguments \
         take precedence. --log of all commands is LOOPLINE_LOG.",
    ),
    ("NO_COLOR", "If it is set, nothing is printed in color."),
];

/// The files of a page.
const FILES: &[(&str, &[(&str, &str)])] = &[(
    "loopline-serve",
    &[
        ("/etc/default/loopline", "Options of the service that the Debian package installs, as variables."),
        ("/var/lib/loopline/journal", "The journal of that service."),
    ],
)];
