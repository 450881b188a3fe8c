//! The frame: a 64-byte header with the length of the body, and the body.
//!
//! ```text
//!  0                                                              63 64            64+n
//!  +----------------------------------------------------------------+----------------+
//!  | n in ASCII decimal digits, then spaces up to 64 bytes           | n bytes, UTF-8 |
//!  +----------------------------------------------------------------+----------------+
//! ```
//!
//! Bytes in, bytes out, for the client and the server alike. "Not enough bytes yet" is a value (`Ok(None)`),
//! and so is bad input: [`BadFrame`] has the position and the reason, for an error message to the peer.

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

use std::fmt;
use std::str;

/// Size of a header in bytes.
pub const HEADER_BYTES: usize = 64;

/// A complete frame, borrowed from the bytes that it was parsed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The body, which is UTF-8. Its length in bytes is the number in the header.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The body as text.
    ///
    /// # Panics
    /// If the body is not UTF-8, which that of a [parsed](parse) frame always is.
    #[must_use]
    pub fn text(&self) -> &'a str {
        str::from_utf8(self.body).expect("a frame's body is UTF-8")
    }

    /// Size of the frame in bytes, header included.
    #[must_use]
    #[expect(clippy::arithmetic_side_effects, reason = "the body is in memory")]
    pub fn wire_bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }
}

/// Parses the frame at the beginning of `unread`.
///
/// `Ok(None)` means that more bytes are needed: call again with the same bytes and more after them. An
/// incomplete header is checked too, so that the bytes of another protocol are refused at the first one that
/// no header can have.
///
/// # Errors
/// [`BadFrame`] if these bytes cannot be the beginning of a frame, or if the header announces a body of more
/// than `body_bytes_max` bytes.
#[expect(clippy::inline_always, reason = "a call for each frame is a tenth of what the frame costs")]
#[inline(always)]
pub fn parse(unread: &[u8], body_bytes_max: usize) -> Result<Option<Frame<'_>>, BadFrame> {
    parse_from(unread, Known::default(), body_bytes_max, |_, _| ())
}

/// What is known of an incomplete frame. By default nothing is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    /// Size of the frame in bytes, header included; 0 while the header is incomplete.
    pub wire_bytes: usize,
    /// Bytes of the body, from the beginning, that are UTF-8 and need no further look.
    pub checked_bytes: usize,
}

/// Parses the frame at the beginning of `unread`, of which `known` is known from its first bytes. `Ok(None)` means
/// that more bytes are needed: call again with the same bytes and more after them, and the same `known`. So the
/// header is parsed once, and each byte of the body is checked once, when it has arrived.
///
/// # Errors
/// See [`parse`].
#[expect(clippy::inline_always, reason = "what is known of the first frame is commonly nothing")]
#[inline(always)]
pub fn parse_more<'a>(
    unread: &'a [u8],
    known: &mut Known,
    body_bytes_max: usize,
) -> Result<Option<Frame<'a>>, BadFrame> {
    let before = *known;
    parse_from(unread, before, body_bytes_max, |body_bytes, part| {
        known.wire_bytes = HEADER_BYTES.saturating_add(body_bytes);
        known.checked_bytes = checked_bytes(part, before.checked_bytes);
    })
}

/// Parses the frame at the beginning of `unread`. If it has a header, but is incomplete, passes the length of the body
/// and the part that has arrived to `on_part`.
#[expect(clippy::inline_always, reason = "a call for each frame is a tenth of what the frame costs")]
#[inline(always)]
fn parse_from(
    unread: &[u8],
    known: Known,
    body_bytes_max: usize,
    on_part: impl FnOnce(usize, &[u8]),
) -> Result<Option<Frame<'_>>, BadFrame> {
    let Some((header, rest)) = unread.split_first_chunk::<HEADER_BYTES>() else {
        scan_header(unread)?;
        return Ok(None);
    };
    let body_bytes = match known.wire_bytes.checked_sub(HEADER_BYTES) {
        Some(body_bytes) => body_bytes,
        None => body_bytes(header, body_bytes_max)?,
    };
    let Some(body) = rest.get(..body_bytes) else {
        on_part(body_bytes, rest);
        return Ok(None);
    };
    // Most text is ASCII.
    let unchecked = body.get(known.checked_bytes..).unwrap_or_default();
    if !is_ascii(unchecked) {
        check_utf8(unchecked, known.checked_bytes)?;
    }
    Ok(Some(Frame { body }))
}

/// Whether every byte is ASCII, as `[u8]::is_ascii` finds, but without a look at each byte behind the last whole block.
#[inline(always)]
fn is_ascii(body: &[u8]) -> bool {
    const BLOCK_BYTES: usize = 16;
    // As many as the standard library looks at together.
    const MANY_BYTES: usize = 64;
    // The last block overlaps the one before it.
    if let Some(last) = body.last_chunk::<MANY_BYTES>() {
        let (many, _) = body.split_at(body.len() & !(MANY_BYTES - 1));
        many.is_ascii() && last.is_ascii()
    } else if let Some(last) = body.last_chunk::<BLOCK_BYTES>() {
        body.chunks_exact(BLOCK_BYTES).all(<[u8]>::is_ascii) && last.is_ascii()
    } else {
        body.is_ascii()
    }
}

/// The number in a header, if it is not over the limit.
#[expect(clippy::inline_always, reason = "a call for each frame is a tenth of what the frame costs")]
#[inline(always)]
fn body_bytes(header: &[u8; HEADER_BYTES], body_bytes_max: usize) -> Result<usize, BadFrame> {
    let announced = match scan_plain(header) {
        Some(announced) => announced,
        None => scan_header(header)?,
    };
    match usize::try_from(announced) {
        Ok(body_bytes) if body_bytes <= body_bytes_max => Ok(body_bytes),
        _ => Err(BadFrame::TooLong { announced, body_bytes_max }),
    }
}

/// How many bytes of the part of a body that has arrived are UTF-8, of which `checked` are known to be. A byte that is
/// wrong is found again when the body is complete, and refused then.
fn checked_bytes(part: &[u8], checked: usize) -> usize {
    let unchecked = part.get(checked..).unwrap_or_default();
    if unchecked.is_ascii() {
        return part.len();
    }
    let valid = str::from_utf8(unchecked).map_or_else(|error| error.valid_up_to(), str::len);
    checked.saturating_add(valid)
}

/// Checks the end of a body, behind `checked` bytes.
#[cold]
fn check_utf8(unchecked: &[u8], checked: usize) -> Result<(), BadFrame> {
    match str::from_utf8(unchecked) {
        Ok(_) => Ok(()),
        Err(error) => Err(BadFrame::NotUtf8 { position: checked.saturating_add(error.valid_up_to()) }),
    }
}

/// The header of a body of `body_bytes` bytes.
#[must_use]
#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a number has at most DIGITS_MAX digits"
)]
pub fn header(body_bytes: usize) -> [u8; HEADER_BYTES] {
    let mut header = SPACES;
    let mut digits = [0; DIGITS_MAX];
    let mut first = DIGITS_MAX;
    let mut left = body_bytes;
    loop {
        first -= 1;
        #[expect(clippy::cast_possible_truncation, reason = "a remainder of ten fits")]
        let digit = (left % 10) as u8;
        digits[first] = b'0' + digit;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    let digits = &digits[first..];
    header[..digits.len()].copy_from_slice(digits);
    header
}

/// Appends the frame of `body` to `out`.
pub fn append(body: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&header(body.len()));
    out.extend_from_slice(body.as_bytes());
}

/// Why bytes are not a frame. Positions count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadFrame {
    /// A byte of the header does not match the grammar `( "0" | [1-9][0-9]* ) *SP`.
    Header {
        /// The position in the header.
        position: usize,
        /// The byte.
        byte: u8,
        /// What the grammar allows there.
        expected: Expected,
    },
    /// The header announces more than the limit.
    TooLong {
        /// The number in the header; `u64::MAX` stands for that or any larger number.
        announced: u64,
        /// The limit in bytes.
        body_bytes_max: usize,
    },
    /// The body is not UTF-8.
    NotUtf8 {
        /// The position in the body of the first byte that begins no character.
        position: usize,
    },
}

/// What the grammar of the header allows at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The first byte.
    Digit,
    /// After the digits of a number that does not begin with 0.
    DigitOrSpace,
    /// After a leading 0, or after a space.
    Space,
}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Header { position, byte, expected } => {
                write!(f, "header byte {position} is ")?;
                if byte.is_ascii_graphic() || byte == b' ' {
                    write!(f, "'{}'", char::from(byte))?;
                } else {
                    write!(f, "0x{byte:02x}")?;
                }
                f.write_str(match expected {
                    Expected::Digit => ", expected a digit",
                    Expected::DigitOrSpace => ", expected a digit or a space",
                    Expected::Space => ", expected a space",
                })
            }
            Self::TooLong { announced, body_bytes_max } => {
                let at_least = if announced == u64::MAX { "at least " } else { "" };
                write!(f, "the header announces {at_least}{announced} bytes, the limit is {body_bytes_max}")
            }
            Self::NotUtf8 { position } => write!(f, "body byte {position} begins no UTF-8 character"),
        }
    }
}

impl std::error::Error for BadFrame {}

/// The number in a header of one to seven digits and spaces, as almost every header is; `None` for any other,
/// which [`scan_header`] checks. It compares words of eight bytes instead of bytes.
#[inline(always)]
#[expect(clippy::arithmetic_side_effects, reason = "eight digits fit")]
fn scan_plain(header: &[u8; HEADER_BYTES]) -> Option<u64> {
    const FIRST_BYTES: usize = size_of::<u64>();
    const WORD_OF_SPACES: u64 = u64::from_le_bytes([b' '; FIRST_BYTES]);
    let (first, rest) = header.split_first_chunk::<FIRST_BYTES>()?;
    let (mut number, mut digits) = (0, 0);
    for byte in first {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        number = number * 10 + u64::from(digit);
        digits += 1;
    }
    let has_leading_zero = first[0] == b'0' && digits > 1;
    if digits == 0 || digits == FIRST_BYTES || has_leading_zero {
        return None;
    }
    let padding = (u64::from_le_bytes(*first) ^ WORD_OF_SPACES) >> (8 * digits);
    let words =
        rest.chunks_exact(FIRST_BYTES).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()));
    let differs = words.fold(padding, |differs, word| differs | (word ^ WORD_OF_SPACES));
    (differs == 0).then_some(number)
}

/// Checks a complete or incomplete header, and returns its number.
///
/// The digits are read once and the padding is compared as a block; only a bad header is searched for the
/// first wrong byte.
#[cold]
#[expect(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "positions are in the header")]
fn scan_header(header: &[u8]) -> Result<u64, BadFrame> {
    let digits = match header {
        [] => return Ok(0),
        [b'0', ..] => 1,
        [b'1'..=b'9', ..] => header.iter().take_while(|byte| byte.is_ascii_digit()).count(),
        [byte, ..] => return Err(BadFrame::Header { position: 0, byte: *byte, expected: Expected::Digit }),
    };
    let (number, padding) = header.split_at(digits);
    if *padding != SPACES[digits..header.len()] {
        let spaces = padding.iter().take_while(|byte| **byte == b' ').count();
        let expected = if spaces > 0 || number == b"0" { Expected::Space } else { Expected::DigitOrSpace };
        return Err(BadFrame::Header { position: digits + spaces, byte: padding[spaces], expected });
    }
    Ok(number
        .iter()
        .fold(0u64, |value, digit| value.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

const SPACES: [u8; HEADER_BYTES] = [b' '; HEADER_BYTES];

/// Digits of `usize::MAX` where it has 64 bits.
const DIGITS_MAX: usize = 20;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]
mod tests;
