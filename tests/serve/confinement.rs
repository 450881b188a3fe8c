//! The sandbox and the user of a server that has started.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;

use rustix::process::geteuid;

use crate::common::{MODELS, Serve, Server, has_no_strace, loopline, output};

#[test]
fn a_server_is_confined_by_default_and_reports_it() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 --model {model}"));
        server.connect("message").exchange("once");
        // Without Landlock, the line says so; a filter of system calls is in every kernel.
        assert_eq!(server.status("NoNewPrivs"), 1, "{model}");
        assert_eq!(server.status("Seccomp"), 2, "{model}");
        let ended = server.stop_cleanly();
        assert!(ended.log.contains("sandbox: ") && ended.log.contains("seccomp"), "{}", ended.log);
    }
}

#[test]
fn a_server_without_sandbox_is_not_confined() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 --sandbox off --model {model}"));
        assert_eq!(server.status("Seccomp"), 0, "{model}");
        let ended = server.stop_cleanly();
        assert!(!ended.log.contains("sandbox"), "{}", ended.log);
    }
}

#[test]
fn a_server_that_cannot_be_confined_warns_why_or_does_not_start() {
    if has_no_strace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    for model in MODELS {
        for (call, error, why) in [
            ("landlock_create_ruleset", "ENOSYS", "this kernel has no Landlock"),
            ("landlock_restrict_self", "E2BIG", "no Landlock: "),
        ] {
            let (traced, inject) = (format!("trace={call}"), format!("inject={call}:error={error}"));
            let serve = |sandbox: &str| {
                let arguments = format!("message=0 --model {model} --sandbox {sandbox}");
                Serve::traced(&trace, &["-e", &traced, "-e", &inject], &arguments)
            };
            let server = serve("auto").start();
            server.connect("message").exchange("served");
            let ended = server.stop_cleanly();
            let is_warning = |line: &str| {
                line.starts_with("WARN") && line.contains(&format!("sandbox: incomplete: {why}"))
            };
            assert!(ended.log.lines().any(is_warning), "{}", ended.log);
            let ended = serve("on").fail();
            assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
            assert!(ended.log.contains(&format!("loopline: --sandbox on: {why}")), "{}", ended.log);
        }
    }
}

#[test]
fn a_journal_that_the_user_cannot_reach_again_is_warned_of() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let closed = directory.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let serve = |sandbox| {
        let serve = Serve::new(&format!("message=0 --user nobody --sandbox {sandbox} --journal"));
        serve.arg(closed.join("journal"))
    };
    let server = serve("auto").start();
    server.connect("message").exchange("recorded");
    let ended = server.stop_cleanly();
    let why = "the journal cannot be opened again after a rotation: ";
    assert!(ended.log.contains(&format!("sandbox: incomplete: {why}")), "{}", ended.log);
    assert!(ended.log.contains("sandbox: Landlock, seccomp"), "{}", ended.log);
    let ended = serve("on").fail();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(ended.log.contains(&format!("--sandbox on: {why}")), "{}", ended.log);
}

#[test]
fn a_server_that_root_starts_runs_as_the_given_user_and_owns_its_new_journal() {
    if !is_root() {
        return;
    }
    for model in MODELS {
        for user in ["nobody", "65534:65534"] {
            let directory = tempfile::tempdir().unwrap();
            let journal = directory.path().join("journal");
            let serve =
                Serve::new(&format!("message=0 --user {user} --model {model} --journal")).arg(&journal);
            let server = serve.start();
            server.connect("message").exchange("once");
            let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
            assert!(status.contains("Uid:\t65534\t65534\t65534\t65534\n"), "{status}");
            assert!(status.contains("Gid:\t65534\t65534\t65534\t65534\n"), "{status}");
            assert!(status.contains("CapEff:\t0000000000000000\n"), "{status}");
            assert!(!status.contains("Groups:\t0 "), "{status}");
            assert_eq!(fs::metadata(&journal).unwrap().uid(), 65534);
            server.stop_cleanly();
            assert!(fs::read_to_string(&journal).unwrap().ends_with("] once\n"));
        }
    }
}

#[test]
fn a_user_that_cannot_be_assumed_is_reported_before_anything_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    for user in ["no-such-user", "nobody:no-such-group", "root", "nobody:0"] {
        let mut program = loopline();
        program.args(["serve", "message=0", "--user", user, "--journal"]).arg(&journal);
        let output = output(&mut program);
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(log.starts_with(&format!("loopline: --user {user}: ")), "{log}");
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(!journal.exists());
    }
}

#[test]
fn a_link_in_place_of_the_journal_gives_the_user_no_file() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (journal, elsewhere) = (directory.path().join("journal"), directory.path().join("elsewhere"));
    std::os::unix::fs::symlink(&elsewhere, &journal).unwrap();
    Serve::new("message=0 --user nobody --journal").arg(&journal).start().stop_cleanly();
    assert_eq!(fs::metadata(&elsewhere).unwrap().uid(), 0);
}

#[test]
fn only_root_changes_the_user() {
    if !is_root() {
        return;
    }
    let output = output(loopline().args(["serve", "message=0", "--user", "nobody"]).uid(65534).gid(65534));
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert_eq!(log, "loopline: --user nobody: only root can change the user\n");
}

fn is_root() -> bool {
    if geteuid().is_root() {
        return true;
    }
    assert!(std::env::var_os("LOOPLINE_NO_SKIP").is_none(), "only root can change the user");
    eprintln!("skipped: only root can change the user");
    false
}
