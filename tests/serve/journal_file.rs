//! The journal as a file: one writer, and what is promised about its place on disk.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use crate::common::{
    MODELS, Peer, Serve, Signal, eventually, frame, has_no_strace, loopline, output, with_each_model,
};
use crate::schema;

#[test]
fn a_second_server_on_the_same_journal_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for model in MODELS {
        for first_on_stdout in [false, true] {
            let path = directory.path().join(format!("{model} {first_on_stdout}"));
            let appended = || OpenOptions::new().append(true).create(true).open(&path).unwrap();
            let serve = |on_stdout: bool| {
                let serve = Serve::new("message=0 --model").arg(model);
                if on_stdout { serve.stdout(appended()) } else { serve.arg("--journal").arg(&path) }
            };
            let first = serve(first_on_stdout).start();
            first.connect("message").exchange("first");
            // What a write that is not finished looks like to a second server.
            appended().write_all(b"[127.0.0.1:1] unfinished").unwrap();
            let before = fs::read_to_string(&path).unwrap();
            for second_on_stdout in [false, true] {
                let refused = serve(second_on_stdout).fail();
                assert_eq!(refused.status.code(), Some(1));
                let reason = format!("it is in use by process {}, and has one writer at a time", first.pid());
                let line = refused.log.lines().last().unwrap();
                assert!(line.starts_with("loopline: ") && line.ends_with(&reason), "{line}");
                assert_eq!(fs::read_to_string(&path).unwrap(), before);
            }
            first.stop_cleanly();
            // The lock has ended with the process.
            serve(false).start().stop_cleanly();
            let after = fs::read_to_string(&path).unwrap();
            assert!(after.ends_with("] first\n"), "only then the unfinished line is removed: {after}");
        }
    }
}

#[test]
fn standard_output_that_ends_in_an_incomplete_line_goes_on_after_the_last_whole_one() {
    for model in MODELS {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        // Without the flag to append, the position is after what is removed, or at the beginning.
        for (opened, at_end) in [("append", true), ("write", true), ("write", false)] {
            fs::write(&path, "[1.2.3.4:5] old\n[1.2.3.4:5] to").unwrap();
            let mut stdout = OpenOptions::new().append(opened == "append").write(true).open(&path).unwrap();
            if at_end {
                stdout.seek(SeekFrom::End(0)).unwrap();
            }
            let server = Serve::new("message=0 --ack synced --model").arg(model).stdout(stdout).start();
            server.connect("message").exchange("new");
            // The lock is kept.
            assert_eq!(serve_again(&path), Some(1), "{model} {opened}");
            let ended = server.stop_cleanly();
            assert!(ended.log.contains("the last line of the journal was incomplete"), "{}", ended.log);
            assert_eq!(messages(&path), ["old", "new"], "{model} {opened} {at_end}");
        }
        fs::write(&path, "not a journal").unwrap();
        let append = || OpenOptions::new().append(true).open(&path).unwrap();
        let refused = Serve::new("message=0 --model").arg(model).stdout(append()).fail();
        assert_eq!(refused.status.code(), Some(1), "{}", refused.log);
        assert_eq!(fs::read_to_string(&path).unwrap(), "not a journal");
    }
}

#[test]
fn standard_output_that_cannot_be_read_begins_with_an_empty_line() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("LOOPLINE_NO_SKIP").is_none(), "only root can be another user");
        eprintln!("SKIPPED: only root can be another user");
        return;
    }
    for model in MODELS {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        fs::write(&path, "[1.2.3.4:5] old\n[1.2.3.4:5] to").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let stdout = OpenOptions::new().append(true).open(&path).unwrap();
        let server = Serve::new("message=0 --model").arg(model).by_user(65534).stdout(stdout).start();
        server.connect("message").exchange("new");
        let ended = server.stop_cleanly();
        assert!(ended.log.contains("standard output cannot be read"), "{}", ended.log);
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("[1.2.3.4:5] old\n[1.2.3.4:5] to\n[") && text.ends_with("] new\n"),
            "{text}"
        );
        let cat = output(loopline().args(["journal", "cat"]).arg(&path));
        assert_eq!(cat.stdout, b"old\nto\nnew\n", "{model}");
    }
}

#[test]
fn a_reopened_journal_loses_no_message_and_doubles_none() {
    const ROTATIONS: usize = 5;
    for model in MODELS {
        for ack in ["received", "written", "synced"] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("journal");
            let server = Serve::new("message=0 --model").arg(model).arg("--ack").arg(ack);
            let server = server.arg("--journal").arg(&path).start();
            let mut sender = server.connect("message");
            let mut receiver = Peer::on(sender.stream.try_clone().unwrap());
            let sending = thread::spawn(move || {
                let mut sent = 0;
                while sender.try_send(&frame(format!("{sent}"))).is_ok() {
                    sent += 1;
                }
            });
            let mut acknowledged = 0;
            for rotation in 0..ROTATIONS {
                (0..200).for_each(|_| receiver.receive_acknowledgement());
                acknowledged += 200;
                fs::rename(&path, directory.path().join(format!("old {rotation}"))).unwrap();
                server.signal(Signal::HUP);
                // The file is there once it is open, and messages go on.
                let mut wait = || {
                    receiver.receive_acknowledgement();
                    acknowledged += 1;
                    path.exists().then_some(())
                };
                eventually("the journal is opened again", &mut wait);
            }
            receiver.half_close();
            drop(receiver);
            sending.join().unwrap();
            server.stop_cleanly();
            let files = (0..ROTATIONS).map(|rotation| directory.path().join(format!("old {rotation}")));
            let recorded: Vec<String> = files.chain([path]).flat_map(|path| messages(&path)).collect();
            assert!(recorded.len() >= acknowledged, "{} of {acknowledged}", recorded.len());
            let in_order = (0..recorded.len()).map(|number| number.to_string());
            assert!(in_order.eq(recorded), "{model} {ack}");
        }
    }
}

/// The messages of a journal whose last line is whole.
fn messages(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "no line is divided");
    text.lines().map(|line| line.split_once("] ").unwrap().1.to_owned()).collect()
}

#[test]
fn an_idle_server_reopens_its_journal_and_another_can_have_the_old_one() {
    for model in MODELS {
        let directory = tempfile::tempdir().unwrap();
        let (path, old) = (directory.path().join("journal"), directory.path().join("old"));
        let serve = |path: &Path| Serve::new("message=0 --model").arg(model).arg("--journal").arg(path);
        let server = serve(&path).start();
        // The same file is there: nothing changes, and the lock is not lost.
        server.signal(Signal::HUP);
        server.connect("message").exchange("old");
        assert_eq!(serve(&path).fail().status.code(), Some(1));
        fs::rename(&path, &old).unwrap();
        server.signal(Signal::HUP);
        server.wait_for_log("the journal was reopened: ");
        assert_eq!(serve(&path).fail().status.code(), Some(1), "the new file is locked");
        serve(&old).start().stop_cleanly();
        server.connect("message").exchange("new");
        server.stop_cleanly();
        assert_eq!((messages(&old), messages(&path)), (vec!["old".into()], vec!["new".into()]), "{model}");
    }
}

#[test]
fn a_journal_that_cannot_be_reopened_goes_on_in_the_open_file() {
    for model in MODELS {
        let directory = tempfile::tempdir().unwrap();
        let (path, old) = (directory.path().join("journal"), directory.path().join("old"));
        let server = Serve::new("message=0 --model").arg(model).arg("--journal").arg(&path).start();
        fs::rename(&path, &old).unwrap();
        fs::write(&path, "not a journal").unwrap();
        server.signal(Signal::HUP);
        server.wait_for_log("cannot reopen the journal, the open file stays in use: ");
        server.connect("message").exchange("kept");
        server.stop_cleanly();
        assert_eq!(messages(&old), ["kept"], "{model}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "not a journal");
    }
}

#[test]
fn a_deleted_or_replaced_journal_is_noticed() {
    with_each_model(|model| {
        for is_replaced in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("journal");
            let server = Serve::new("message=0 --model").arg(model).arg("--journal").arg(&path).start();
            fs::remove_file(&path).unwrap();
            if is_replaced {
                fs::write(&path, "").unwrap();
            }
            let mut peer = server.connect("message");
            let notice = "the journal file was renamed, deleted or replaced";
            eventually("it is noticed", || {
                peer.exchange("still acknowledged");
                server.log().contains(notice).then_some(())
            });
            server.signal(Signal::HUP);
            server.wait_for_log("the journal was reopened: ");
            peer.exchange("in the new file");
            let ended = server.stop_cleanly();
            assert_eq!(ended.log.matches(notice).count(), 1);
            assert_eq!(messages(&path).last().map(String::as_str), Some("in the new file"), "{model}");
        }
    });
}

#[test]
fn a_file_that_has_reached_its_limit_is_left_with_whole_lines() {
    for model in MODELS {
        for on_stdout in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("journal");
            // In units of 512 bytes, or of 1024 in some shells.
            let serve = Serve::after("ulimit -f 4", "message=0 --model").arg(model);
            let serve = if on_stdout {
                serve.stdout(OpenOptions::new().append(true).create(true).open(&path).unwrap())
            } else {
                serve.arg("--journal").arg(&path)
            };
            let server = serve.start();
            let mut peer = server.connect("message");
            let body = "x".repeat(999);
            let mut acknowledged = 0;
            loop {
                peer.send(frame(&body));
                // The last is reset, or the stream ends.
                let received = eventually("a reply or the end", || peer.peek());
                if received == 0 {
                    break;
                }
                peer.receive_acknowledgement();
                acknowledged += 1;
            }
            let ended = server.wait();
            assert_eq!(ended.status.code(), Some(74), "{:?} {}", ended.status, ended.log);
            let line = "loopline: cannot write to the journal: File too large (os error 27)";
            assert_eq!(ended.log_since_ready(), [line]);
            assert!(acknowledged > 0);
            assert_eq!(messages(&path).len(), acknowledged, "{model}");
        }
    }
}

#[test]
fn standard_output_that_was_closed_is_reported() {
    for model in MODELS {
        let server = Serve::after("exec 1>&-", "message=0 --model").arg(model).start();
        server.connect("message").exchange("gone");
        let ended = server.stop_cleanly();
        let warning = "standard output is /dev/null, or was closed: messages are acknowledged, but not kept";
        assert!(ended.log.contains(warning), "{}", ended.log);
    }
}

#[test]
fn journal_cat_prints_what_was_sent() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let server = Serve::new("message=0 --journal").arg(&path).start();
    let mut peer = server.connect("message");
    let messages = ["one\ntwo", "", "\0\u{200b}\\n", "grüße"];
    messages.iter().for_each(|message| peer.exchange(message));
    let address = peer.local_address();
    // The file of a running server is read without touching its lock.
    let cat = |option: &str| output(loopline().args(["journal", "cat", option]).arg(&path));
    let raw = cat("--null");
    assert!(raw.status.success());
    assert_eq!(
        String::from_utf8(raw.stdout).unwrap(),
        messages.map(|message| format!("{message}\0")).concat()
    );
    let json = String::from_utf8(cat("--json").stdout).unwrap();
    for (line, message) in json.lines().zip(messages) {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value, serde_json::json!({"peer": address.to_string(), "text": message}));
        schema::assert_is("JournalMessage", &value);
    }
    assert_eq!(serve_again(&path), Some(1));
    server.stop_cleanly();
    fs::write(&path, "[1.2.3.4:5] first\nsecond\n").unwrap();
    let failed = cat("--null");
    assert_eq!((failed.status.code(), &failed.stdout[..]), (Some(1), &b"first\0"[..]));
    let line = String::from_utf8(failed.stderr).unwrap();
    assert!(line.starts_with(&format!("loopline: {}: line 2: it does not begin", path.display())), "{line}");
}

fn serve_again(path: &Path) -> Option<i32> {
    Serve::new("message=0 --journal").arg(path).fail().status.code()
}

#[test]
fn the_lock_the_cut_and_the_directory_come_before_the_first_message_and_its_sync_before_the_acknowledgement()
{
    if has_no_strace() {
        return;
    }
    for model in MODELS {
        let directory = tempfile::tempdir().unwrap();
        let (path, trace) = (directory.path().join("journal"), directory.path().join("trace"));
        fs::write(&path, "[1.2.3.4:5] old\n[1.2.3.4:5] to").unwrap();
        let calls = "trace=openat,fcntl,pread64,ftruncate,fsync,fdatasync,write,sendto";
        let serve = Serve::traced(&trace, &["-e", calls], "message=0 --ack synced --model");
        let server = serve.arg(model).arg("--journal").arg(&path).start();
        server.connect("message").exchange("new");
        server.stop_cleanly();
        let text = fs::read_to_string(&trace).unwrap();
        let file = format!("<{}>", path.display());
        let folder = format!("<{}>", directory.path().display());
        let mut lines = text.lines();
        for (call, of) in [
            ("fcntl(", file.as_str()),
            ("pread64(", &file),
            ("ftruncate(", &file),
            ("fsync(", &file),
            ("fsync(", &folder),
            ("write(", &file),
            ("fdatasync(", &file),
            ("(", "<socket:"),
        ] {
            let found = lines.any(|line| line.contains(call) && line.contains(of));
            assert!(found, "{model}: {call} of {of} is missing, or not in its place:\n{text}");
        }
        let is_early = |line: &str| line.contains("write(") && line.contains(&file);
        let synced = text.lines().position(|line| line.contains("fsync(") && line.contains(&folder));
        assert!(text.lines().position(is_early) > synced, "{model}: a message is written before:\n{text}");
    }
}
