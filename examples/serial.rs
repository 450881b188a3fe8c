//! A serial port that many TCP clients share: each is sent what comes from it, and what they send is written to it.
//!
//! Run `cargo run --features handlers --example serial -- 127.0.0.1:7780 /dev/ttyUSB0 115200`, then `nc 127.0.0.1 7780` in several
//! terminals. Clients wait while the port does not take what they send, so a slow port costs little memory.

use std::error::Error;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, OnceLock};

use loopline::event_loop::EventLoop;
use loopline::event_loop::handlers::{ConnContext, ConnId, Context, Group, Handler, SourceEvent};
use loopline::limits::Limits;
use loopline::net::{kernel::KernelNet, sockets::SocketOptions};
use rustix::fs::{Mode, OFlags};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

const CLIENTS: Group = Group(0);
/// Bytes for the port above which no more are taken from clients.
const UNWRITTEN_BYTES_MAX: usize = 4096;

struct SerialPort {
    port: File,
    unwritten: Vec<u8>,
    /// Clients whose bytes wait.
    waiting: Vec<ConnId>,
    failure: Arc<OnceLock<io::Error>>,
}

impl SerialPort {
    /// Sends what comes from the port to all clients.
    fn read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match self.port.read(&mut buffer) {
                Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the port is gone")),
                Ok(bytes) => cx.publish(CLIENTS, &buffer[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes what the port takes. Clients continue when it has taken all.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while !self.unwritten.is_empty() {
            match self.port.write(&self.unwritten) {
                Ok(bytes) => drop(self.unwritten.drain(..bytes)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.waiting.drain(..).for_each(|client| _ = cx.resume(client));
        Ok(())
    }

    /// Moves what can be moved. A server without its port has nothing to serve.
    fn exchange(&mut self, may_read: bool, cx: &mut Context<'_>) {
        let read = if may_read { self.read(cx) } else { Ok(()) };
        let outcome = read.and_then(|()| self.write(cx));
        if outcome.is_err_and(|error| self.failure.set(error).is_ok()) {
            cx.stop();
        }
    }
}

impl Handler for SerialPort {
    type Conn = ();
    type Message = ();

    fn opened(&mut self, cx: &mut ConnContext<'_>) {
        let id = cx.id();
        cx.join(id, CLIENTS);
    }

    fn received(&mut self, _conn: &mut (), unread: &[u8], cx: &mut ConnContext<'_>) -> usize {
        if self.unwritten.len() > UNWRITTEN_BYTES_MAX {
            let id = cx.id();
            cx.pause(id);
            self.waiting.push(id);
            return 0;
        }
        self.unwritten.extend_from_slice(unread);
        self.exchange(false, cx);
        unread.len()
    }

    fn ready(&mut self, event: SourceEvent, cx: &mut Context<'_>) {
        self.exchange(event.readable, cx);
    }
}

/// Opens the port: non-blocking, and as it is, without the editing of a terminal.
fn open(path: &str, speed: u32) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let port = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let mut settings = tcgetattr(&port)?;
    settings.make_raw();
    settings.set_speed(speed)?;
    tcsetattr(&port, OptionalActions::Now, &settings)?;
    Ok(port)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().ok_or("usage: serial ADDRESS PATH SPEED");
    let (address, path, speed) = (argument()?, argument()?, argument()?);
    let port = open(&path, speed.parse()?).map_err(|error| format!("{path}: {error}"))?;
    let mut net = KernelNet::new(SocketOptions::default())?;
    net.take_signals()?;
    let mut server = EventLoop::new(net, Limits::default());
    let (failure, watched) = (Arc::default(), port.try_clone()?);
    let serial = SerialPort { port, unwritten: vec![], waiting: vec![], failure: Arc::clone(&failure) };
    let serial = server.add_handler(serial)?;
    server.watch(&serial, &watched)?;
    println!("listening on {}", server.listen_for(&serial, address.parse()?)?);
    server.run()?;
    failure.get().map_or(Ok(()), |error| Err(format!("{path}: {error}").into()))
}
