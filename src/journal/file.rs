//! Opening a journal file: the lock, the incomplete line that a crash can leave at its end, and what must be on disk
//! before the first message is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::journal::ack::Ack;
use crate::journal::file_access::JournalFile;
use crate::journal::{lock, torn_line};

/// Opens the file at `path` for appending, and creates it if it does not exist. This process is its only writer from
/// now on: it holds a lock until it ends, or closes any descriptor of the file. An incomplete last line, which a crash
/// can leave, is removed: its message was not acknowledged. With [`Ack::Synced`], the entry of the file in its
/// directory is on disk when this returns.
///
/// # Errors
/// The file cannot be opened, read, truncated or synced; another process has the lock; or the file ends in text that
/// is not the beginning of a journal line: then it is not a journal, and is not changed.
pub fn open_file(path: &Path, ack: Ack) -> io::Result<File> {
    open_in_place(path, ack, || OpenOptions::new().read(true).append(true).create(true).open(path))
}

fn open_in_place(path: &Path, ack: Ack, open: impl Fn() -> io::Result<File>) -> io::Result<File> {
    for _ in 0..ATTEMPTS_MAX {
        let file = open()?;
        if !file.metadata()?.is_file() {
            return Ok(file);
        }
        prepare(&mut DiskFile { file: &file, reader: &file, directory: Some(directory(path)) }, ack)?;
        // Another process may have renamed it between opening and locking.
        if is_at(&file, path) {
            return Ok(file);
        }
    }
    Err(io::Error::other("another process renames or replaces it again and again"))
}

/// How often a file is opened that is renamed before it is locked. A rotation renames it once.
const ATTEMPTS_MAX: usize = 100;

/// Makes `stdout`, a regular file, ready for the first line at its end, as [`open_file`] does with a path. Returns a
/// second descriptor of the file, if there is one: closing it would release the lock.
///
/// # Errors
/// See [`open_file`].
pub(super) fn adopt_stdout(mut stdout: &File, ack: Ack) -> io::Result<Option<File>> {
    // Shells open it for writing only.
    let link = link_of(stdout);
    let reader = File::open(&link);
    let path = fs::read_link(link).ok().filter(|path| is_at(stdout, path));
    match &reader {
        Ok(reader) => {
            let directory = path.as_deref().map(directory);
            prepare(&mut DiskFile { file: stdout, reader, directory }, ack)?;
            stdout.seek(SeekFrom::End(0))?;
        }
        Err(error) => {
            lock::lock(stdout)?;
            if end_last_line(stdout)? {
                log::warn!(
                    "standard output cannot be read ({error}): its last line may be incomplete, an empty line follows it"
                );
            }
        }
    }
    Ok(reader.ok())
}

/// Appends a line break to what is in the file, and returns whether there is anything.
fn end_last_line(mut file: &File) -> io::Result<bool> {
    let has_lines = file.seek(SeekFrom::End(0))? > 0;
    if has_lines {
        file.write_all(b"\n")?;
    }
    Ok(has_lines)
}

/// The path by which the kernel opens what `file` is a second time.
pub(super) fn link_of(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// Whether `file` is what `path` names.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(file), Ok(path)) => identity(file) == identity(path),
        _ => false,
    }
}

fn directory(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.into(),
        _ => ".".into(),
    }
}

/// Makes a file ready for the first line. Nothing of it is read or changed before it is locked.
///
/// # Errors
/// See [`open_file`].
pub fn prepare(file: &mut impl JournalFile, ack: Ack) -> io::Result<()> {
    file.lock()?;
    if torn_line::remove(file)? {
        // Or a crash could bring the torn line back, in front of lines that were appended meanwhile.
        file.sync()?;
    }
    if ack == Ack::Synced {
        file.sync_directory().map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot sync its directory, as --ack synced requires: {error}"),
            )
        })?;
    }
    Ok(())
}

struct DiskFile<'a> {
    file: &'a File,
    /// The same file, open for reading.
    reader: &'a File,
    /// `None` if it is not known.
    directory: Option<PathBuf>,
}

impl JournalFile for DiskFile<'_> {
    fn lock(&mut self) -> io::Result<()> {
        lock::lock(self.file)
    }

    fn bytes(&mut self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.reader.read_exact_at(buffer, offset)
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        self.directory.as_ref().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    /// A file in memory that lists what is done to it.
    #[derive(Default)]
    pub(in crate::journal) struct Listed {
        pub(in crate::journal) content: Vec<u8>,
        pub(in crate::journal) calls: Vec<String>,
        pub(in crate::journal) is_locked_elsewhere: bool,
    }

    impl JournalFile for Listed {
        fn lock(&mut self) -> io::Result<()> {
            self.calls.push("lock".into());
            if self.is_locked_elsewhere { Err(io::ErrorKind::ResourceBusy.into()) } else { Ok(()) }
        }

        fn bytes(&mut self) -> io::Result<u64> {
            self.calls.push("read".into());
            Ok(self.content.len() as u64)
        }

        fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            let start = usize::try_from(offset).unwrap();
            buffer.copy_from_slice(&self.content[start..start + buffer.len()]);
            Ok(())
        }

        fn truncate(&mut self, bytes: u64) -> io::Result<()> {
            self.calls.push(format!("truncate {bytes}"));
            self.content.truncate(usize::try_from(bytes).unwrap());
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            self.calls.push("sync".into());
            Ok(())
        }

        fn sync_directory(&mut self) -> io::Result<()> {
            self.calls.push("sync directory".into());
            Ok(())
        }
    }

    #[test]
    fn a_file_is_locked_before_it_is_read_and_its_cut_and_its_entry_are_synced() {
        let torn = b"[1.2.3.4:5] old\n[1.2.".to_vec();
        for (content, ack, calls) in [
            (torn.clone(), Ack::Written, vec!["lock", "read", "truncate 16", "sync"]),
            (torn, Ack::Synced, vec!["lock", "read", "truncate 16", "sync", "sync directory"]),
            (Vec::new(), Ack::Written, vec!["lock", "read"]),
            (Vec::new(), Ack::Synced, vec!["lock", "read", "sync directory"]),
        ] {
            let mut file = Listed { content, ..Listed::default() };
            prepare(&mut file, ack).unwrap();
            assert_eq!(file.calls, calls);
        }
    }

    #[test]
    fn a_file_that_another_process_writes_to_is_neither_read_nor_cut() {
        let content = b"[1.2.3.4:5] half of a li".to_vec();
        let mut file = Listed { content, is_locked_elsewhere: true, ..Listed::default() };
        assert_eq!(prepare(&mut file, Ack::Synced).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(file.calls, ["lock"]);
    }

    #[test]
    fn a_file_that_is_renamed_before_it_is_locked_is_opened_again_but_not_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        for (renames, is_opened) in [(0, true), (3, true), (ATTEMPTS_MAX, false)] {
            let opened = std::cell::Cell::new(0);
            let open = || {
                let file = File::options().read(true).append(true).create(true).open(&path)?;
                opened.set(opened.get() + 1);
                if opened.get() <= renames {
                    fs::rename(&path, path.with_extension("old"))?;
                }
                Ok(file)
            };
            let outcome = open_in_place(&path, Ack::Written, open);
            assert_eq!(outcome.is_ok_and(|file| is_at(&file, &path)), is_opened, "{renames}");
        }
    }

    #[test]
    fn the_directory_of_a_file_is_what_its_path_says() {
        for (path, expected) in
            [("journal", "."), ("/journal", "/"), ("a/b", "a"), ("/var/log/j", "/var/log")]
        {
            assert_eq!(directory(Path::new(path)), Path::new(expected), "{path}");
        }
    }

    /// Whether this process has a lock on `file`. The kernel lists it with the descriptor; `/proc/locks` is of the whole
    /// machine, and leaves out entries when locks are released while it is read.
    #[cfg(target_os = "linux")]
    fn is_locked(file: &File) -> bool {
        let state = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).unwrap();
        state
            .lines()
            .any(|line| line.starts_with("lock:") && line.contains("POSIX") && line.contains("WRITE"))
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_is_created_or_cut_to_whole_lines_and_locked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        for (before, after) in [("", "new\n"), ("[1.2.3.4:5] old\n[1.2.", "[1.2.3.4:5] old\nnew\n")] {
            if !before.is_empty() {
                fs::write(&path, before).unwrap();
            }
            let mut file = open_file(&path, Ack::Synced).unwrap();
            assert!(is_locked(&file));
            file.write_all(b"new\n").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), after);
        }
        assert!(!is_locked(&open_file(Path::new("/dev/null"), Ack::Synced).unwrap()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn standard_output_is_cut_to_whole_lines_locked_and_written_behind_them() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "[1.2.3.4:5] old\n[1.2.").unwrap();
        // As a shell opens it.
        let mut stdout = OpenOptions::new().write(true).open(file.path()).unwrap();
        let reader = adopt_stdout(&stdout, Ack::Synced).unwrap();
        assert!(is_locked(&stdout));
        assert!(reader.is_some_and(|reader| is_at(&reader, file.path())), "it stays open");
        stdout.write_all(b"new\n").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "[1.2.3.4:5] old\nnew\n");
    }

    #[test]
    fn an_empty_line_follows_what_cannot_be_read() {
        for (before, after) in [("", ""), ("old", "old\n"), ("old\n", "old\n\n")] {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(&file, before).unwrap();
            let stdout = OpenOptions::new().write(true).open(file.path()).unwrap();
            assert_eq!(end_last_line(&stdout).unwrap(), after != before);
            assert_eq!(fs::read_to_string(&file).unwrap(), after);
        }
    }

    #[test]
    fn the_errors_of_syncing_are_those_of_the_kernel() {
        let (_reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let pipe = File::from(writer);
        let mut file = DiskFile { file: &pipe, reader: &pipe, directory: Some("/no/directory".into()) };
        assert_eq!(file.sync().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(file.sync_directory().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
