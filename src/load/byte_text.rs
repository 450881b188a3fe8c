//! Bytes as users write them on the command line.
//!
//! | text | bytes |
//! |---|---|
//! | `\r` `\n` `\t` `\0` `\\` `\{` | carriage return, line feed, tab, 0, `\`, `{` |
//! | `\x0d` | one byte, in two hexadecimal digits |
//! | `\u{e9}` | a Unicode character in UTF-8 |
//! | `{seq}` `{conn}` | the number of the request on its connection, that of the connection, both from 1 |
//! | `{seq:u16}` `{seq:u32}` | the same in two or four bytes, the most significant first; also for `conn` |
//! | anything else, unless it begins with `{seq` or `{conn` | itself in UTF-8 |
//!
//! Text that begins with `hex:` is hexadecimal digits with spaces between bytes, and numbers in braces. Text that
//! begins with `@` is the name of a file, of which each byte stands for itself.

use std::fmt;
use std::fs;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Bytes in which numbers can stand, as a user has written them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(with = "String"))]
pub(crate) struct ByteText {
    /// What the user wrote.
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Bytes(Vec<u8>),
    Number(Of, Form),
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Requests,
    Connections,
}

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Decimal,
    U16,
    U32,
}

/// The numbers of a request, both from 1. They wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) conn: u32,
    pub(crate) seq: u32,
}

impl ByteText {
    /// The bytes, if no number stands in them.
    pub(crate) fn fixed(&self) -> Option<&[u8]> {
        match &*self.parts {
            [] => Some(&[]),
            [Part::Bytes(bytes)] => Some(bytes),
            _ => None,
        }
    }

    /// Whether a number of requests stands in them.
    pub(crate) fn has_seq(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Number(Of::Requests, _)))
    }

    /// The bits of the number of the request that can be read back; `None` if it does not stand in them.
    pub(crate) fn seq_mask(&self) -> Option<u32> {
        self.seq_part().map(|(_, form)| if form == Form::U16 { u16::MAX.into() } else { u32::MAX })
    }

    /// The number of the request with which these are `bytes`, or its lower bits; `None` if there is none. Without
    /// such a number, it is 0 of the same bytes.
    pub(crate) fn seq_of(&self, conn: u32, bytes: &[u8]) -> Option<u32> {
        let mut rendered = Vec::with_capacity(bytes.len());
        let mut is = |seq: &u32| {
            rendered.clear();
            self.render(Numbers { conn, seq: *seq }, &mut rendered);
            rendered == bytes
        };
        let Some((begin, form)) = self.seq_part() else { return Some(0).filter(is) };
        // Nothing before it depends on the number, except two bytes of the same.
        let mut before = Vec::new();
        self.parts[..begin].iter().for_each(|part| part.render(Numbers { conn, seq: 0 }, &mut before));
        let at = bytes.get(before.len()..)?;
        match form {
            Form::U16 => Some(u16::from_be_bytes(*at.first_chunk()?).into()).filter(is),
            Form::U32 => Some(u32::from_be_bytes(*at.first_chunk()?)).filter(is),
            Form::Decimal => {
                let digits = at.iter().take(DIGITS_MAX).take_while(|byte| byte.is_ascii_digit()).count();
                let number = |count| std::str::from_utf8(&at[..count]).ok()?.parse().ok();
                (1..=digits).filter_map(number).find(|seq| is(seq))
            }
        }
    }

    /// The part to read the number of the request from: one that has all of it, if there is one.
    fn seq_part(&self) -> Option<(usize, Form)> {
        let parts = self.parts.iter().enumerate().filter_map(|(index, part)| match part {
            Part::Number(Of::Requests, form) => Some((index, *form)),
            Part::Number(Of::Connections, _) | Part::Bytes(_) => None,
        });
        parts.clone().find(|(_, form)| *form != Form::U16).or_else(|| parts.clone().next())
    }

    /// Appends the bytes to `out`, with these numbers.
    pub(crate) fn render(&self, numbers: Numbers, out: &mut Vec<u8>) {
        self.parts.iter().for_each(|part| part.render(numbers, out));
    }
}

impl Part {
    fn render(&self, numbers: Numbers, out: &mut Vec<u8>) {
        match self {
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
            Self::Number(of, form) => form.write(of.number(numbers), out),
        }
    }
}

impl Of {
    fn number(self, numbers: Numbers) -> u32 {
        match self {
            Self::Requests => numbers.seq,
            Self::Connections => numbers.conn,
        }
    }
}

impl Form {
    #[expect(clippy::cast_possible_truncation, reason = "numbers wrap")]
    fn write(self, number: u32, out: &mut Vec<u8>) {
        match self {
            Self::Decimal => {
                use std::io::Write;
                write!(out, "{number}").expect("writing to a Vec cannot fail");
            }
            Self::U16 => out.extend_from_slice(&(number as u16).to_be_bytes()),
            Self::U32 => out.extend_from_slice(&number.to_be_bytes()),
        }
    }
}

impl FromStr for ByteText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parser = Parser { text, at: 0, parts: Vec::new() };
        if let Some(path) = text.strip_prefix('@') {
            let bytes = fs::read(path).map_err(|error| format!("cannot read '{path}': {error}"))?;
            parser.push(&bytes);
        } else if text.starts_with(HEX) {
            parser.at = HEX.len();
            parser.hexadecimal()?;
        } else {
            parser.text()?;
        }
        Ok(Self { text: text.into(), parts: parser.parts })
    }
}

impl fmt::Display for ByteText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for ByteText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// Reads a text from `at` on.
struct Parser<'a> {
    text: &'a str,
    at: usize,
    parts: Vec<Part>,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn text(&mut self) -> Result<(), String> {
        while let Some(first) = self.rest().chars().next() {
            match first {
                '\\' => self.escape()?,
                '{' if self.number()? => {}
                _ => {
                    let end = self.rest()[first.len_utf8()..].find(['\\', '{']);
                    let plain = end.map_or(self.rest(), |end| &self.rest()[..first.len_utf8() + end]);
                    self.push(plain.as_bytes());
                    self.at += plain.len();
                }
            }
        }
        Ok(())
    }

    fn hexadecimal(&mut self) -> Result<(), String> {
        while let Some(first) = self.rest().chars().next() {
            match (first, self.rest().get(..2).and_then(byte_of)) {
                (_, Some(byte)) => {
                    self.push(&[byte]);
                    self.at += 2;
                }
                (' ' | '\t' | '\n' | '\r', _) => self.at += 1,
                ('{', _) if self.number()? => {}
                (_, None) if first.is_ascii_hexdigit() => {
                    return Err(self.error(&format!("'{first}' is half a byte, expected two digits")));
                }
                (_, None) => return Err(self.error(&format!("'{first}' is not a hexadecimal digit"))),
            }
        }
        Ok(())
    }

    /// Reads a number in braces, if one begins here. What only begins like one is an error, since it would be sent
    /// as it is.
    fn number(&mut self) -> Result<bool, String> {
        let rest = self.rest();
        let Some((name, of, form)) = NUMBERS.into_iter().find(|(name, ..)| rest.starts_with(name)) else {
            if !["{seq", "{conn"].iter().any(|name| rest.starts_with(name)) {
                return Ok(false);
            }
            let shown: String =
                rest.split_inclusive('}').next().unwrap_or(rest).chars().take(SHOWN_MAX).collect();
            let known = NUMBERS.map(|(name, ..)| name).join(", ");
            return Err(self.error(&format!(
                "unknown number '{shown}', expected one of {known}; '\\{{' is the brace itself"
            )));
        };
        self.parts.push(Part::Number(of, form));
        self.at += name.len();
        Ok(true)
    }

    /// Reads the escape that begins here.
    fn escape(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let Some(kind) = rest[1..].chars().next() else {
            return Err(self.error("an escape is cut off after '\\'"));
        };
        let byte = match kind {
            'r' => b'\r',
            'n' => b'\n',
            't' => b'\t',
            '0' => 0,
            '\\' | '{' => kind as u8,
            'x' => {
                let Some(byte) = rest.get(2..4).and_then(byte_of) else {
                    let shown: String = rest.chars().take(4).collect();
                    return Err(
                        self.error(&format!("'{shown}': expected two hexadecimal digits after '\\x'"))
                    );
                };
                self.push(&[byte]);
                self.at += 4;
                return Ok(());
            }
            'u' => return self.character(),
            _ => return Err(self.error(&format!("unknown escape '\\{kind}', expected {ESCAPES}"))),
        };
        self.push(&[byte]);
        self.at += 2;
        Ok(())
    }

    /// Reads `\u{…}`.
    fn character(&mut self) -> Result<(), String> {
        let code = self.rest()[2..].strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let Some((code, _)) = code else {
            return Err(self.error("expected '{', a hexadecimal number and '}' after '\\u'"));
        };
        let is_number = (1..=6).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u32::from_str_radix(code, 16).ok().filter(|_| is_number);
        let Some(character) = number.and_then(char::from_u32) else {
            return Err(self.error(&format!("'\\u{{{code}}}' is no Unicode character")));
        };
        self.push(character.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += "\\u{}".len() + code.len();
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) {
        match self.parts.last_mut() {
            Some(Part::Bytes(last)) => last.extend_from_slice(bytes),
            _ if bytes.is_empty() => {}
            _ => self.parts.push(Part::Bytes(bytes.into())),
        }
    }

    /// An error at this position.
    fn error(&self, what: &str) -> String {
        format!("character {}: {what}", self.text[..self.at].chars().count() + 1)
    }
}

fn byte_of(digits: &str) -> Option<u8> {
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| are_digits)
}

/// Characters of an unknown number that an error shows.
const SHOWN_MAX: usize = 20;

/// Digits of the largest number.
const DIGITS_MAX: usize = 10;

const HEX: &str = "hex:";

const ESCAPES: &str = "\\r, \\n, \\t, \\0, \\\\, \\{, \\xNN or \\u{…}";

const NUMBERS: [(&str, Of, Form); 6] = [
    ("{seq}", Of::Requests, Form::Decimal),
    ("{seq:u16}", Of::Requests, Form::U16),
    ("{seq:u32}", Of::Requests, Form::U32),
    ("{conn}", Of::Connections, Form::Decimal),
    ("{conn:u16}", Of::Connections, Form::U16),
    ("{conn:u32}", Of::Connections, Form::U32),
];

#[cfg(test)]
mod tests;
