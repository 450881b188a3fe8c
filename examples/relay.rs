//! A TCP relay: what comes from a client goes to another server, and back, by one thread.
//!
//! Run `cargo run --features handlers --example relay -- 127.0.0.1:7779 127.0.0.1:80`, then connect to port 7779. The end of one
//! side is passed on alone, so the other can go on to send. A side that does not take what it is sent keeps the other
//! from being read, so a slow peer costs no more memory than a quick one.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use loopline::CloseReason;
use loopline::event_loop::EventLoop;
use loopline::event_loop::handlers::{ConnContext, ConnId, Context, Handler};
use loopline::limits::Limits;
use loopline::net::kernel::KernelNet;
use loopline::net::sockets::SocketOptions;

/// How long the other server has to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The relay.
pub struct Relay {
    target: SocketAddr,
    /// The clients of connections that the other server has not accepted yet.
    clients: HashMap<ConnId, ConnId>,
}

impl Relay {
    /// A relay to this server.
    #[must_use]
    pub fn new(target: SocketAddr) -> Self {
        Self { target, clients: HashMap::new() }
    }
}

impl Handler for Relay {
    /// The connection on the other side.
    type Conn = ConnId;
    type Message = ();

    fn opened(&mut self, cx: &mut ConnContext<'_>) -> ConnId {
        let id = cx.id();
        if let Some(client) = self.clients.remove(&id) {
            return client;
        }
        match cx.connect(self.target, CONNECT_TIMEOUT) {
            Ok(server) => {
                self.clients.insert(server, id);
                server
            }
            Err(error) => {
                eprintln!("{}: {error}", self.target);
                cx.abort(id);
                id
            }
        }
    }

    fn received(&mut self, other: &mut ConnId, unread: &[u8], cx: &mut ConnContext<'_>) -> usize {
        cx.send_to(*other, unread);
        if cx.is_behind(*other) {
            let id = cx.id();
            cx.pause(id);
        }
        unread.len()
    }

    /// This side has taken everything: the other one is read again.
    fn drained(&mut self, other: &mut ConnId, cx: &mut ConnContext<'_>) {
        cx.resume(*other);
    }

    fn ended(&mut self, other: &mut ConnId, cx: &mut ConnContext<'_>) {
        cx.end_sending(*other);
    }

    fn connect_failed(&mut self, id: ConnId, error: &io::Error, cx: &mut Context<'_>) {
        eprintln!("{}: {error}", self.target);
        if let Some(client) = self.clients.remove(&id) {
            cx.abort(client);
        }
    }

    /// One that has failed must not look like one that has ended.
    fn closed(&mut self, _id: ConnId, other: ConnId, reason: CloseReason, cx: &mut Context<'_>) {
        if matches!(reason, CloseReason::Served | CloseReason::Stopped) {
            cx.disconnect(other);
        } else {
            cx.abort(other);
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, target] = arguments.as_slice() else { return Err("usage: relay ADDRESS TARGET".into()) };
    let mut net = KernelNet::new(SocketOptions::default())?;
    net.take_signals()?;
    let mut server = EventLoop::new(net, Limits::default());
    let relay = server.add_handler(Relay::new(target.parse()?))?;
    println!("listening on {}", server.listen_for(&relay, address.parse()?)?);
    server.run()?;
    Ok(())
}
