//! A journal that fails: errors of single system calls, injected with strace.

use std::fs;

use crate::common::{End, MODELS, Serve, frame, has_no_strace};

#[test]
fn after_a_failed_write_or_sync_nothing_is_acknowledged_or_tried_again_and_the_exit_status_is_74() {
    if has_no_strace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (journal, trace) = (directory.path().join("journal"), directory.path().join("trace"));
    let errors =
        [("EIO", "Input/output error (os error 5)"), ("EROFS", "Read-only file system (os error 30)")];
    let full = ("ENOSPC", "No space left on device (os error 28)");
    for model in MODELS {
        for (call, (error, words)) in ["write", "fdatasync"]
            .into_iter()
            .flat_map(|call| errors.into_iter().chain([full]).map(move |error| (call, error)))
        {
            // It fails once: a second try would succeed.
            let inject = format!("inject={call}:error={error}:when=3");
            let path = journal.to_str().unwrap();
            let options = ["-P", path, "-e", "trace=write,fdatasync", "-e", &inject];
            let arguments = format!("message=0 --model {model} --ack synced --journal {path}");
            let server = Serve::traced(&trace, &options, &arguments).start();
            let mut peer = server.connect("message");
            peer.exchange("one");
            peer.exchange("two");
            peer.send(frame("three").repeat(2));
            let ended = server.wait();

            let what = format!("{model}, {call}, {error}");
            assert_eq!(ended.status.code(), Some(74), "{what}: {}", ended.log);
            assert_eq!(ended.log_since_ready(), [format!("loopline: cannot write to the journal: {words}")]);
            let (received, end) = peer.receive_all();
            assert!(received.is_empty(), "{what}: {}", String::from_utf8_lossy(&received));
            assert!(matches!(end, End::Closed | End::Reset));
            let file = fs::read_to_string(&journal).unwrap();
            assert!(file.is_empty() || file.ends_with('\n'), "{what}: {file}");
            let texts: Vec<&str> = file.lines().map(|line| line.split_once("] ").unwrap().1).collect();
            assert!(texts.starts_with(&["one", "two"]), "{what}: {file}");
            assert!(call == "fdatasync" || texts.len() == 2, "{what}: {file}");
            let calls = fs::read_to_string(&trace).unwrap();
            let (_, after) = calls.split_once("(INJECTED)").expect("the call has failed");
            assert!(!after.contains("write(") && !after.contains("fdatasync("), "{what}: {calls}");
            fs::remove_file(&journal).unwrap();
        }
    }
}
