//! Where results go: to standard output, and to files that are opened before there is a result.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

/// A file for a result that there is not yet: what can not be written is better known before the work than
/// after it.
#[derive(Debug)]
pub(crate) struct ResultFile {
    name: String,
    file: File,
}

impl ResultFile {
    /// Opens it. What was in it stays until there is a result.
    pub(crate) fn open(path: &Path) -> Result<Self, Unwritten> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        file.map(|file| Self { name: path.display().to_string(), file })
            .map_err(|error| Unwritten::at(path, error))
    }

    pub(crate) fn write(mut self, text: &str) -> Result<(), Unwritten> {
        // A pipe can not be cut, and has nothing to cut.
        let is_file = self.file.metadata().is_ok_and(|it| it.is_file());
        let cut = if is_file { self.file.set_len(0) } else { Ok(()) };
        let written = cut.and_then(|()| self.file.write_all(text.as_bytes()));
        written.map_err(|error| Unwritten { name: self.name, error })
    }
}

/// Where a result goes as JSON.
#[derive(Debug)]
pub(crate) enum Json {
    /// Nowhere: it is only printed as text.
    Nowhere,
    /// To standard output, where the text would go.
    Instead,
    /// To a file.
    File(ResultFile),
}

impl Json {
    /// `path` is a file, or `-` for standard output.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Unwritten> {
        match path {
            None => Ok(Self::Nowhere),
            Some(path) if path == Path::new("-") => Ok(Self::Instead),
            Some(path) => ResultFile::open(path).map(Self::File),
        }
    }

    /// Writes `result` where it was asked for as JSON, and prints `text` unless the JSON is printed. Whatever
    /// becomes of the file, there is something on standard output.
    pub(crate) fn tell(
        self,
        result: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Unwritten> {
        let as_json = || serde_json::to_string_pretty(result).expect("it has only strings as keys") + "\n";
        match self {
            Self::Nowhere => print(&text()),
            Self::Instead => print(&as_json()),
            Self::File(file) => {
                let written = file.write(&as_json());
                print(&text()).and(written)
            }
        }
    }
}

/// Prints `text` on standard output.
pub(crate) fn print(text: &str) -> Result<(), Unwritten> {
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    printed.map_err(|error| Unwritten { name: "standard output".into(), error })
}

/// A result that could not be written.
#[derive(Debug)]
pub(crate) struct Unwritten {
    name: String,
    error: io::Error,
}

impl Unwritten {
    /// Nothing could be written to `path`.
    pub(crate) fn at(path: &Path, error: io::Error) -> Self {
        Self { name: path.display().to_string(), error }
    }

    /// Whether whoever reads the result has seen enough: that wants no line.
    #[must_use]
    pub(crate) fn is_reader_gone(&self) -> bool {
        self.error.kind() == io::ErrorKind::BrokenPipe
    }
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: cannot be written: {}", self.name, self.error)
    }
}

impl std::error::Error for Unwritten {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
