//! The journal is a pipe or a terminal of another user, which the server cannot open a second time. Only root can start
//! a server as another user.

use std::io::{PipeWriter, Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};

use crate::common::{GREETING, MODELS, PROGRAM, Peer, Serve, Server, WAIT_MAX, eventually, frame};

/// The user `nobody`.
const OTHER_USER: u32 = 65534;

#[test]
fn a_stuck_pipe_of_another_user_stops_neither_other_services_nor_sigterm() {
    if !can_change_user() {
        return;
    }
    for model in MODELS {
        let (_stuck, writer) = std::io::pipe().unwrap();
        let pipe = writer.try_clone().unwrap();
        let server = start(model, writer);
        let _peer = send_more_than_fits(&server);
        eventually("the pipe is full", || is_full(&pipe).then_some(()));
        assert_eq!(server.connect("greeting").receive_text(), GREETING);
        assert_eq!(server.connect("greeting").receive_text(), GREETING);
        let ended = server.stop();
        assert_eq!(ended.status.code(), Some(74), "{model}: {}", ended.log);
        assert!(ended.log.contains("it was not writable before the drain timeout"), "{}", ended.log);
    }
}

#[test]
fn a_pipe_of_another_user_that_is_read_again_has_all_messages_in_order() {
    if !can_change_user() {
        return;
    }
    for model in MODELS {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let server = start(model, writer);
        let mut peer = send_more_than_fits(&server);
        let reading = thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        (1..SENT).for_each(|_| peer.receive_acknowledgement());
        peer.exchange("after it");
        let address = peer.local_address();
        server.stop_cleanly();
        let bodies = (0..SENT).map(body).chain(["after it".into()]);
        let expected: Vec<String> = bodies.map(|body| format!("[{address}] {body}\n")).collect();
        assert!(reading.join().unwrap() == expected.concat(), "{model}");
    }
}

#[test]
fn a_terminal_of_another_user_is_written_to_by_its_session_only() {
    if !can_change_user() {
        return;
    }
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let controller = openpt(flags).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let terminal = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let refused = Serve::new("greeting=0").by_user(OTHER_USER).stdout(terminal).fail();
    assert_eq!(refused.status.code(), Some(1), "{}", refused.log);
    let reason = "loopline: standard output: cannot open the journal: this terminal cannot be opened again";
    assert!(refused.log.lines().last().is_some_and(|line| line.starts_with(reason)), "{}", refused.log);

    let mut command = Command::new("setpriv");
    let user = format!("--reuid={OTHER_USER}");
    command.args([&user, "--clear-groups", PROGRAM, "serve", "message=0"]);
    let timeout_ms = u64::try_from(WAIT_MAX.as_millis()).ok();
    let mut session = rexpect::session::spawn_command(command, timeout_ms).unwrap();
    session.exp_string("listening: message tcp ").unwrap();
    let address = session.read_line().unwrap();
    session.exp_string("] ready").unwrap();
    let mut peer = Peer::connect(address.trim().parse().unwrap());
    peer.exchange("to the controlling terminal");
    session.exp_string("] to the controlling terminal").unwrap();
    session.send_control('c').unwrap();
    session.exp_eof().unwrap();
}

/// More messages than a pipe of 64 KiB holds.
const SENT: usize = 40;

fn body(place: usize) -> String {
    format!("{place:02} {}", "x".repeat(10 << 10))
}

fn start(model: &str, stdout: impl Into<Stdio>) -> Server {
    let serve = Serve::new("message=0 greeting=0 --drain-timeout 200ms --model").arg(model);
    serve.by_user(OTHER_USER).stdout(stdout).start()
}

fn send_more_than_fits(server: &Server) -> Peer {
    let mut peer = server.connect("message");
    peer.exchange(body(0));
    let mut sender = Peer::on(peer.stream.try_clone().unwrap());
    thread::spawn(move || (1..SENT).for_each(|place| drop(sender.try_send(&frame(body(place))))));
    peer
}

fn is_full(pipe: &PipeWriter) -> bool {
    poll(&mut [PollFd::new(pipe, PollFlags::OUT)], Some(&Timespec::default())).unwrap() == 0
}

/// Whether tests can start a process as another user, which then can run the program.
fn can_change_user() -> bool {
    let user = format!("--reuid={OTHER_USER}");
    let run = Command::new("setpriv").args([&user, "--clear-groups", PROGRAM, "--version"]).output();
    let can = run.as_ref().is_ok_and(|run| run.status.success());
    if !can {
        assert!(std::env::var_os("LOOPLINE_NO_SKIP").is_none(), "cannot run as another user: {run:?}");
        let note = b"NOT CHECKED: a journal of another user, which needs root and setpriv\n";
        std::io::stderr().write_all(note).unwrap();
    }
    can
}
