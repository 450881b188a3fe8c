//! What a confined process can do. Each case runs in a process of its own: the test program, which runs one test.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread;

use super::*;

/// Set in the process that is confined: the directory of its journal, then the model.
const CONFINED: &str = "LOOPLINE_TEST_CONFINED";

#[test]
fn a_confined_server_opens_no_file_but_its_journal_starts_no_program_and_connects_nowhere() {
    for model in ["loop", "threads"] {
        run_confined("confined_process", model);
    }
}

#[test]
fn a_journal_in_the_root_directory_opens_no_other_file() {
    let in_root = Path::new("/journal");
    assert_eq!(journal_paths(in_root), [JournalPath::File(in_root.into())]);
    let above_root = Path::new("/proc/../journal");
    assert_eq!(journal_paths(above_root), [JournalPath::File(above_root.into())]);
    let below = Path::new("/var/journal");
    assert_eq!(journal_paths(below), [JournalPath::Directory("/var".into())]);
    assert_eq!(journal_paths(Path::new("journal")), [JournalPath::Directory(".".into())]);
    run_confined("process_confined_to_a_file", "loop");
}

#[test]
fn a_directory_that_cannot_be_opened_leaves_the_process_confined_but_not_if_that_is_required() {
    run_confined("process_without_the_directory_of_its_journal", "loop");
}

/// Runs a test below in a process of its own, with a directory for its journal.
fn run_confined(test: &str, model: &str) {
    let directory = tempfile::tempdir().unwrap();
    let test = format!("{}::{test}", module_path!().replacen("loopline::", "", 1));
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", &test, "--nocapture", "--test-threads", "1"]);
    program.env(CONFINED, format!("{}:{model}", directory.path().display()));
    let output = program.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && printed.contains("all checked"), "{test}, {model}: {printed}");
}

/// Does nothing unless a test above has started it.
#[test]
fn process_confined_to_a_file() {
    let Ok(confined) = std::env::var(CONFINED) else { return };
    let journal = Path::new(confined.split_once(':').unwrap().0).join("journal");
    fs::write(&journal, "before\n").unwrap();
    enter(true, Model::Loop, vec![JournalPath::File(journal.clone())]).unwrap();
    File::options().append(true).open(&journal).unwrap().write_all(b"after\n").unwrap();
    assert_eq!(fs::read(&journal).unwrap(), b"before\nafter\n");
    let sibling = File::create(journal.with_extension("new")).unwrap_err();
    assert_eq!(sibling.kind(), io::ErrorKind::PermissionDenied);
    println!("all checked");
}

/// Does nothing unless a test above has started it.
#[test]
fn process_without_the_directory_of_its_journal() {
    let Ok(confined) = std::env::var(CONFINED) else { return };
    let directory = Path::new(confined.split_once(':').unwrap().0).join("removed");
    let journal = vec![JournalPath::Directory(directory.clone())];
    let error = enter(true, Model::Loop, journal.clone()).unwrap_err().to_string();
    assert!(error.starts_with("--sandbox on: the journal cannot be opened again"), "{error}");
    assert!(error.contains(directory.to_str().unwrap()), "{error}");
    enter(false, Model::Loop, journal).unwrap();
    assert_eq!(File::open("/etc/passwd").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    println!("all checked");
}

/// Does nothing unless a test above has started it.
#[test]
fn confined_process() {
    let Ok(confined) = std::env::var(CONFINED) else { return };
    let (directory, model) = confined.split_once(':').unwrap();
    let model = if model == "loop" { Model::Loop } else { Model::Threads };
    let journal = Path::new(directory).join("journal");
    fs::write(&journal, "before\n").unwrap();
    let other = tempfile::NamedTempFile::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut accepted = TcpStream::connect(address).unwrap();

    enter(true, model, journal_paths(&journal)).unwrap();

    let denied = |what: &str, outcome: io::Result<()>| {
        let error = outcome.expect_err(what);
        let is_denied =
            error.kind() == io::ErrorKind::PermissionDenied || error.raw_os_error() == Some(libc::ENOSYS);
        assert!(is_denied, "{what}: {error:?}");
    };
    denied("reading a file", File::open("/etc/passwd").map(drop));
    denied("writing a file", File::options().write(true).open(other.path()).map(drop));
    denied("making a file", File::create(other.path().with_extension("new")).map(drop));
    denied("removing a file", fs::remove_file(&journal));
    denied("starting a program", Command::new("/bin/true").status().map(drop));
    denied("connecting", TcpStream::connect(address).map(drop));
    denied("a socket for datagrams", UdpSocket::bind("127.0.0.1:0").map(drop));
    denied("a pair of sockets", UnixStream::pair().map(drop));
    let spawned = thread::Builder::new().spawn(|| File::open("/etc/passwd").map(drop));
    match model {
        Model::Loop => denied("a thread", spawned.map(drop)),
        Model::Threads => denied("a file, in a thread", spawned.unwrap().join().unwrap()),
    }

    // What a server needs.
    listener.accept().unwrap();
    accepted.write_all(b"x").unwrap();
    fs::rename(&journal, journal.with_extension("old")).expect_err("renaming is done by others");
    let mut file = File::options().append(true).create(true).open(&journal).unwrap();
    file.write_all(b"after\n").unwrap();
    file.sync_data().unwrap();
    file.set_len(3).unwrap();
    assert_eq!(fs::read(&journal).unwrap(), b"bef");
    println!("all checked");
}
