//! The texts to send: from the options, or from lines of input. It knows no server.

use std::io::{BufRead, BufReader, Read, Write};
use std::slice;

use super::error::{Failure, Unsent};
use super::prompt::Prompt;

/// Maximum size of a line in bytes, without its end.
const LINE_BYTES_MAX: usize = 16 << 20;

/// Texts in the order in which they are sent.
pub(super) enum Texts<'a> {
    /// From the options.
    Given(slice::Iter<'a, String>),
    /// Each read after the reply to the one before.
    Typed(Lines<'a>),
    /// The same, edited on a terminal.
    Edited(Box<Prompt>),
}

impl Texts<'_> {
    /// The next text; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<String>, Failure> {
        match self {
            Self::Given(texts) => Ok(texts.next().cloned()),
            Self::Typed(lines) => lines.next(),
            Self::Edited(prompt) => prompt.next(),
        }
    }

    /// The texts after the last that was returned. Of input, those that have been read already: nothing is
    /// read here, so that a conversation that has ended does not wait for a terminal or a pipe.
    pub(super) fn unsent(&self) -> Option<Unsent> {
        match self {
            Self::Given(texts) => Unsent::of(texts.as_slice().iter().map(String::as_bytes)),
            Self::Edited(_) => None,
            Self::Typed(lines) => {
                let read = lines.input.buffer().split_inclusive(|byte| *byte == b'\n');
                Unsent::of(read.map(|line| {
                    let text = line.strip_suffix(b"\n").unwrap_or(line);
                    text.strip_suffix(b"\r").unwrap_or(text)
                }))
            }
        }
    }

    /// The outcome of a conversation that the farewell `text` has ended: a failure if texts follow it.
    pub(super) fn ended_by(&self, text: String) -> Result<(), Failure> {
        if self.unsent().is_some() { Err(Failure::EndedByText(text)) } else { Ok(()) }
    }
}

/// Lines of input, each a text. A line ends with LF or CR LF, which are not part of it; the last may have no
/// end. Input is read in blocks, ahead of the lines that are sent.
pub struct Lines<'a> {
    input: BufReader<&'a mut dyn Read>,
    prompt: Option<&'a mut dyn Write>,
    line: u64,
}

impl<'a> Lines<'a> {
    /// Reads from `input`; writes `> ` to `prompt`, if there is one, before each line.
    pub fn new(input: &'a mut dyn Read, prompt: Option<&'a mut dyn Write>) -> Self {
        Self { input: BufReader::new(input), prompt, line: 0 }
    }

    fn next(&mut self) -> Result<Option<String>, Failure> {
        self.line += 1;
        self.show("> ");
        let mut line = Vec::new();
        let with_line_end = LINE_BYTES_MAX as u64 + 2;
        (&mut self.input).take(with_line_end).read_until(b'\n', &mut line).map_err(Failure::Input)?;
        if line.is_empty() {
            // At the end of the input a terminal's cursor is still in the line of the prompt.
            self.show("\n");
            return Ok(None);
        }
        if line.ends_with(b"\n") {
            line.pop();
            if line.ends_with(b"\r") {
                line.pop();
            }
        }
        if line.len() > LINE_BYTES_MAX {
            // What has been read after it is the rest of this line, not a text.
            self.input.consume(self.input.buffer().len());
            return Err(Failure::LineTooLong { line: self.line, bytes_max: LINE_BYTES_MAX });
        }
        match String::from_utf8(line) {
            Ok(text) => Ok(Some(text)),
            Err(error) => {
                Err(Failure::LineNotUtf8 { line: self.line, position: error.utf8_error().valid_up_to() })
            }
        }
    }

    /// Writes to the prompt; errors are ignored.
    fn show(&mut self, text: &str) {
        if let Some(prompt) = &mut self.prompt {
            let _ = prompt.write_all(text.as_bytes()).and_then(|()| prompt.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn read_all(mut input: impl Read) -> Result<Vec<String>, Failure> {
        let mut lines = Lines::new(&mut input, None);
        let mut texts = Vec::new();
        while let Some(text) = lines.next()? {
            texts.push(text);
        }
        Ok(texts)
    }

    #[test]
    fn a_text_is_a_line_without_its_end() {
        assert_eq!(read_all(&b"one\r\n\n two\rtwo \nlast"[..]).unwrap(), ["one", "", " two\rtwo ", "last"]);
        assert_eq!(read_all(&b"last\n"[..]).unwrap(), ["last"]);
        assert_eq!(read_all(&b""[..]).unwrap(), [""; 0]);
    }

    #[test]
    fn an_error_has_the_number_of_the_line_that_is_not_utf8() {
        assert_eq!(
            read_all(&b"one\ntw\xff\n"[..]).unwrap_err().to_string(),
            "line 2 of the input is not UTF-8: its byte 2 begins no character"
        );
    }

    #[test]
    fn a_line_of_the_maximum_size_is_accepted_and_an_endless_one_is_refused() {
        let long = io::repeat(b'a').take(LINE_BYTES_MAX as u64).chain(&b"\r\n"[..]);
        assert_eq!(read_all(long).unwrap()[0].len(), LINE_BYTES_MAX);
        assert_eq!(
            read_all(io::repeat(b'a')).unwrap_err().to_string(),
            "line 1 of the input is longer than 16777216 bytes"
        );
    }

    #[test]
    fn the_unsent_lines_are_those_read_already_and_none_is_waited_for() {
        struct Waiting;
        impl Read for Waiting {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                panic!("this would wait for input")
            }
        }
        let unsent = |read: &[u8]| {
            let mut input = read.chain(Waiting);
            let mut texts = Texts::Typed(Lines::new(&mut input, None));
            assert_eq!(texts.next().unwrap().as_deref(), Some("0"));
            texts.unsent().map(|unsent| (unsent.texts, unsent.first))
        };
        assert_eq!(unsent(b"0\n"), None);
        assert_eq!(unsent(b"0\n13\r\n\nabc"), Some((3, "13".into())));
        assert_eq!(unsent(b"0\r\n\n"), Some((1, String::new())));
    }

    #[test]
    fn the_rest_of_a_line_that_is_too_long_is_no_text() {
        let mut input = io::repeat(b'a');
        let mut texts = Texts::Typed(Lines::new(&mut input, None));
        texts.next().unwrap_err();
        assert_eq!(texts.unsent(), None);
    }

    #[test]
    fn each_line_has_a_prompt_and_the_end_of_input_starts_a_new_line() {
        let (mut input, mut shown) = (&b"one\ntwo\n"[..], Vec::new());
        let mut lines = Lines::new(&mut input, Some(&mut shown));
        while lines.next().unwrap().is_some() {}
        assert_eq!(shown, b"> > > \n");
    }
}
