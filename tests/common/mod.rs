//! A server process and its peers. Everything a test waits for has a deadline, so that a failure is a message
//! and not a hang. This is the only part of the tests that reads the clock or sleeps.

#![allow(
    clippy::disallowed_methods,
    clippy::large_stack_arrays,
    reason = "it waits for a real process, on threads and by the clock"
)]
#![allow(dead_code, unused_imports, reason = "each of the tests uses a part of it")]

mod hosts;
mod months;
mod namespace;
mod output;
mod peer;
mod server;
mod strace;

use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};

pub(crate) use rustix::process::Signal;

pub(crate) use hosts::Hosts;
pub(crate) use months::MONTHS;
pub(crate) use namespace::{Network, in_namespace, program_behind_link};
#[cfg(feature = "cli")]
pub(crate) use peer::wait_for_delivery;
pub(crate) use peer::{DatagramPeer, End, Peer, is_reset};
pub(crate) use server::{Exit, Serve, Server};
pub(crate) use strace::has_no_strace;

/// The path of the program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_loopline");

/// How long a test waits for what must happen; only a test that fails waits as long.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

/// How long a process may take that ends by itself. A comparison takes a minute, and longer on a busy machine.
pub(crate) const PROCESS_MAX: Duration = Duration::from_secs(600);

/// The two server models.
pub(crate) const MODELS: [&str; 2] = ["loop", "threads"];

/// The body of every acknowledgement.
pub(crate) const ACKNOWLEDGEMENT: &str = "Message received successfully....";

/// What `greeting` sends.
pub(crate) const GREETING: &str = "Thank you for connecting !";

/// What `reply` sends.
pub(crate) const REPLY: &str = "Thanks for connecting";

/// What `month` replies to a new peer.
pub(crate) const INTRODUCTION: &str =
    "\nHey there I am going to provide you the month, if you Provide me an integer from 1-12\n";

/// The program, without arguments yet. Proofs may be run against another one.
pub(crate) fn loopline() -> Command {
    without_options(&std::env::var("LOOPLINE_PROOF_PROGRAM").unwrap_or_else(|_| PROGRAM.into()))
}

/// The same, started by a shell after `script`.
pub(crate) fn loopline_after(script: &str) -> Command {
    let mut shell = without_options("sh");
    shell.args(["-c", &format!("{script} && exec \"$@\""), "sh", PROGRAM]);
    shell
}

/// A command without the options that are set in the environment of the tests, which are not what is tested.
pub(crate) fn without_options(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LOOPLINE_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// The output of a process that reads nothing.
pub(crate) fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    wait_with_output(command.spawn().expect("the program can be started"))
}

/// The output of `child`, which is killed if it does not end.
pub(crate) fn wait_with_output(child: Child) -> Output {
    let process = Pid::from_child(&child);
    let (sender, receiver) = mpsc::channel::<()>();
    let killer = thread::spawn(move || {
        let is_late = receiver.recv_timeout(PROCESS_MAX) == Err(mpsc::RecvTimeoutError::Timeout);
        is_late.then(|| kill_process(process, Signal::KILL))
    });
    let output = child.wait_with_output().unwrap();
    drop(sender);
    assert!(killer.join().unwrap().is_none(), "the process did not end and was killed: {output:?}");
    output
}

/// Runs `check` with both models at the same time: for tests that mostly wait.
pub(crate) fn with_each_model(check: impl Fn(&str) + Sync) {
    thread::scope(|scope| {
        for model in MODELS {
            let check = &check;
            scope.spawn(move || check(model));
        }
    });
}

/// Calls `poll` until it returns something.
pub(crate) fn eventually<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let clock = Clock::start();
    loop {
        if let Some(result) = poll() {
            return result;
        }
        assert!(clock.elapsed() < WAIT_MAX, "timed out waiting until {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sleeps, for a scripted server that stalls.
pub(crate) fn stall(duration: Duration) {
    thread::sleep(duration);
}

/// The time since it was started.
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Ends the process with a message if it is not dropped in time: for a test that turns an event loop itself, and
/// would wait forever for an event that does not come.
pub(crate) struct Watchdog(#[expect(dead_code, reason = "dropping it ends the wait")] mpsc::Sender<()>);

impl Watchdog {
    pub(crate) fn start(what: &'static str) -> Self {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            if receiver.recv_timeout(2 * WAIT_MAX) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("timed out: {what}");
                std::process::abort();
            }
        });
        Self(sender)
    }
}

/// The frame of `body`.
pub(crate) fn frame(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut frame = format!("{:<64}", body.len()).into_bytes();
    frame.extend_from_slice(body);
    frame
}

/// The frame that acknowledges a message.
pub(crate) fn acknowledgement() -> Vec<u8> {
    frame(ACKNOWLEDGEMENT)
}
