//! The source of an event, packed into the word that the poller returns with it.
//!
//! ```text
//!   64 bits:  | kind 2 | – | generation 16 | key 32 |
//!   32 bits:  | kind 2 | generation 12     | key 18 |
//! ```

/// A source of events as the poller knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub usize);

/// What a [`Token`] stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Conn(ConnToken),
    Listener(u8),
    Socket(u8),
    /// The journal takes more bytes.
    Journal,
    /// A request to stop.
    Stop,
    /// A timer that ends a wait.
    Timer,
    /// A source of a handler.
    #[cfg(feature = "handlers")]
    Own(u16),
}

/// One connection, as distinct from earlier ones in the same slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnToken {
    pub(crate) key: u32,
    pub(crate) generation: u16,
}

#[cfg(feature = "handlers")]
impl ConnToken {
    /// No connection has it.
    pub(crate) const NOBODY: Self = Self { key: u32::MAX, generation: 0 };
}

#[cfg(target_pointer_width = "64")]
const KEY_BITS: u32 = 32;
#[cfg(target_pointer_width = "64")]
const GENERATION_BITS: u32 = 16;
#[cfg(not(target_pointer_width = "64"))]
const KEY_BITS: u32 = 18;
#[cfg(not(target_pointer_width = "64"))]
const GENERATION_BITS: u32 = 12;

/// The bits of a generation that fit into a token. A generation recurs only after more connections than can be
/// accepted while an event is on its way.
#[expect(clippy::cast_possible_truncation, reason = "at most 16 bits are set")]
pub(crate) const GENERATION_MASK: u16 = ((1u32 << GENERATION_BITS) - 1) as u16;

/// Connections that can have a token.
pub(crate) const CONNECTIONS_MAX: usize = KEY_MASK - 1;

const KIND_SHIFT: u32 = usize::BITS - 2;
const KEY_MASK: usize = (1 << KEY_BITS) - 1;

impl Token {
    /// The token under which the journal's descriptor is registered.
    pub const JOURNAL: Self = Self(OTHER << KIND_SHIFT);
    /// The token of requests to stop.
    pub const STOP: Self = Self((OTHER << KIND_SHIFT) | 1);
    /// The token of the timer.
    pub const TIMER: Self = Self((OTHER << KIND_SHIFT) | 2);
}

impl From<Source> for Token {
    fn from(source: Source) -> Self {
        match source {
            Source::Conn(id) => Self((usize::from(id.generation) << KEY_BITS) | id.key as usize),
            Source::Listener(index) => Self((LISTENER << KIND_SHIFT) | usize::from(index)),
            Source::Socket(index) => Self((SOCKET << KIND_SHIFT) | usize::from(index)),
            Source::Journal => Self::JOURNAL,
            Source::Stop => Self::STOP,
            Source::Timer => Self::TIMER,
            #[cfg(feature = "handlers")]
            Source::Own(index) => Self((OTHER << KIND_SHIFT) | OWN | usize::from(index)),
        }
    }
}

impl From<Token> for Source {
    #[expect(clippy::cast_possible_truncation, reason = "each field has as many bits as were stored")]
    fn from(token: Token) -> Self {
        match token.0 >> KIND_SHIFT {
            LISTENER => Self::Listener(token.0 as u8),
            SOCKET => Self::Socket(token.0 as u8),
            OTHER if token == Token::JOURNAL => Self::Journal,
            OTHER if token == Token::TIMER => Self::Timer,
            #[cfg(feature = "handlers")]
            OTHER if token.0 & OWN != 0 => Self::Own(token.0 as u16),
            OTHER => Self::Stop,
            _ => Self::Conn(ConnToken {
                key: (token.0 & KEY_MASK) as u32,
                generation: (token.0 >> KEY_BITS) as u16 & GENERATION_MASK,
            }),
        }
    }
}

const LISTENER: usize = 1;
const SOCKET: usize = 2;
const OTHER: usize = 3;

/// Marks a source of a handler.
#[cfg(feature = "handlers")]
const OWN: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_restored_from_its_token() {
        let conn = |key, generation| Source::Conn(ConnToken { key, generation });
        for source in [
            conn(0, 0),
            conn(u32::try_from(CONNECTIONS_MAX).unwrap(), GENERATION_MASK),
            conn(7, 1),
            Source::Listener(255),
            Source::Socket(0),
            Source::Journal,
            Source::Stop,
            Source::Timer,
            #[cfg(feature = "handlers")]
            Source::Own(0),
            #[cfg(feature = "handlers")]
            Source::Own(u16::MAX),
        ] {
            assert_eq!(Source::from(Token::from(source)), source);
        }
    }

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn a_token_has_32_bits_of_key_and_16_of_generation() {
        assert_eq!((GENERATION_MASK, CONNECTIONS_MAX), (u16::MAX, 0xffff_fffe));
        for (source, token) in [
            (Source::Conn(ConnToken { key: 5, generation: 3 }), 0x0003_0000_0005),
            (Source::Listener(7), 0x4000_0000_0000_0007),
            (Source::Socket(7), 0x8000_0000_0000_0007),
            (Source::Journal, 0xc000_0000_0000_0000),
            (Source::Stop, 0xc000_0000_0000_0001),
            (Source::Timer, 0xc000_0000_0000_0002),
        ] {
            assert_eq!(Token::from(source), Token(token));
        }
    }

    #[cfg(target_pointer_width = "32")]
    #[test]
    fn a_token_has_18_bits_of_key_and_12_of_generation() {
        assert_eq!((GENERATION_MASK, CONNECTIONS_MAX), (0xfff, 0x3_fffe));
        for (source, token) in [
            (Source::Conn(ConnToken { key: 5, generation: 3 }), 0x000c_0005),
            (Source::Conn(ConnToken { key: 0x3_ffff, generation: 0xfff }), 0x3fff_ffff),
            (Source::Listener(7), 0x4000_0007),
            (Source::Socket(7), 0x8000_0007),
            (Source::Journal, 0xc000_0000),
            (Source::Stop, 0xc000_0001),
            (Source::Timer, 0xc000_0002),
        ] {
            assert_eq!(Token::from(source), Token(token));
        }
    }
}
