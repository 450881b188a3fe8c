//! Handlers: services that keep state, and speak to more than the peer that has just sent something.
//!
//! A [`StreamService`] is a function of bytes. A [`Handler`] has a state for each of its
//! connections, is told when one is opened, closed or drained, can arm a timer for it, can send to other connections and to
//! [groups](Group) of them, opens connections to other servers, takes messages of other threads from a [`Handle`], and events of
//! descriptors of its own. It runs in the same loop, beside services of the other kind.
//!
//! ```
//! use loopline::event_loop::EventLoop;
//! use loopline::event_loop::handlers::{ConnContext, Group, Handler};
//! use loopline::limits::Limits;
//! use loopline::net::kernel::KernelNet;
//! use loopline::net::sockets::SocketOptions;
//!
//! /// Sends each line to everybody.
//! struct Room;
//!
//! const EVERYBODY: Group = Group(0);
//!
//! impl Handler for Room {
//!     /// The number of lines of a peer.
//!     type Conn = u64;
//!     type Message = String;
//!
//!     fn opened(&mut self, cx: &mut ConnContext<'_>) -> u64 {
//!         let id = cx.id();
//!         cx.join(id, EVERYBODY);
//!         0
//!     }
//!
//!     fn received(&mut self, lines: &mut u64, unread: &[u8], cx: &mut ConnContext<'_>) -> usize {
//!         let mut consumed = 0;
//!         for line in unread.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
//!             consumed += line.len();
//!             *lines += 1;
//!             cx.publish(EVERYBODY, line);
//!         }
//!         consumed
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut server = EventLoop::new(KernelNet::new(SocketOptions::default())?, Limits::default());
//! let room = server.add_handler(Room)?;
//! let address = server.listen_for(&room, "127.0.0.1:0".parse()?)?;
//! # let client = std::thread::spawn(move || -> std::io::Result<String> {
//! #     use std::io::{Read, Write};
//! #     let mut stream = std::net::TcpStream::connect(address)?;
//! #     stream.write_all(b"hello\n")?;
//! #     stream.shutdown(std::net::Shutdown::Write)?;
//! #     let mut reply = String::new();
//! #     stream.read_to_string(&mut reply)?;
//! #     room.stop()?;
//! #     Ok(reply)
//! # });
//! server.run()?;
//! # assert_eq!(client.join().unwrap()?, "hello\n");
//! # Ok(())
//! # }
//! ```

mod adapter;
mod calls;
mod context;
pub(super) mod groups;
mod handler;
#[cfg(debug_assertions)]
mod invariants;
mod mailbox;
mod outgoing;
mod registry;
mod steps;

use std::fmt;

use crate::conn::token::ConnToken;
use crate::service::StreamService;

use adapter::AnyHandler;
pub use context::{ConnContext, Context};
pub use groups::Group;
pub use handler::{Handler, SourceEvent, SourceId};
pub use mailbox::{Handle, PostError};
pub use registry::ConnId;
use registry::Registry;

/// The handlers of a server.
pub(super) struct Handlers {
    list: Vec<Box<dyn AnyHandler>>,
    /// What each of them is at its endpoints.
    at_endpoints: Vec<fn() -> Box<dyn StreamService>>,
    /// The endpoint of each for connections to other servers.
    outgoing: Vec<u8>,
    registry: Registry,
    /// Connections whose peers have taken all that they were sent, and whose handlers do not know it yet.
    drained: Vec<ConnToken>,
    /// Connections to other servers that have had an event before they were open.
    pub(super) connecting_ready: Vec<ConnToken>,
    /// The handler of each source.
    sources: Vec<u8>,
    /// Events of sources that were not passed on yet.
    events: Vec<SourceEvent>,
}

impl Handlers {
    pub(super) fn new() -> Self {
        Self {
            list: Vec::new(),
            at_endpoints: Vec::new(),
            outgoing: Vec::new(),
            registry: Registry::new(),
            drained: Vec::new(),
            connecting_ready: Vec::new(),
            sources: Vec::new(),
            events: Vec::new(),
        }
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers").field("count", &self.list.len()).finish_non_exhaustive()
    }
}
