//! The server as a process.

use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Signal, kill_process};

use super::output::Output;
use super::strace::traced;
use super::{Peer, eventually, loopline, loopline_after};

/// A server to be started.
pub(crate) struct Serve {
    command: Command,
    after_ready: LogReader,
}

/// What the reader of the log does once the server is ready.
enum LogReader {
    Reads,
    Stops,
    Closes,
}

impl Serve {
    /// `loopline serve` with `arguments`, which are words between spaces.
    pub(crate) fn new(arguments: &str) -> Self {
        Self::by(loopline(), arguments)
    }

    /// The same, started by a shell after `script`.
    pub(crate) fn after(script: &str, arguments: &str) -> Self {
        Self::by(loopline_after(script), arguments)
    }

    /// The same under `strace` with `options`, which writes to `trace`.
    pub(crate) fn traced(trace: &Path, options: &[&str], arguments: &str) -> Self {
        Self::by(traced(trace, options), arguments)
    }

    /// The program, started by `command`.
    pub(crate) fn by(mut command: Command, arguments: &str) -> Self {
        command.arg("serve").args(arguments.split_whitespace());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, after_ready: LogReader::Reads }
    }

    /// One more argument, which may contain spaces.
    pub(crate) fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Redirects standard output, which is the journal by default. The test no longer reads it.
    pub(crate) fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// The pipe of the log is open, but not read, once the server is ready.
    pub(crate) fn with_blocked_log(mut self) -> Self {
        self.after_ready = LogReader::Stops;
        self
    }

    /// The pipe of the log is closed once the server is ready.
    pub(crate) fn with_broken_log(mut self) -> Self {
        self.after_ready = LogReader::Closes;
        self
    }

    /// Starts it as another user. Only root can.
    pub(crate) fn by_user(mut self, user: u32) -> Self {
        self.command.uid(user).gid(user);
        self
    }

    /// Starts it and returns what is left of it: it cannot serve.
    pub(crate) fn fail(mut self) -> Exit {
        let child = self.command.spawn().expect("the program can be started");
        let output = super::wait_with_output(child);
        let [log, journal] =
            [output.stderr, output.stdout].map(|text| String::from_utf8_lossy(&text).into_owned());
        Exit { status: output.status, log, journal }
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(self) -> Server {
        let server = self.spawn();
        server.log.wait_for("the server is ready", |log| log.contains(READY));
        server
    }

    /// Starts it and waits until it is ready; if it ends before that, returns what is left of it.
    pub(crate) fn try_start(self) -> Result<Server, Exit> {
        let server = self.spawn();
        if server.log.waits_until(|log| log.contains(READY)) { Ok(server) } else { Err(server.wait()) }
    }

    /// Starts it, and does not wait until it is ready.
    pub(crate) fn begin(self) -> Server {
        self.spawn()
    }

    fn spawn(mut self) -> Server {
        let mut child = self.command.spawn().expect("the program can be started");
        let (log, journal) = (Arc::new(Output::default()), Arc::new(Output::default()));
        let blocked_log = Arc::new(Mutex::new(None));
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            let journal = journal.clone();
            readers.push(thread::spawn(move || journal.collect(stdout)));
        } else {
            journal.end();
        }
        let stderr = child.stderr.take().expect("the log is a pipe");
        let (collecting, blocked, after_ready) = (log.clone(), blocked_log.clone(), self.after_ready);
        readers.push(thread::spawn(move || read_log(stderr, &collecting, &after_ready, &blocked)));
        Server { child, log, journal, blocked_log, readers }
    }
}

fn read_log(
    mut stderr: ChildStderr,
    log: &Output,
    after_ready: &LogReader,
    blocked_log: &Mutex<Option<ChildStderr>>,
) {
    match after_ready {
        LogReader::Reads => log.collect(stderr),
        LogReader::Stops | LogReader::Closes => {
            // Byte by byte, so that nothing after the line is taken from the pipe.
            let mut byte = [0];
            while !log.text().contains(READY) && stderr.read(&mut byte).is_ok_and(|bytes| bytes > 0) {
                log.append(&byte);
            }
            if matches!(after_ready, LogReader::Stops) {
                *blocked_log.lock().unwrap() = Some(stderr);
            }
            log.end();
        }
    }
}

/// What is logged at the end of the start.
const READY: &str = "] ready\n";

/// A running server, which is killed on drop.
pub(crate) struct Server {
    child: Child,
    log: Arc<Output>,
    journal: Arc<Output>,
    blocked_log: Arc<Mutex<Option<ChildStderr>>>,
    readers: Vec<JoinHandle<()>>,
}

/// What is left of a server that has exited.
pub(crate) struct Exit {
    pub(crate) status: ExitStatus,
    pub(crate) log: String,
    pub(crate) journal: String,
}

impl Server {
    /// `loopline serve` with `arguments`, ready.
    pub(crate) fn start(arguments: &str) -> Self {
        Serve::new(arguments).start()
    }

    /// The addresses where `service` is served, in the order of the endpoints.
    pub(crate) fn addresses(&self, service: &str) -> Vec<SocketAddr> {
        let log = self.log.text();
        let announced = log.lines().filter_map(|line| line.split_once("listening: "));
        announced
            .filter_map(|(_, what)| {
                let mut words = what.split(' ');
                let (name, transport, address) = (words.next()?, words.next()?, words.next()?);
                assert_eq!(transport, if name == "month" { "udp" } else { "tcp" }, "{what}");
                (name == service).then(|| address.parse().expect("an address is announced"))
            })
            .collect()
    }

    /// The first address where `service` is served.
    pub(crate) fn address(&self, service: &str) -> SocketAddr {
        *self.addresses(service).first().expect("the service is announced")
    }

    /// A connection to `service`.
    pub(crate) fn connect(&self, service: &str) -> Peer {
        Peer::connect(self.address(service))
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until the log contains `text`.
    pub(crate) fn wait_for_log(&self, text: &str) {
        self.log.wait_for(&format!("the log contains '{text}'"), |log| log.contains(text));
    }

    /// Reads a blocked log again.
    pub(crate) fn unblock_log(&mut self) {
        let stderr = self.blocked_log.lock().unwrap().take().expect("the log is blocked");
        let log = self.log.clone();
        self.readers.push(thread::spawn(move || log.collect(stderr)));
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A number in the `/proc/…/status` of the process, such as `Threads` or, in KiB, `VmHWM`.
    pub(crate) fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value
            .and_then(|value| value.split_whitespace().next()?.parse().ok())
            .expect("the kernel has the field")
    }

    /// Whether SIGSTOP has stopped the process.
    pub(crate) fn is_stopped(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        status.lines().any(|line| line.starts_with("State:\tT"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the server runs");
    }

    /// Whether it has not exited yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends SIGTERM and waits until it has exited.
    pub(crate) fn stop(self) -> Exit {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// As `stop`, and checks that the exit status is 0.
    pub(crate) fn stop_cleanly(self) -> Exit {
        let ended = self.stop();
        assert!(ended.status.success(), "{:?}: {}", ended.status, ended.log);
        ended
    }

    /// Waits until it has exited.
    pub(crate) fn wait(mut self) -> Exit {
        let child = &mut self.child;
        let status = eventually("the server exits", || child.try_wait().unwrap());
        drop(self.blocked_log.lock().unwrap().take());
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        Exit { status, log: self.log.text(), journal: self.journal.text() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the log of the server:\n{}", self.log.text());
        }
    }
}

impl Exit {
    /// The messages in the journal, without the addresses of their senders.
    pub(crate) fn messages(&self) -> Vec<&str> {
        let message = |line| str::split_once(line, "] ").expect("a journal line names its sender").1;
        self.journal.lines().map(message).collect()
    }

    /// The lines of the log after the server was ready.
    pub(crate) fn log_since_ready(&self) -> Vec<&str> {
        self.log.lines().skip_while(|line| !line.ends_with("] ready")).skip(1).collect()
    }
}
