//! `journal cat`: the messages of a journal as they were received.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cli::lines::print_error;
use crate::journal::Entry;

#[derive(Debug, Args)]
#[command(subcommand_value_name = "COMMAND")]
pub(super) struct JournalArguments {
    #[command(subcommand)]
    command: JournalCommand,
}

#[derive(Debug, Subcommand)]
enum JournalCommand {
    /// Print the messages of a journal as they were received
    Cat(CatArguments),
}

const CAT_HELP: &str = "\
Each message is printed as the bytes that were received, followed by a line feed. Journals of both formats are read. A message can contain line feeds: \
--null and --json keep such messages apart.\n
Exit status: 0 every line was printed; 1 a line is not one of a journal, or reading or writing failed; 2 usage error.";

#[derive(Debug, Args)]
#[command(after_help = CAT_HELP)]
struct CatArguments {
    /// Journal file, or standard input ('-')
    #[arg(value_name = "FILE|-")]
    file: PathBuf,

    /// Print a NUL byte after each message instead of a line feed
    #[arg(short = '0', long, conflicts_with = "json", env = "LOOPLINE_JOURNAL_NULL")]
    null: bool,

    /// Print each message as a JSON object in one line
    #[arg(long, env = "LOOPLINE_JOURNAL_JSON")]
    json: bool,
}

/// How a message is printed.
#[derive(Debug, Clone, Copy)]
enum Form {
    Raw { separator: u8 },
    Json,
}

pub(super) fn run(arguments: &JournalArguments) -> ExitCode {
    let JournalCommand::Cat(CatArguments { file, null, json }) = &arguments.command;
    let form = if *json { Form::Json } else { Form::Raw { separator: if *null { 0 } else { b'\n' } } };
    let is_stdin = file == Path::new("-");
    let printed = if is_stdin {
        print(io::stdin().lock(), io::stdout().lock(), form)
    } else {
        File::open(file)
            .map_err(|error| Failure::Line(format!("cannot be opened: {error}")))
            .and_then(|file| print(BufReader::new(file), io::stdout().lock(), form))
    };
    match printed {
        Ok(()) => return ExitCode::SUCCESS,
        // An error message would be noise.
        Err(Failure::ReaderGone) => {}
        Err(Failure::Output(error)) => {
            print_error(&format!("standard output: cannot be written: {error}"));
        }
        Err(Failure::Line(error)) => {
            let name = if is_stdin { "standard input".into() } else { file.display().to_string() };
            print_error(&format!("{name}: {error}"));
        }
    }
    ExitCode::FAILURE
}

/// Why not every message was printed.
#[derive(Debug)]
enum Failure {
    /// The journal cannot be read, or a line is not one of a journal.
    Line(String),
    Output(io::Error),
    ReaderGone,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::ReaderGone } else { Self::Output(error) }
    }
}

/// Prints the messages of `journal`, up to the first line that is not one of a journal.
fn print(mut journal: impl BufRead, output: impl Write, form: Form) -> Result<(), Failure> {
    let mut output = BufWriter::new(output);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let failed = |why: &dyn std::fmt::Display| Failure::Line(format!("line {number}: {why}"));
        let read = journal.read_until(b'\n', &mut line);
        let is_whole = line.last() == Some(&b'\n');
        line.truncate(line.len() - usize::from(is_whole));
        let entry = match read {
            Ok(0) => break,
            // A server writes one if it cannot read the end of its standard output.
            Ok(_) if is_whole && line.is_empty() => continue,
            Ok(_) if is_whole => Entry::parse(&line).map_err(|error| failed(&error)),
            Ok(_) => Err(failed(&"it is incomplete: it has no line break")),
            Err(error) => Err(failed(&format_args!("cannot be read: {error}"))),
        };
        match entry {
            Ok(entry) => write(&entry, &mut output, form)?,
            Err(failure) => {
                output.flush()?;
                return Err(failure);
            }
        }
    }
    Ok(output.flush()?)
}

fn write(entry: &Entry, output: &mut impl Write, form: Form) -> io::Result<()> {
    match form {
        Form::Raw { separator } => {
            output.write_all(&entry.message)?;
            output.write_all(&[separator])
        }
        Form::Json => {
            serde_json::to_writer(&mut *output, &entry.to_json())?;
            output.write_all(b"\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = concat!(
        r#"{"time":"2026-11-22T06:04:30.123Z","peer":"1.2.3.4:5","service":"message","text":"one\ntwo"}"#,
        "\n",
        r#"{"time":"2026-11-22T06:04:30.124Z","peer":"[::1]:5","service":"reply","base64":"/wA="}"#,
        "\n",
    );

    const JOURNAL: &[u8] = b"[1.2.3.4:5] one\\ntwo\n[[::1]:5] \n[1.2.3.4:5] \\xff\\u{0}\n";

    fn printed(journal: &[u8], form: Form) -> (Vec<u8>, Result<(), Failure>) {
        let mut output = Vec::new();
        let outcome = print(journal, &mut output, form);
        (output, outcome)
    }

    #[test]
    fn messages_are_printed_as_they_were_received() {
        let (output, outcome) = printed(JOURNAL, Form::Raw { separator: 0 });
        assert!(outcome.is_ok());
        assert_eq!(output, b"one\ntwo\0\0\xff\0\0");
        assert_eq!(printed(b"", Form::Json).0, b"");
    }

    #[test]
    fn a_message_as_json_is_text_or_base64() {
        let (output, outcome) = printed(JOURNAL, Form::Json);
        assert!(outcome.is_ok());
        let expected = concat!(
            "{\"peer\":\"1.2.3.4:5\",\"text\":\"one\\ntwo\"}\n",
            "{\"peer\":\"[::1]:5\",\"text\":\"\"}\n",
            "{\"peer\":\"1.2.3.4:5\",\"base64\":\"/wA=\"}\n",
        );
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }

    #[test]
    fn a_journal_in_json_is_printed_as_it_is_or_as_messages() {
        let (output, outcome) = printed(JSON.as_bytes(), Form::Json);
        assert!(outcome.is_ok());
        assert_eq!(String::from_utf8(output).unwrap(), JSON);
        assert_eq!(printed(JSON.as_bytes(), Form::Raw { separator: 0 }).0, b"one\ntwo\0\xff\0\0");
    }

    #[test]
    fn each_line_of_a_file_has_its_own_format() {
        let mixed = [JOURNAL, JSON.as_bytes(), JOURNAL].concat();
        let (output, outcome) = printed(&mixed, Form::Raw { separator: b'|' });
        assert!(outcome.is_ok());
        assert_eq!(output, b"one\ntwo||\xff\0|one\ntwo|\xff\0|one\ntwo||\xff\0|");
        // A message of a text journal that looks like a line of JSON, and the other way round.
        for line in [&b"[1.2.3.4:5] {\"time\":0}\n"[..], b"[1.2.3.4:5] [1.2.3.4:5] x\n"] {
            let (output, _) = printed(line, Form::Raw { separator: b'\n' });
            assert_eq!(output, line[12..]);
        }
    }

    #[test]
    fn an_error_names_the_line_and_follows_the_messages_before_it() {
        for (last, error) in [
            (&b"hello\n[1.2.3.4:5] after\n"[..], "line 2: it does not begin with the address of a sender"),
            (b"[1.2.3.4:5] \\q\n", "line 2: a backslash in it does not begin an escape"),
            (b"{\"peer\":\"1.2.3.4:5\"}\n", "line 2: it is not an object of JSON with 'time'"),
            (b"[1.2.3.4:5] torn", "line 2: it is incomplete: it has no line break"),
            (b"\nhello\n", "line 3: it does not begin"),
            (b"\0\0\0", "line 2: it is incomplete"),
        ] {
            let (output, outcome) =
                printed(&[b"[1.2.3.4:5] first\n", last].concat(), Form::Raw { separator: b'\n' });
            assert_eq!(output, b"first\n");
            let Err(Failure::Line(line)) = outcome else { panic!("{outcome:?}") };
            assert!(line.starts_with(error), "{line}");
        }
    }
}
