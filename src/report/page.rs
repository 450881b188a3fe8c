//! A self-contained HTML page for results, in light or dark colors.
//!
//! It loads nothing. Its one script shows the values of plots under the pointer, and all else is there without it.
//! Its parts are text, numbers and plots, never HTML from outside.

mod figure;
mod hover;
mod picture;
mod style;
mod table;

pub(crate) use picture::picture;
pub(crate) use style::CSS as STYLE;
pub(crate) use table::{Column, Table};

use crate::report::html::{element, of_text, text};
use crate::report::plot::Plot;
use crate::report::run_info::RunInfo;
use figure::figure;
use table::table;

/// A page under construction, from the top down.
#[derive(Debug)]
pub(crate) struct Page {
    title: String,
    body: String,
}

/// A highlighted number.
#[derive(Debug)]
pub(crate) struct Card {
    /// The name of the number.
    pub name: &'static str,
    /// The number, with its unit.
    pub value: String,
    /// A note in small letters.
    pub note: String,
}

/// The meaning of a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// The results are reliable.
    Good,
    /// The results are misleading without this note.
    Warning,
}

impl Page {
    /// A page with a heading and a subtitle.
    #[must_use]
    pub(crate) fn new(title: &str, subtitle: &str) -> Self {
        let heading = of_text("h1", title) + &of_text("p class=\"subtitle\"", subtitle);
        Self { title: title.into(), body: element("header", &heading) }
    }

    /// When, where and how the program was run.
    pub(crate) fn run(&mut self, info: &RunInfo) {
        let processors = info.processors.map(|count| match count {
            1 => "1 processor".into(),
            more => format!("{more} processors"),
        });
        let started = info.started_at.to_string().replacen('T', " ", 1);
        let second = started.split('.').next().unwrap_or(&started);
        let facts = [
            Some(format!("{second} UTC")),
            Some(info.host.clone()),
            Some(format!("Linux {}", info.kernel)),
            processors,
        ];
        let facts: Vec<String> = facts.into_iter().flatten().collect();
        self.push(&of_text("p class=\"run\"", &facts.join(" · ")));
        let words: Vec<String> = info.command_line.iter().map(|word| shell_word(word)).collect();
        self.push(&element("p class=\"run\"", &of_text("code", &words.join(" "))));
    }

    /// A box with a summary in bold and the reason for it.
    pub(crate) fn note(&mut self, tone: Tone, summary: &str, reason: &str) {
        let start = match tone {
            Tone::Good => "p class=\"note good\"",
            Tone::Warning => "p class=\"note warning\" role=\"alert\"",
        };
        self.push(&element(start, &format!("{} {}", of_text("strong", summary), text(reason))));
    }

    /// Highlighted numbers, side by side.
    pub(crate) fn cards(&mut self, cards: &[Card]) {
        let card = |card: &Card| {
            let value = of_text("dd class=\"value\"", &card.value);
            let note = of_text("dd class=\"small\"", &card.note);
            element("div", &(of_text("dt", card.name) + &value + &note))
        };
        self.push(&element("dl class=\"cards\"", &cards.iter().map(card).collect::<String>()));
    }

    /// A heading, and a paragraph below it.
    pub(crate) fn section(&mut self, heading: &str, explanation: &str) {
        self.push(&of_text("h2", heading));
        self.paragraph(explanation);
    }

    /// The main result, in larger letters, unless it is empty.
    pub(crate) fn lead(&mut self, content: &str) {
        if !content.is_empty() {
            self.push(&of_text("p class=\"lead\"", content));
        }
    }

    /// A paragraph, unless it is empty.
    pub(crate) fn paragraph(&mut self, content: &str) {
        if !content.is_empty() {
            self.push(&of_text("p class=\"prose\"", content));
        }
    }

    /// Plots side by side, each with a note.
    pub(crate) fn plots(&mut self, plots: &[(Plot, &str)]) {
        let figures: Vec<_> = plots.iter().map(|(plot, note)| figure(plot, note)).collect();
        self.push(&element("div class=\"pair\"", &figures.join("\n")));
    }

    /// A plot with a note, and a table at its right.
    pub(crate) fn plot_and_table(&mut self, (plot, note): &(Plot, &str), of: &Table<'_>) {
        self.push(&element("div class=\"pair\"", &(figure(plot, note) + "\n" + &table(of))));
    }

    /// A table as wide as the page; a wider one scrolls.
    pub(crate) fn table(&mut self, of: &Table<'_>) {
        self.push(&table(of));
    }

    /// Tables side by side.
    pub(crate) fn tables(&mut self, tables: &[Table<'_>]) {
        self.push(&element("div class=\"pair\"", &tables.iter().map(table).collect::<String>()));
    }

    /// A part that is shown when the reader opens it by its `name`.
    pub(crate) fn folded(&mut self, name: &str, write: impl FnOnce(&mut Self)) {
        let outside = std::mem::take(&mut self.body);
        write(self);
        let inside = std::mem::replace(&mut self.body, outside);
        self.push(&element("details", &(of_text("summary", name) + &inside)));
    }

    /// The whole page, with `footer` at its end.
    #[must_use]
    pub(crate) fn finish(mut self, footer: &str) -> String {
        self.push(&of_text("footer", footer));
        let head = format!(
            "<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n\
             {}\n{}\n",
            hover::POLICY,
            of_text("title", &self.title),
            element("style", style::CSS)
        );
        let body = element("body", &(element("main", &self.body) + &element("script", hover::SCRIPT)));
        format!("<!doctype html>\n<html lang=\"en\">\n{}\n{body}\n</html>\n", element("head", &head))
    }

    fn push(&mut self, html: &str) {
        self.body.push('\n');
        self.body.push_str(html);
    }
}

/// `word` as it is typed in a shell.
fn shell_word(word: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_-./:=,@%+".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Writes `page` as `name` into the folder `LOOPLINE_SAMPLE_PAGES`, if that is set, for a check in a browser.
#[cfg(test)]
pub(crate) fn write_sample(name: &str, page: &str) {
    if let Ok(folder) = std::env::var("LOOPLINE_SAMPLE_PAGES") {
        std::fs::write(std::path::Path::new(&folder).join(name), page).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::html::mismatched_tag;
    use crate::report::plot::{Axis, COLORS, Point, Scale, Series, Stroke};

    fn page() -> String {
        let mut page = Page::new("a <title>", "below & beside");
        page.note(Tone::Warning, "Not \"valid\".", "<script>alert(1)</script>");
        page.cards(&[Card { name: "rate", value: "1 < 2".into(), note: "'".into() }]);
        page.section("Plots", "");
        let y = Axis::numbers("y", Scale::Linear);
        let series = vec![Series::new("<name>", [(0.0, Some(1.0)), (1.0, Some(2.0))])];
        page.plots(&[(Plot::new("p", Axis::time("x"), y, series), "<note>")]);
        let columns = vec![Column::Text("what"), Column::Numbers("n<"), Column::Text("why")];
        let rows = vec![vec!["<td>".into(), "1".into(), "&amp;".into()]];
        page.table(&Table { title: "<caption>", columns, rows, note: "" });
        page.finish("<footer>")
    }

    #[test]
    fn what_is_shown_is_text() {
        let page = page();
        assert_eq!(mismatched_tag(&page), None);
        for markup in ["<script>alert", "<name>", "<note>"] {
            assert!(!page.contains(markup), "{markup}: {page}");
        }
        assert!(page.contains("<th scope=\"row\">&lt;td&gt;</th>"), "{page}");
        assert!(page.contains("<td class=\"text\">&amp;amp;</td>"), "{page}");
    }

    /// What two servers do as connections grow: the other kind of plot.
    #[test]
    fn marks_with_error_bars_have_a_page_to_be_looked_at() {
        let server = |name: &str, falls: f64| {
            let rates = [1.0, 10.0, 100.0, 1_000.0, 10_000.0f64].map(|connections| {
                let y = 140_000.0 / (1.0 + 5.0 / connections + connections * falls);
                Point { x: connections, y: Some(y), spread: Some((y * 0.85, y * 1.1)) }
            });
            Series { points: rates.to_vec(), ..Series::new(name, []) }.drawn(Stroke::Marked)
        };
        let connections = Axis::numbers("connections", Scale::Log);
        let mut page = Page::new("two servers", "as connections grow");
        let plots = [Scale::Log, Scale::Linear].map(|scale| {
            let y = Axis::numbers("messages a second", scale);
            let mut series = vec![server("loop", 1e-5), server("threads", 4e-4)];
            series[1].points.pop();
            (Plot::new("Throughput", connections, y, series), "")
        });
        page.plots(&plots);
        let page = page.finish("");
        // The marks of each series have their own shape, and so have their keys in the legend.
        assert_eq!(page.matches("<circle").count(), 2 * (5 + 1));
        assert_eq!(page.matches("<polygon").count(), 2 * (4 + 1));
        write_sample("servers.html", &page);
    }

    #[test]
    fn a_page_loads_nothing() {
        let page = page();
        for loads in
            ["http:", "https:", "\"//", "src=", "href=", "url(", "@import", "import(", "fetch", "<link"]
        {
            assert!(!page.contains(loads), "{loads}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn the_only_script_is_the_one_that_the_policy_allows() {
        let page = page();
        assert_eq!(page.matches("<script").count(), 1);
        assert!(page.contains(&element("script", hover::SCRIPT)), "{page}");
        let tags = page.split('<').filter_map(|tag| tag.split('>').next());
        let handlers = tags
            .flat_map(|tag| tag.split(' ').skip(1))
            .filter(|it| it.starts_with("on") && it.contains("=\""));
        assert_eq!(handlers.collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn a_page_names_when_where_and_how_it_was_made() {
        let mut page = Page::new("title", "");
        let mut info = RunInfo::sample();
        info.command_line.extend(["it's".into(), String::new(), "<b>".into()]);
        page.run(&info);
        let page = page.finish("");
        for part in [
            "2026-11-21 20:17:46 UTC",
            "host.example",
            "Linux 6.12.0",
            "2 processors",
            "<code>loopline load message -d 10s &#39;it&#39;\\&#39;&#39;s&#39; &#39;&#39; &#39;&lt;b&gt;&#39;</code>",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }

    #[test]
    fn a_legend_names_only_the_lines_that_are_drawn() {
        let y = Axis::numbers("y", Scale::Log);
        let line = |name: &str, value| Series::new(name, [(0.0, value), (1.0, value)]);
        let series = vec![line("none", None), line("zero", Some(0.0)), line("one", Some(1.0))];
        let mut page = Page::new("title", "");
        page.plots(&[(Plot::new("p", Axis::time("x"), y, series), "")]);
        let page = page.finish("");
        assert!(
            page.contains("</svg>one</li>") && !page.contains("none</li>") && !page.contains("zero</li>"),
            "{page}"
        );
        assert!(page.contains("aria-label=\"p: one\""), "{page}");
        assert!(page.contains("stroke=\"var(--series-3)\""), "a line keeps its color: {page}");
    }

    #[test]
    fn a_part_of_a_page_can_be_folded() {
        let mut page = Page::new("title", "");
        page.folded("More", |page| page.paragraph("inside"));
        page.paragraph("outside");
        let page = page.finish("");
        assert!(
            page.contains("<details><summary>More</summary>\n<p class=\"prose\">inside</p></details>"),
            "{page}"
        );
        assert_eq!(mismatched_tag(&page), None);
    }

    #[test]
    fn every_color_of_a_plot_is_defined_in_light_and_in_dark() {
        for number in 1..=COLORS {
            assert_eq!(style::CSS.matches(&format!("--series-{number}:")).count(), 2);
        }
        for name in ["--plot-text:", "--plot-grid:", "--plot-axis:"] {
            assert_eq!(style::CSS.matches(name).count(), 2, "{name}");
        }
    }
}
