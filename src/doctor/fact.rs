//! A value that is read from a file of the system, or why there is none.

use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr;

use procfs::{FromRead, ProcError};

/// A value of the machine, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact<T> {
    /// The value.
    Known(T),
    /// This machine has no such file.
    Absent,
    /// The file cannot be read or parsed.
    Unknown,
}

impl<T> Fact<T> {
    /// The value, if it is known.
    pub(crate) fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unknown => None,
        }
    }

    /// Converts the value; `None` makes it unknown.
    pub(super) fn and_then<U>(self, convert: impl FnOnce(T) -> Option<U>) -> Fact<U> {
        match self {
            Self::Known(value) => convert(value).map_or(Fact::Unknown, Fact::Known),
            Self::Absent => Fact::Absent,
            Self::Unknown => Fact::Unknown,
        }
    }

    /// The value as `format` prints it, or why there is none.
    pub(super) fn describe(self, format: impl FnOnce(T) -> String) -> String {
        match self {
            Self::Known(value) => format(value),
            Self::Absent => "not present".into(),
            Self::Unknown => "unknown".into(),
        }
    }
}

/// A file below `root` that `procfs` parses.
pub(super) fn parsed<T: FromRead>(root: &Path, path: &str) -> Fact<T> {
    match T::from_file(root.join(path)) {
        Ok(value) => Fact::Known(value),
        Err(ProcError::NotFound(_)) => Fact::Absent,
        Err(_) => Fact::Unknown,
    }
}

/// The text of a file below `root`.
pub(super) fn text(root: &Path, path: &str) -> Fact<String> {
    match std::fs::read_to_string(root.join(path)) {
        Ok(text) => Fact::Known(text),
        Err(error) if error.kind() == ErrorKind::NotFound => Fact::Absent,
        Err(_) => Fact::Unknown,
    }
}

pub(super) fn number(root: &Path, path: &str) -> Fact<u64> {
    text(root, path).and_then(|text| text.trim().parse().ok())
}

/// Exactly `N` numbers between white space.
pub(super) fn numbers<T: FromStr, const N: usize>(root: &Path, path: &str) -> Fact<[T; N]> {
    text(root, path).and_then(|text| {
        let numbers: Result<Vec<T>, _> = text.split_whitespace().map(str::parse).collect();
        numbers.ok()?.try_into().ok()
    })
}
