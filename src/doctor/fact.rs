//! A value that is read from a file of the system, or why there is none.

use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr;

/// Something that was looked for on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact<T> {
    /// It is this.
    Known(T),
    /// This machine has no such thing.
    NotThere,
    /// It cannot be read, or not be made sense of.
    Unknown,
}

impl<T> Fact<T> {
    /// The value, if it is known.
    pub(crate) fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::NotThere | Self::Unknown => None,
        }
    }

    /// What `make` makes of the value; of `None` it is unknown.
    pub(super) fn and_then<U>(self, make: impl FnOnce(T) -> Option<U>) -> Fact<U> {
        match self {
            Self::Known(value) => make(value).map_or(Fact::Unknown, Fact::Known),
            Self::NotThere => Fact::NotThere,
            Self::Unknown => Fact::Unknown,
        }
    }

    /// What `say` says of the value, or why there is none.
    pub(super) fn say(self, say: impl FnOnce(T) -> String) -> String {
        match self {
            Self::Known(value) => say(value),
            Self::NotThere => "not there".into(),
            Self::Unknown => "unknown".into(),
        }
    }
}

/// The text of a file below `root`.
pub(super) fn text(root: &Path, path: &str) -> Fact<String> {
    match std::fs::read_to_string(root.join(path)) {
        Ok(text) => Fact::Known(text),
        Err(error) if error.kind() == ErrorKind::NotFound => Fact::NotThere,
        Err(_) => Fact::Unknown,
    }
}

pub(super) fn number(root: &Path, path: &str) -> Fact<u64> {
    text(root, path).and_then(|text| text.trim().parse().ok())
}

/// Exactly so many numbers between white space.
pub(super) fn numbers<T: FromStr, const N: usize>(root: &Path, path: &str) -> Fact<[T; N]> {
    text(root, path).and_then(|text| {
        let numbers: Result<Vec<T>, _> = text.split_whitespace().map(str::parse).collect();
        numbers.ok()?.try_into().ok()
    })
}
