//! A log that blocks or is gone never affects the peers.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::thread;

use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::common::{MODELS, PROGRAM, Peer, Serve, Signal, eventually};

#[test]
fn a_blocked_log_does_not_affect_peers() {
    for model in MODELS {
        let serve = Serve::new("message=0 --log debug --journal none --model").arg(model);
        let mut server = serve.with_blocked_log().start();
        exchange_many(server.address("message"));
        // The number of dropped lines is logged once the pipe is writable again.
        server.unblock_log();
        eventually("lines are logged again", || {
            server.connect("message").exchange("one more");
            server.log().contains("lines before this one were dropped").then_some(())
        });
        server.stop_cleanly();
    }
}

#[test]
fn a_log_whose_reader_is_gone_does_not_affect_peers() {
    for model in MODELS {
        let serve = Serve::new("message=0 --log debug --journal none --model").arg(model);
        let server = serve.with_broken_log().start();
        exchange_many(server.address("message"));
        server.stop_cleanly();
    }
}

#[test]
fn a_log_that_is_closed_before_the_start_does_not_affect_peers() {
    for model in MODELS {
        let reserved = ReservedPort::new();
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$@\" 2>&-", "sh", PROGRAM]);
        let child = reserved.serve(&mut shell, model);
        reserved.peer().exchange("served");
        Peer::connect(reserved.address).exchange("served");
        drop(child);
    }
}

#[test]
fn a_log_file_that_has_reached_its_limit_does_not_affect_peers() {
    for model in MODELS {
        let log = tempfile::NamedTempFile::new().unwrap();
        let reserved = ReservedPort::new();
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -f 4; log=$1; shift; exec \"$@\" 2>\"$log\"", "sh"]);
        shell.arg(log.path()).arg(PROGRAM);
        let child = reserved.serve(&mut shell, model);
        reserved.peer().exchange("served");
        exchange_many(reserved.address);
        assert!((1024..=4096).contains(&log.path().metadata().unwrap().len()));
        drop(child);
    }
}

#[test]
fn a_terminal_that_does_not_take_a_whole_line_does_not_affect_peers() {
    for model in MODELS {
        let terminal = Terminal::open();
        check_stuck_terminal(model, &terminal, &mut Command::new(PROGRAM));
    }
}

#[test]
fn a_terminal_of_another_user_does_not_affect_peers() {
    if !rustix::process::geteuid().is_root() {
        assert!(
            std::env::var_os("LOOPLINE_NO_SKIP").is_none(),
            "only root can start a server as another user"
        );
        eprintln!("skipped: only root can start a server as another user");
        return;
    }
    for model in MODELS {
        let terminal = Terminal::open();
        // The terminal belongs to root: `nobody` cannot open it again.
        check_stuck_terminal(model, &terminal, Command::new(PROGRAM).uid(65534).gid(65534));
    }
}

/// Serves with a log on a terminal that is not read: peers are served, signals end the server, and what has been
/// written are whole lines, but for the last.
fn check_stuck_terminal(model: &str, terminal: &Terminal, program: &mut Command) {
    let arguments = ["serve", "message=0", "--log", "debug", "--journal", "none", "--model", model];
    program.args(arguments).env("NO_COLOR", "1").stderr(terminal.line());
    let mut server = Running(program.spawn().unwrap());
    let mut log = String::new();
    eventually("the server is ready", || {
        log += &terminal.read();
        log.contains("] ready\r\n").then_some(())
    });
    let address = log.split_once("listening: message tcp ").unwrap().1.split_once("\r\n").unwrap().0;
    let address = address.parse().unwrap();
    exchange_many(address);
    // The number of dropped lines is logged once the terminal is read again.
    eventually("lines are logged again", || {
        Peer::connect(address).exchange("one more");
        log += &terminal.read();
        log.contains("lines before this one were dropped").then_some(())
    });
    exchange_many(address);
    kill_process(Pid::from_child(&server.0), Signal::TERM).unwrap();
    let status = eventually("the server exits", || server.0.try_wait().unwrap());
    assert!(status.success(), "{status}");
    log += &terminal.read();
    let (whole, _) = log.rsplit_once("\r\n").unwrap();
    for line in whole.split("\r\n") {
        let level = line.split(' ').next().unwrap();
        assert!(["INFO", "WARN", "DEBUG"].contains(&level), "{line:?}");
    }
}

#[test]
fn an_error_is_printed_to_a_terminal_that_is_stuck_without_waiting_for_ever() {
    let terminal = Terminal::open();
    terminal.fill();
    let mut program = Command::new(PROGRAM);
    program.args(["serve", "message=192.0.2.1:0"]).stderr(terminal.line());
    let mut child = program.spawn().unwrap();
    let status = eventually("the program exits", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
}

/// A terminal, and the side of it that a terminal emulator reads.
struct Terminal(File);

impl Terminal {
    fn open() -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        ioctl_fionbio(&controller, true).unwrap();
        Self(controller.into())
    }

    /// The side that programs write to.
    fn line(&self) -> File {
        let path = ptsname(&self.0, Vec::new()).unwrap();
        let flags = rustix::fs::OFlags::NOCTTY.bits().cast_signed();
        File::options().read(true).write(true).custom_flags(flags).open(path.to_str().unwrap()).unwrap()
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        let mut line = self.line();
        ioctl_fionbio(&line, true).unwrap();
        while line.write(&[b'x'; 100]).is_ok() {}
    }

    /// What is there to read.
    fn read(&self) -> String {
        let mut text = Vec::new();
        let mut chunk = [0; 4096];
        while let Ok(bytes @ 1..) = (&self.0).read(&mut chunk) {
            text.extend_from_slice(&chunk[..bytes]);
        }
        String::from_utf8(text).unwrap()
    }
}

/// A port that no other process gets, and that the server may share.
struct ReservedPort {
    _socket: Socket,
    address: SocketAddr,
}

impl ReservedPort {
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { _socket: socket, address }
    }

    /// Starts a server there, which may not be ready yet.
    fn serve(&self, program: &mut Command, model: &str) -> Running {
        let message = format!("message={}", self.address);
        let arguments = ["serve", "--reuse-port", "--log", "debug", "--journal", "none", "--model", model];
        Running(program.args(arguments).arg(message).spawn().unwrap())
    }

    /// The first peer of the server.
    fn peer(&self) -> Peer {
        eventually("the server listens", || TcpStream::connect(self.address).ok().map(Peer::on))
    }
}

/// A server that is killed on drop.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Exchanges messages that are logged with more bytes than a pipe holds, from several peers at once.
fn exchange_many(address: SocketAddr) {
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    Peer::connect(address).exchange("served");
                }
            });
        }
        // Many peers that connect and leave at once.
        for _ in 0..5 {
            let mut peers: Vec<Peer> = (0..100).map(|_| Peer::connect(address)).collect();
            peers.iter_mut().for_each(|peer| peer.exchange("served"));
        }
    });
    Peer::connect(address).exchange("served at last");
}
