//! The destinations of results: standard output, and files that are opened before the work starts.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::journal::escape::escaped;

/// A file for a result that does not exist yet. It is opened early, so that a path that cannot be written fails
/// before the work and not after it. A file that was created for it is removed again if there is no result.
#[derive(Debug)]
pub(crate) struct OutputFile {
    name: String,
    file: File,
    created: Created,
}

/// The path of a file that was created, without links, until there is a result.
#[derive(Debug)]
struct Created(Option<PathBuf>);

impl Drop for Created {
    fn drop(&mut self) {
        // Another process may have written to it.
        let is_empty = |path: &PathBuf| fs::metadata(path).is_ok_and(|it| it.is_file() && it.len() == 0);
        if let Some(path) = self.0.take().filter(is_empty) {
            // It is empty, and no error of its own: the reason why there is no result is reported.
            drop(fs::remove_file(path));
        }
    }
}

impl OutputFile {
    /// Opens the file. Its content stays until the result is written.
    pub(crate) fn open(path: &Path) -> Result<Self, WriteError> {
        let is_new = !path.exists();
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| WriteError::at(path, error))?;
        let created = Created(fs::canonicalize(path).ok().filter(|_| is_new));
        Ok(Self { name: path.display().to_string(), file, created })
    }

    pub(crate) fn write(self, text: &str) -> Result<(), WriteError> {
        let name = self.name.clone();
        let written = self.into_file().and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| WriteError { name, error })
    }

    /// The file, emptied for a result.
    pub(crate) fn into_file(mut self) -> io::Result<File> {
        self.created.0 = None;
        // A pipe cannot be truncated.
        if self.file.metadata().is_ok_and(|it| it.is_file()) {
            self.file.set_len(0)?;
        }
        Ok(self.file)
    }
}

/// Checks that the files of `outputs`, each with its option, differ from each other and from `inputs`, also through
/// links: each would overwrite the other. Devices and pipes are not overwritten. A file `-` is taken for a mistake.
///
/// # Errors
/// The line about the first that does not.
pub(crate) fn check_distinct(outputs: &[(&str, Option<&Path>)], inputs: &[PathBuf]) -> Result<(), String> {
    let name = |path: &Path| escaped(path.as_os_str().as_bytes());
    let is_same = |one: &Path, other: &Path| {
        let [one, other] = [one, other].map(|path| Identity::of(path, LINKS_MAX));
        one.is_some() && one == other
    };
    let files: Vec<(&str, &Path)> =
        outputs.iter().filter_map(|(option, path)| Some((*option, (*path)?))).collect();
    for (index, (option, path)) in files.iter().enumerate() {
        if *path == Path::new("-") {
            return Err(format!("{option} -: it is written to a file; only --json can be standard output"));
        }
        if let Some(input) = inputs.iter().find(|input| is_same(path, input)) {
            return Err(format!("{option} {}: would overwrite {}, which is read", name(path), name(input)));
        }
        if let Some((other, _)) = files[..index].iter().find(|(_, other)| is_same(path, other)) {
            return Err(format!("{option} {}: the same file as that of {other}", name(path)));
        }
    }
    Ok(())
}

/// What makes two paths the same file.
#[derive(Debug, PartialEq, Eq)]
enum Identity {
    /// Device and inode of a file.
    File(u64, u64),
    /// Where a file would be created.
    New(PathBuf),
}

impl Identity {
    /// `None` for what is no file, or cannot be created.
    fn of(path: &Path, links_max: u32) -> Option<Self> {
        if let Ok(metadata) = fs::metadata(path) {
            return metadata.is_file().then(|| Self::File(metadata.dev(), metadata.ino()));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match fs::read_link(path) {
            // A link to nowhere: the file is created where it points to.
            Ok(target) if links_max > 0 => Self::of(&folder.join(target), links_max - 1),
            Ok(_) => None,
            Err(_) => Some(Self::New(fs::canonicalize(folder).ok()?.join(path.file_name()?))),
        }
    }
}

/// Links to follow: as many as the kernel does.
const LINKS_MAX: u32 = 40;

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

    /// The file that `path` is, unless it is `-`.
    pub(crate) fn file(path: Option<&Path>) -> Option<&Path> {
        path.filter(|path| *path != Path::new("-"))
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The line about `outputs` in a folder with the file `a`, which is read, and links to it and to nowhere.
    fn check(outputs: &[&str]) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a"), "a").unwrap();
        fs::hard_link(at("a"), at("hard")).unwrap();
        symlink("a", at("soft")).unwrap();
        symlink("new", at("to-new")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let paths: Vec<PathBuf> = outputs.iter().map(|name| at(name)).collect();
        let options = ["--json", "--report", "--histogram"];
        let outputs: Vec<_> =
            options.into_iter().zip(paths.iter().map(|path| Some(path.as_path()))).collect();
        let prefix = format!("{}/", folder.path().display());
        check_distinct(&outputs, &[at("a")]).map_err(|line| line.replace(&prefix, ""))
    }

    #[test]
    fn a_file_that_was_created_is_removed_if_there_is_no_result() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("old"), "old result").unwrap();
        symlink("target", at("link")).unwrap();
        for name in ["new", "old", "link"] {
            let file = OutputFile::open(&at(name)).unwrap();
            assert!(at(name).exists(), "{name}: it can be written");
            drop(file);
        }
        assert!(!at("new").exists() && !at("target").exists());
        assert_eq!(fs::read(at("old")).unwrap(), b"old result");
        OutputFile::open(&at("new")).unwrap().write("").unwrap();
        OutputFile::open(&at("old")).unwrap().write("a").unwrap();
        assert_eq!(["new", "old"].map(|name| fs::read(at(name)).unwrap()), [b"".to_vec(), b"a".to_vec()]);
    }

    #[test]
    fn different_files_are_accepted() {
        assert_eq!(check(&["new", "other", "third"]), Ok(()));
        // Opening them is the error.
        assert_eq!(check(&["loop", "no/folder", "no/folder"]), Ok(()));
        // A device is not overwritten.
        assert_eq!(check(&["/dev/null", "/dev/null"]), Ok(()));
    }

    #[test]
    fn an_output_that_is_read_is_refused() {
        for name in ["a", "hard", "soft", "./a"] {
            let expected = format!("--report {name}: would overwrite a, which is read");
            assert_eq!(check(&["new", name]), Err(expected));
        }
    }

    #[test]
    fn two_outputs_to_one_file_are_refused() {
        for name in ["new", "./new", "to-new"] {
            let expected = format!("--histogram {name}: the same file as that of --json");
            assert_eq!(check(&["new", "other", name]), Err(expected));
        }
    }
}
