//! A real server process, and peers of it on which nothing waits for ever.
//!
//! Whatever a test waits for has a deadline, so that a failure is a message and not a hang. This is the one
//! place of the tests that looks at the clock or pauses.

#![allow(
    clippy::disallowed_methods,
    clippy::large_stack_arrays,
    reason = "it waits for a real process, on threads and by the clock"
)]
#![allow(dead_code, reason = "each of the tests takes what it needs")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};
use socket2::SockRef;

pub(crate) use rustix::process::Signal;

/// For what must happen: waited for to its end only when a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The two models that serve.
pub(crate) const MODELS: [&str; 2] = ["loop", "threads"];

/// The body of every acknowledgement.
pub(crate) const ACKNOWLEDGEMENT: &str = "Message received successfully....";

/// What `greeting` sends.
pub(crate) const GREETING: &str = "Thank you for connecting !";

/// What `reply` sends.
pub(crate) const REPLY: &str = "Thanks for connecting";

/// What `month` answers to a new peer.
pub(crate) const INTRODUCTION: &str =
    "\nHey there I am going to provide you the month, if you Provide me an integer from 1-12\n";

/// What `month` answers to 1 and on.
pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// All that the program would do, as a command to be completed.
pub(crate) fn loopline() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loopline"));
    // What the environment of whoever runs the tests says is not what is tested.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LOOPLINE_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// A server to be started.
pub(crate) struct Serve {
    command: Command,
    after_ready: LogReader,
}

/// What becomes of the pipe that the server logs to, once the server is ready.
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

    /// The same, started by a shell that runs `script`, in which `exec "$@"` stands for it.
    pub(crate) fn under(script: &str, arguments: &str) -> Self {
        let program = loopline();
        let mut shell = Command::new("sh");
        for (name, _) in program.get_envs() {
            shell.env_remove(name);
        }
        shell.args(["-c", script, "sh"]).arg(program.get_program());
        shell.stdin(Stdio::null());
        Self::by(shell, arguments)
    }

    fn by(mut command: Command, arguments: &str) -> Self {
        command.arg("serve").args(arguments.split_whitespace());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, after_ready: LogReader::Reads }
    }

    /// One more argument, whatever it holds.
    pub(crate) fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Where messages are recorded instead of where the test reads them.
    pub(crate) fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// Nobody reads the log after the server is ready, but the pipe stays open.
    pub(crate) fn with_a_stuck_log(mut self) -> Self {
        self.after_ready = LogReader::Stops;
        self
    }

    /// Whoever reads the log is gone after the server is ready.
    pub(crate) fn with_a_log_whose_reader_goes(mut self) -> Self {
        self.after_ready = LogReader::Closes;
        self
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(mut self) -> Server {
        let mut child = self.command.spawn().expect("the program can be started");
        let (log, record) = (Arc::new(Collected::default()), Arc::new(Collected::default()));
        let parked = Arc::new(Mutex::new(None));
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            let record = record.clone();
            readers.push(thread::spawn(move || record.collect(stdout)));
        } else {
            record.end();
        }
        let stderr = child.stderr.take().expect("the log is a pipe");
        let (collecting, parking, after_ready) = (log.clone(), parked.clone(), self.after_ready);
        readers.push(thread::spawn(move || read_log(stderr, &collecting, &after_ready, &parking)));
        let server = Server { child, log, record, parked, readers };
        server.log.wait_for("the server is ready", |log| log.contains("] ready\n"));
        server
    }
}

fn read_log(
    mut stderr: ChildStderr,
    log: &Collected,
    after_ready: &LogReader,
    parked: &Mutex<Option<ChildStderr>>,
) {
    match after_ready {
        LogReader::Reads => log.collect(stderr),
        LogReader::Stops | LogReader::Closes => {
            // Byte by byte, so that nothing after the line is taken from the pipe.
            let mut byte = [0];
            while !log.text().contains("] ready\n") && stderr.read(&mut byte).is_ok_and(|bytes| bytes > 0) {
                log.append(&byte);
            }
            if matches!(after_ready, LogReader::Stops) {
                *parked.lock().unwrap() = Some(stderr);
            }
            log.end();
        }
    }
}

/// A server that runs, and is gone when this is.
pub(crate) struct Server {
    child: Child,
    log: Arc<Collected>,
    record: Arc<Collected>,
    parked: Arc<Mutex<Option<ChildStderr>>>,
    readers: Vec<JoinHandle<()>>,
}

/// What a server that has ended leaves behind.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) log: String,
    pub(crate) record: String,
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

    /// What the log says so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until the log has `text`.
    pub(crate) fn wait_for_log(&self, text: &str) {
        self.log.wait_for(&format!("the log says '{text}'"), |log| log.contains(text));
    }

    /// Goes on reading a log that was stuck.
    pub(crate) fn read_the_log_again(&mut self) {
        let stderr = self.parked.lock().unwrap().take().expect("the log is stuck");
        let log = self.log.clone();
        self.readers.push(thread::spawn(move || log.collect(stderr)));
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A number that the kernel tells of the process, such as `Threads` or, in KiB, `VmHWM`.
    pub(crate) fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.and_then(|value| value.split_whitespace().next()?.parse().ok()).expect("the kernel knows it")
    }

    /// Whether a signal has stopped the process, to be continued.
    pub(crate) fn is_stopped(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        status.lines().any(|line| line.starts_with("State:\tT"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the server runs");
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Stops it and makes sure that all went well.
    pub(crate) fn stop_well(self) -> Ended {
        let ended = self.stop();
        assert!(ended.status.success(), "{:?}: {}", ended.status, ended.log);
        ended
    }

    /// Waits until it has ended.
    pub(crate) fn wait(mut self) -> Ended {
        let child = &mut self.child;
        let status = eventually("the server ends", || child.try_wait().unwrap());
        drop(self.parked.lock().unwrap().take());
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        Ended { status, log: self.log.text(), record: self.record.text() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the server's log:\n{}", self.log.text());
        }
    }
}

impl Ended {
    /// The record without the addresses of peers.
    pub(crate) fn texts(&self) -> Vec<&str> {
        let text = |line: &'_ str| -> Option<usize> { line.find("] ").map(|place| place + 2) };
        self.record
            .lines()
            .map(|line| &line[text(line).expect("a line of record names its peer")..])
            .collect()
    }

    /// The lines of the log after the server was ready.
    pub(crate) fn log_since_ready(&self) -> Vec<&str> {
        self.log.lines().skip_while(|line| !line.ends_with("] ready")).skip(1).collect()
    }
}

/// Bytes that a thread reads from a pipe, to be waited for.
#[derive(Default)]
struct Collected {
    inner: Mutex<(Vec<u8>, bool)>,
    more: Condvar,
}

impl Collected {
    fn collect(&self, mut from: impl Read) {
        let mut chunk = [0; 64 * 1024];
        while let Ok(bytes @ 1..) = from.read(&mut chunk) {
            self.append(&chunk[..bytes]);
        }
        self.end();
    }

    fn append(&self, bytes: &[u8]) {
        self.inner.lock().unwrap().0.extend_from_slice(bytes);
        self.more.notify_all();
    }

    fn end(&self) {
        self.inner.lock().unwrap().1 = true;
        self.more.notify_all();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.inner.lock().unwrap().0).into_owned()
    }

    fn wait_for(&self, what: &str, is_there: impl Fn(&str) -> bool) {
        let inner = self.inner.lock().unwrap();
        let goes_on = |inner: &mut (Vec<u8>, bool)| !inner.1 && !is_there(&String::from_utf8_lossy(&inner.0));
        let (inner, _) = self.more.wait_timeout_while(inner, PATIENCE, goes_on).unwrap();
        let text = String::from_utf8_lossy(&inner.0).into_owned();
        drop(inner);
        assert!(is_there(&text), "waited in vain until {what}; it says:\n{text}");
    }
}

/// Asks until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let clock = Clock::start();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(clock.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Lets time go by, where that is what a test is about: a server that stalls for so long.
pub(crate) fn stall(duration: Duration) {
    thread::sleep(duration);
}

/// Since when something goes on.
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
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

/// A connection to a server.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// In order.
    Closed,
    /// The connection was reset.
    Reset,
}

impl Peer {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)
            .unwrap_or_else(|error| panic!("{address} can be connected to: {error}"));
        Self::on(stream)
    }

    /// A peer on a connection that is there already.
    pub(crate) fn on(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream }
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server takes what is sent");
    }

    /// Sends if the server still takes it.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub(crate) fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is there");
    }

    /// Drops the connection so that the server sees a reset.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// The next `bytes` bytes.
    pub(crate) fn receive(&mut self, bytes: usize) -> Vec<u8> {
        let mut received = vec![0; bytes];
        self.stream.read_exact(&mut received).unwrap_or_else(|error| panic!("{bytes} bytes come: {error}"));
        received
    }

    /// The body of the next frame.
    pub(crate) fn receive_frame(&mut self) -> String {
        let header = String::from_utf8(self.receive(64)).unwrap();
        let body_bytes = header.trim_end_matches(' ').parse().expect("a header begins with a number");
        String::from_utf8(self.receive(body_bytes)).unwrap()
    }

    pub(crate) fn receive_acknowledgement(&mut self) {
        let received = self.receive(64 + ACKNOWLEDGEMENT.len());
        assert_eq!(String::from_utf8_lossy(&received), String::from_utf8_lossy(&acknowledgement()));
    }

    /// Sends a message and makes sure that it is acknowledged.
    pub(crate) fn say(&mut self, body: impl AsRef<[u8]>) {
        self.send(frame(body));
        self.receive_acknowledgement();
    }

    /// All that comes until the server ends the stream, and how it ends it.
    pub(crate) fn receive_all(&mut self) -> (Vec<u8>, End) {
        self.receive_all_of("the stream")
    }

    /// The same, with a word for what it is when it does not end.
    pub(crate) fn receive_all_of(&mut self, what: &str) -> (Vec<u8>, End) {
        let mut received = Vec::new();
        match self.stream.read_to_end(&mut received) {
            Ok(_) => (received, End::Closed),
            Err(error) if is_reset(&error) => (received, End::Reset),
            Err(error) => panic!("{what} does not end: {error}; {} bytes came", received.len()),
        }
    }

    /// All that comes until the server ends the stream in order, as text.
    pub(crate) fn receive_text(&mut self) -> String {
        let (received, end) = self.receive_all();
        let text = String::from_utf8(received).unwrap();
        assert_eq!(end, End::Closed, "after '{text}'");
        text
    }

    /// Makes sure that nothing has come that was not received.
    pub(crate) fn assert_silent(&mut self) {
        assert_eq!(self.arrived(), None, "nothing came");
    }

    /// Whether something can be received without waiting: `Some(0)` is the end of the stream.
    pub(crate) fn arrived(&self) -> Option<usize> {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0; 256]);
        self.stream.set_nonblocking(false).unwrap();
        match peeked {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) if is_reset(&error) => Some(0),
            Err(error) => panic!("a connection can be looked at: {error}"),
        }
    }
}

/// Whether `error` says that the other side has dropped the connection.
pub(crate) fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

/// A peer of a datagram service.
pub(crate) struct Caller {
    socket: UdpSocket,
}

impl Caller {
    pub(crate) fn to(server: SocketAddr) -> Self {
        let any = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(any).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    /// Sends a datagram that is not answered.
    pub(crate) fn tell(&self, datagram: impl AsRef<[u8]>) {
        self.socket.send(datagram.as_ref()).unwrap();
    }

    /// Sends a datagram and returns the next that comes.
    pub(crate) fn ask(&self, datagram: impl AsRef<[u8]>) -> String {
        self.tell(datagram);
        let mut buffer = [0; 2048];
        let bytes = self.socket.recv(&mut buffer).expect("a datagram is answered");
        String::from_utf8(buffer[..bytes].to_vec()).unwrap()
    }
}
