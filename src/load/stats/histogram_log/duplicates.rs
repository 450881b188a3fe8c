//! Refuses to merge a log with itself, since its samples would count twice.
//!
//! A file is itself under any path and link, and also as a copy: a log has its start time and its samples to the
//! nanosecond, so that two runs do not write the same bytes.

use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::journal::escape::escaped;

/// Checks that no two of `paths` are the same log. A file that cannot be read is left to the merge.
///
/// # Errors
/// The line about the second of two.
pub(crate) fn check_distinct(paths: &[PathBuf]) -> Result<(), String> {
    let files: Vec<File<'_>> = paths.iter().filter_map(|path| File::of(path)).collect();
    for (at, file) in files.iter().enumerate() {
        if let Some(problem) = files[..at].iter().find_map(|first| file.duplicates(first)) {
            return Err(format!("{}: {problem}", file.name()));
        }
    }
    Ok(())
}

struct File<'a> {
    path: &'a Path,
    metadata: Metadata,
}

impl<'a> File<'a> {
    fn of(path: &'a Path) -> Option<Self> {
        Some(Self { path, metadata: fs::metadata(path).ok()? })
    }

    fn name(&self) -> String {
        escaped(self.path.as_os_str().as_bytes())
    }

    /// How this is the same log as `first`, if it is.
    fn duplicates(&self, first: &Self) -> Option<String> {
        let inode = |of: &Self| (of.metadata.dev(), of.metadata.ino());
        let kind = match self.path == first.path {
            true => return Some("the log is given twice".into()),
            false if inode(self) == inode(first) => "the same file as",
            false if self.is_copy(first) => "a copy of",
            false => return None,
        };
        Some(format!("{kind} {}, so its samples would count twice", first.name()))
    }

    /// Only files are compared: a pipe can be read once. Two empty files are not logs, and not copies.
    fn is_copy(&self, of: &Self) -> bool {
        let length = self.metadata.len();
        let is_alike = self.metadata.is_file() && of.metadata.is_file() && length == of.metadata.len();
        is_alike && length > 0 && {
            fs::read(self.path).is_ok_and(|bytes| fs::read(of.path).is_ok_and(|other| bytes == other))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line about `names` in a folder in which `a` and `b` are logs and the others the same as `a`.
    fn check(names: &[&str]) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, content) in
            [("a", "log 1"), ("b", "log 2"), ("copy", "log 1"), ("empty", ""), ("none", "")]
        {
            fs::write(at(name), content).unwrap();
        }
        fs::hard_link(at("a"), at("hard")).unwrap();
        std::os::unix::fs::symlink(at("a"), at("soft")).unwrap();
        let paths: Vec<PathBuf> = names.iter().map(|name| at(name)).collect();
        let prefix = format!("{}/", folder.path().display());
        check_distinct(&paths).map_err(|line| line.replace(&prefix, ""))
    }

    #[test]
    fn different_logs_are_accepted() {
        assert_eq!(check(&["a", "b"]), Ok(()));
        // The merge reports these.
        assert_eq!(check(&["a", "missing", "missing", "empty", "none"]), Ok(()));
    }

    #[test]
    fn the_second_of_two_paths_to_one_log_is_refused() {
        assert_eq!(check(&["a", "b", "a"]), Err("a: the log is given twice".into()));
        for link in ["hard", "soft"] {
            let expected = format!("{link}: the same file as a, so its samples would count twice");
            assert_eq!(check(&["b", "a", link]), Err(expected));
        }
    }

    #[test]
    fn a_copy_is_refused() {
        let expected = "copy: a copy of a, so its samples would count twice";
        assert_eq!(check(&["a", "b", "copy"]), Err(expected.into()));
    }
}
