//! Manual pages and completions, by the programs that read them.

use std::fs;
use std::process::Command;

use rexpect::session::PtySession;
use tempfile::TempDir;

use super::common::{WAIT_MAX, loopline, output, without_options};
use super::is_missing;

fn generate(arguments: &[&str]) -> String {
    let output = output(loopline().arg("generate").args(arguments));
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The pages in a new folder, and their names.
fn pages() -> (TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    generate(&["man", folder.path().join("new").to_str().unwrap()]);
    let files = fs::read_dir(folder.path().join("new")).unwrap();
    let mut names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    (folder, names)
}

#[test]
fn each_command_has_a_page_and_a_page_names_only_pages_that_exist() {
    let (folder, names) = pages();
    let commands = ["-client", "-compare", "-doctor", "-journal-cat", "-journal", "-load", "-serve", ""];
    assert_eq!(names, commands.map(|command| format!("loopline{command}.1")));
    for name in &names {
        let page = fs::read_to_string(folder.path().join("new").join(name)).unwrap();
        let (_, related) = page.split_once(".SH \"SEE ALSO\"").expect(name);
        let related = related.replace("\\fB", "").replace("\\fR", "").replace("\\-", "-");
        for line in related.lines().filter(|line| line.contains('(')) {
            let file = line.trim_end_matches(',').replace("(1)", ".1");
            assert!(names.contains(&file) && file != *name, "{name} names {file}");
        }
        assert!(!page.contains("generate"), "{name}");
    }
}

#[test]
fn pages_are_the_same_each_time() {
    let [(first, names), (second, _)] = [pages(), pages()];
    for name in names {
        let [first, second] =
            [&first, &second].map(|folder| fs::read(folder.path().join("new").join(&name)).unwrap());
        assert_eq!(first, second, "{name}");
    }
}

#[test]
fn man_shows_each_page_without_a_warning() {
    if is_missing("man") {
        return;
    }
    let (folder, names) = pages();
    for name in names {
        let mut man = Command::new("man");
        man.args(["--warnings", "--encoding=UTF-8", "--local-file"])
            .arg(folder.path().join("new").join(&name));
        let output = output(man.env("MANWIDTH", "100").env("LC_ALL", "C.UTF-8"));
        let warnings = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && warnings.is_empty(), "{name}: {warnings}");
        let text = String::from_utf8(output.stdout).unwrap();
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "ENVIRONMENT", "SEE ALSO"] {
            assert!(text.contains(&format!("\n{section}\n")), "{name} has no {section}:\n{text}");
        }
    }
}

#[test]
fn a_page_has_the_exit_statuses_of_its_command() {
    let (folder, _) = pages();
    let page = fs::read_to_string(folder.path().join("new/loopline-serve.1")).unwrap();
    let (_, statuses) = page.split_once(".SH \"EXIT STATUS\"\n").unwrap();
    let (statuses, _) = statuses.split_once(".SH").unwrap();
    let expected = ".TP\n\\fB0\\fR\na signal stopped it\n.TP\n\\fB1\\fR\nit could not start, or failed\n.TP\n\\fB2\\fR\nusage \
                    error\n.TP\n\\fB74\\fR\nthe journal can no longer be written\n";
    assert_eq!(statuses, expected);
}

#[test]
fn the_command_is_not_listed_and_an_error_is_one_line() {
    let help = output(loopline().arg("--help"));
    assert!(!String::from_utf8(help.stdout).unwrap().contains("generate"));
    let failed = output(loopline().args(["generate", "man", "/dev/null/pages"]));
    assert_eq!(failed.status.code(), Some(1));
    let error = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(error, "loopline: /dev/null/pages: cannot be written: Not a directory (os error 20)\n");
    let failed = output(loopline().args(["generate", "completions", "tcsh"]));
    assert_eq!(failed.status.code(), Some(2));
}

/// What the completions must suggest, and at least what else, after each beginning of a command line.
const LINES: [(&str, &[&str]); 3] = [
    ("loopline ", &["client", "compare", "doctor", "journal", "load", "serve"]),
    ("loopline serve --drain-", &["--drain-timeout"]),
    ("loopline serve --ack ", &["received", "synced", "written"]),
];

#[test]
fn bash_completes_commands_options_and_values() {
    if is_missing("bash") {
        return;
    }
    let script = generate(&["completions", "bash"]);
    // As the shell calls the function that the script registers.
    let call = r#"
        compopt() { :; }
        read -r _ _ _ _ _ _ _ _ function _ < <(complete -p loopline)
        complete -p loopline | grep -q -- '-F _loopline '
        read -ra COMP_WORDS <<<"$LINE"; [[ $LINE != *' ' ]] || COMP_WORDS+=('')
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
        _loopline loopline "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut lines = LINES.to_vec();
    lines.push(("loopline client m", &["message", "month"]));
    for (line, expected) in lines {
        let mut bash = without_options("bash");
        let output = output(bash.args(["--norc", "-ec", &format!("{script}\n{call}")]).env("LINE", line));
        assert_suggests(line, expected, &output);
    }
}

#[test]
fn fish_completes_commands_options_and_values() {
    if is_missing("fish") {
        return;
    }
    let script = generate(&["completions", "fish"]);
    for (line, expected) in LINES {
        let home = tempfile::tempdir().unwrap();
        let mut fish = without_options("fish");
        fish.args(["--no-config", "-c", &format!("{script}\ncomplete -C \"$LINE\"")]);
        let output = output(fish.env("LINE", line).env("HOME", home.path()));
        assert_suggests(line, expected, &output);
    }
}

fn assert_suggests(line: &str, expected: &[&str], output: &std::process::Output) {
    assert!(output.status.success() && output.stderr.is_empty(), "{line}: {output:?}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let suggested: Vec<&str> = text.lines().filter_map(|line| line.split('\t').next()).collect();
    for word in expected {
        assert!(suggested.contains(word), "after '{line}', {word} is not suggested: {suggested:?}");
    }
    assert!(!suggested.contains(&"generate"), "{suggested:?}");
}

/// It has no command that returns what it suggests, so a terminal shows it.
#[test]
fn zsh_completes_commands_options_and_values() {
    if is_missing("zsh") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("_loopline"), generate(&["completions", "zsh"])).unwrap();
    let mut zsh = without_options("zsh");
    zsh.args(["-f", "-i"]).current_dir(folder.path()).env("TERM", "xterm");
    let timeout_ms = u64::try_from(WAIT_MAX.as_millis()).ok();
    let mut zsh: PtySession = rexpect::session::spawn_command(zsh, timeout_ms).unwrap();
    // Each suggestion is a line, in brackets that the typed text does not have.
    zsh.send_line(
        "PS1=; unsetopt zle_bracketed_paste; fpath=($PWD $fpath); autoload -Uz compinit && compinit -u -D",
    )
    .unwrap();
    zsh.send_line("zstyle ':completion:*' verbose no; LISTMAX=1000; print loa''ded").unwrap();
    zsh.exp_string("loaded").unwrap();
    let lines = LINES.into_iter().chain([("loopline client m", &["message", "month"][..])]);
    for (line, expected) in lines {
        zsh.send(line).unwrap();
        zsh.send("\t\t").unwrap();
        zsh.flush().unwrap();
        for word in expected {
            zsh.exp_string(word).unwrap();
        }
        // Deletes the line.
        zsh.send_control('u').unwrap();
    }
    zsh.send_line("exit").unwrap();
    zsh.exp_eof().unwrap();
}
