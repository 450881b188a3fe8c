//! The journal as a file: one writer, and what is promised about its place on disk.

use std::fs::{self, OpenOptions};
use std::io::Write;

use crate::common::{MODELS, Serve};

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
