//! The destinations of results: standard output, and files that are opened before the work starts.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

/// A file for a result that does not exist yet. It is opened early, so that a path that cannot be written fails
/// before the work and not after it.
#[derive(Debug)]
pub(crate) struct OutputFile {
    name: String,
    file: File,
}

impl OutputFile {
    /// Opens the file. Its content stays until the result is written.
    pub(crate) fn open(path: &Path) -> Result<Self, WriteError> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        file.map(|file| Self { name: path.display().to_string(), file })
            .map_err(|error| WriteError::at(path, error))
    }

    pub(crate) fn write(mut self, text: &str) -> Result<(), WriteError> {
        // A pipe cannot be truncated.
        let is_file = self.file.metadata().is_ok_and(|it| it.is_file());
        let truncated = if is_file { self.file.set_len(0) } else { Ok(()) };
        let written = truncated.and_then(|()| self.file.write_all(text.as_bytes()));
        written.map_err(|error| WriteError { name: self.name, error })
    }
}

/// The destination of a result as JSON.
#[derive(Debug)]
pub(crate) enum Json {
    /// None: the result is only printed as text.
    None,
    /// Standard output, instead of the text.
    Stdout,
    /// A file.
    File(OutputFile),
}

impl Json {
    /// `path` is a file, or `-` for standard output.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, WriteError> {
        match path {
            None => Ok(Self::None),
            Some(path) if path == Path::new("-") => Ok(Self::Stdout),
            Some(path) => OutputFile::open(path).map(Self::File),
        }
    }

    /// Writes `result` as JSON, and prints `text` unless the JSON goes to standard output. The text is printed even
    /// if the file cannot be written.
    pub(crate) fn write(
        self,
        result: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), WriteError> {
        let as_json = || serde_json::to_string_pretty(result).expect("all keys are strings") + "\n";
        match self {
            Self::None => print(&text()),
            Self::Stdout => print(&as_json()),
            Self::File(file) => {
                let written = file.write(&as_json());
                print(&text()).and(written)
            }
        }
    }
}

/// Prints `text` on standard output.
pub(crate) fn print(text: &str) -> Result<(), WriteError> {
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    printed.map_err(|error| WriteError { name: "standard output".into(), error })
}

/// An error of writing a result.
#[derive(Debug)]
pub(crate) struct WriteError {
    name: String,
    error: io::Error,
}

impl WriteError {
    /// `path` cannot be written.
    pub(crate) fn at(path: &Path, error: io::Error) -> Self {
        Self { name: path.display().to_string(), error }
    }

    /// Whether the reader of a pipe has gone, which needs no error message.
    #[must_use]
    pub(crate) fn is_reader_gone(&self) -> bool {
        self.error.kind() == io::ErrorKind::BrokenPipe
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: cannot be written: {}", self.name, self.error)
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
