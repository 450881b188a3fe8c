//! What a reply must be, as a user states it, and whether the bytes of a stream are that.
//!
//! The bytes of a reply come in parts. What is known of a reply that has begun is its progress, one number:
//!
//! ```text
//!  these bytes, N bytes   how many of them have come
//!  until a delimiter      how many have come (22 bits), how many of the delimiter the last of them are (10 bits)
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::byte_text::{ByteText, Numbers};
use super::excerpt::quoted;
use crate::service::client_side::describe_byte;
use crate::units::parse_size;

/// A reply: `BYTES`, `bytes:N` or `until:BYTES`.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(with = "String"))]
pub(crate) enum Expected {
    /// These bytes.
    Exact(ByteText),
    /// Any bytes, this number of them.
    Bytes(u32),
    /// Any bytes up to the first occurrence of these, and these.
    Until(Delimiter),
}

/// The bytes that end a reply.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(with = "String"))]
pub(crate) struct Delimiter {
    text: ByteText,
    bytes: Vec<u8>,
    /// For each number of matched bytes: how many still match if the next does not (Knuth, Morris and Pratt).
    fallback: Vec<u16>,
}

/// How far a reply is after some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It is whole, and ends after this number of the bytes.
    Whole { taken: usize },
    /// All bytes belong to it, and more must come.
    Partial(u32),
}

/// Why bytes are not the expected reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// A byte differs. Its position is from the beginning of the reply.
    Byte { position: usize, byte: u8, expected: u8 },
    /// The delimiter does not come.
    Endless,
}

/// Replies in the bytes of a read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Whole replies; a reply that ends with the stream is not counted here.
    pub(crate) replies: u32,
    /// Bytes of one more, or its progress if its bytes are not known exactly.
    pub(crate) partial_bytes: u32,
}

/// A reply that is not as expected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WrongReply {
    /// Where in the bytes it begins; `None` if that was before them.
    pub(crate) reply_begins_at: Option<usize>,
    /// What is wrong with it.
    pub(crate) what: String,
}

impl Expected {
    /// Whether the number of the request stands in it.
    pub(crate) fn has_seq(&self) -> bool {
        matches!(self, Self::Exact(text) if text.has_seq())
    }

    /// The bits of the number of the request that an answer has; `None` if it has none.
    pub(crate) fn seq_mask(&self) -> Option<u32> {
        match self {
            Self::Exact(text) => text.seq_mask(),
            Self::Bytes(_) | Self::Until(_) => None,
        }
    }

    /// The number of the request that `datagram` answers, or 0 if it has none; `None` if it is no answer.
    pub(crate) fn seq_of(&self, conn: u32, datagram: &[u8]) -> Option<u32> {
        let is_answer = match self {
            Self::Exact(text) => return text.seq_of(conn, datagram),
            Self::Bytes(count) => datagram.len() == *count as usize,
            Self::Until(delimiter) => datagram.ends_with(&delimiter.bytes),
        };
        is_answer.then_some(0)
    }

    /// Why `datagram` is no answer to the request with these numbers; `None` if it is one.
    pub(crate) fn describe_datagram(&self, datagram: &[u8], numbers: Numbers) -> Option<String> {
        let length = datagram.len();
        if let Self::Until(delimiter) = self {
            let is_answer = datagram.ends_with(&delimiter.bytes);
            return (!is_answer).then(|| format!("the answer does not end in {}", quoted(&delimiter.bytes)));
        }
        match self.advance(0, datagram, numbers, &mut Vec::new()) {
            Err(wrong) => Some(self.describe(wrong, "the answer")),
            Ok(Progress::Whole { taken }) if taken == length => None,
            Ok(Progress::Whole { taken }) => Some(format!("the answer has {length} bytes, expected {taken}")),
            Ok(Progress::Partial(_)) => Some(format!("the answer ends after {length} bytes")),
        }
    }

    /// Reads `bytes`, which follow those that have led to `progress`, 0 at the beginning. `rendered` is memory to
    /// use.
    pub(crate) fn advance(
        &self,
        progress: u32,
        bytes: &[u8],
        numbers: Numbers,
        rendered: &mut Vec<u8>,
    ) -> Result<Progress, Wrong> {
        match self {
            Self::Bytes(count) => Ok(advance_by(progress, bytes.len(), *count as usize)),
            Self::Until(delimiter) => delimiter.advance(progress, bytes),
            Self::Exact(text) => {
                let whole = text.fixed().unwrap_or_else(|| {
                    rendered.clear();
                    text.render(numbers, rendered);
                    rendered
                });
                let position = progress as usize;
                let pairs = whole[position..].iter().zip(bytes).enumerate();
                match pairs.into_iter().find(|(_, (expected, byte))| expected != byte) {
                    None => Ok(advance_by(progress, bytes.len(), whole.len())),
                    Some((index, (expected, byte))) => {
                        Err(Wrong::Byte { position: position + index, byte: *byte, expected: *expected })
                    }
                }
            }
        }
    }

    /// The number of bytes of a reply that have come.
    pub(crate) fn bytes_of(&self, progress: u32) -> u32 {
        if matches!(self, Self::Until(_)) { progress >> MATCHED_BITS } else { progress }
    }

    /// Describes an error of `reply`, such as "the greeting".
    pub(crate) fn describe(&self, wrong: Wrong, reply: &str) -> String {
        match (wrong, self) {
            (Wrong::Byte { position, byte, expected }, _) => {
                let [byte, expected] = [byte, expected].map(describe_byte);
                format!("byte {position} of {reply} is {byte}, expected {expected}")
            }
            (Wrong::Endless, Self::Until(delimiter)) => {
                format!("{} is not in the first MiB of {reply}", quoted(&delimiter.bytes))
            }
            (Wrong::Endless, Self::Exact(_) | Self::Bytes(_)) => format!("{reply} does not end"),
        }
    }
}

impl Delimiter {
    fn new(text: ByteText) -> Result<Self, String> {
        let Some(bytes) = text.fixed().map(<[u8]>::to_vec) else {
            return Err("numbers cannot stand in bytes that end a reply".into());
        };
        if !(1..=DELIMITER_BYTES_MAX).contains(&bytes.len()) {
            let count = bytes.len();
            return Err(format!("expected 1 to {DELIMITER_BYTES_MAX} bytes that end a reply, found {count}"));
        }
        let mut delimiter = Self { text, bytes, fallback: vec![0] };
        for position in 1..delimiter.bytes.len() {
            let matched = delimiter.matched_after(delimiter.fallback[position - 1], position);
            delimiter.fallback.push(matched);
        }
        Ok(delimiter)
    }

    /// How many bytes match after the byte at `position` of the delimiter itself.
    fn matched_after(&self, matched: u16, position: usize) -> u16 {
        self.matched(matched, self.bytes[position])
    }

    /// How many bytes match after `byte`, of which `matched` did before it.
    fn matched(&self, mut matched: u16, byte: u8) -> u16 {
        while matched > 0 && self.bytes[usize::from(matched)] != byte {
            matched = self.fallback[usize::from(matched) - 1];
        }
        matched + u16::from(self.bytes[usize::from(matched)] == byte)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the bits of a match, and the length of a read")]
    fn advance(&self, progress: u32, bytes: &[u8]) -> Result<Progress, Wrong> {
        let mut matched = (progress & MATCHED_MASK) as u16;
        for (index, byte) in bytes.iter().enumerate() {
            matched = self.matched(matched, *byte);
            if usize::from(matched) == self.bytes.len() {
                return Ok(Progress::Whole { taken: index + 1 });
            }
        }
        let length = (progress >> MATCHED_BITS) as usize + bytes.len();
        if length > UNTIL_BYTES_MAX {
            return Err(Wrong::Endless);
        }
        Ok(Progress::Partial((length as u32) << MATCHED_BITS | u32::from(matched)))
    }
}

/// The progress after `count` more bytes of a reply of `whole` bytes.
fn advance_by(progress: u32, count: usize, whole: usize) -> Progress {
    let missing = whole - progress as usize;
    if count >= missing {
        return Progress::Whole { taken: missing };
    }
    let more = u32::try_from(count).expect("less than a reply, whose bytes are counted in 32 bits");
    Progress::Partial(progress + more)
}

/// Parses a number of bytes.
///
/// # Errors
/// The reason, to be printed after `invalid value '…': `.
pub(crate) fn parse_count(text: &str) -> Result<u32, String> {
    let count = u32::try_from(parse_size(text)?).ok().filter(|count| *count <= COUNT_MAX);
    count.ok_or_else(|| "it must be at most 1GiB".into())
}

impl FromStr for Expected {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(count) = text.strip_prefix(BYTES) {
            return match parse_count(count)? {
                0 => Err("it must be at least one byte".into()),
                count => Ok(Self::Bytes(count)),
            };
        }
        if let Some(delimiter) = text.strip_prefix(UNTIL) {
            return Ok(Self::Until(delimiter.parse()?));
        }
        let text: ByteText = text.parse()?;
        if text.fixed().is_some_and(<[u8]>::is_empty) {
            return Err("it must be at least one byte".into());
        }
        Ok(Self::Exact(text))
    }
}

impl FromStr for Delimiter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::new(text.parse()?)
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => text.fmt(f),
            Self::Bytes(count) => write!(f, "{BYTES}{count}"),
            Self::Until(delimiter) => write!(f, "{UNTIL}{}", delimiter.text),
        }
    }
}

impl Serialize for Expected {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Delimiter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

const BYTES: &str = "bytes:";

const UNTIL: &str = "until:";

/// Maximum number of bytes that a reply states.
const COUNT_MAX: u32 = 1 << 30;

/// Maximum number of bytes before a delimiter.
const UNTIL_BYTES_MAX: usize = 1 << 20;

const DELIMITER_BYTES_MAX: usize = 1024;

/// Bits of the progress for the bytes of the delimiter that match: fewer than all.
const MATCHED_BITS: u32 = 10;

const MATCHED_MASK: u32 = (1 << MATCHED_BITS) - 1;

const _: () = assert!(DELIMITER_BYTES_MAX - 1 <= MATCHED_MASK as usize);
const _: () = assert!(UNTIL_BYTES_MAX < 1 << (u32::BITS - MATCHED_BITS));

#[cfg(test)]
mod tests;
