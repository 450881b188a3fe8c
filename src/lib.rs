//! A socket server that serves very many TCP and UDP clients from one thread.
//!
//! A [service] is a function from bytes to bytes, and the [event loop](event_loop::EventLoop) runs it on the
//! kernel's [network](net::kernel::KernelNet). This is a server that returns every line in upper case:
//!
//! ```
//! use loopline::event_loop::EventLoop;
//! use loopline::limits::Limits;
//! use loopline::net::kernel::KernelNet;
//! use loopline::net::sockets::SocketOptions;
//! use loopline::service::{Action, Output, Progress, StreamService};
//!
//! struct Shout;
//!
//! impl StreamService for Shout {
//!     fn received(&self, unread: &[u8], _ended: bool, out: &mut Output<'_>) -> Progress {
//!         // An incomplete line stays unconsumed and is passed again when more bytes have arrived.
//!         let lines = unread.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
//!         out.send(&unread[..lines].to_ascii_uppercase());
//!         Progress { consumed: lines, action: Action::Continue }
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let net = KernelNet::new(SocketOptions::default())?;
//! let stopper = net.stopper(); // ends `run` from another thread
//! let mut server = EventLoop::new(net, Limits::default());
//! let address = server.listen("127.0.0.1:0".parse()?, Box::new(Shout))?;
//! # let client = std::thread::spawn(move || -> std::io::Result<String> {
//! #     use std::io::{Read, Write};
//! #     let mut stream = std::net::TcpStream::connect(address)?;
//! #     stream.write_all(b"hello\n")?;
//! #     stream.shutdown(std::net::Shutdown::Write)?;
//! #     let mut reply = String::new();
//! #     stream.read_to_string(&mut reply)?;
//! #     stopper.stop()?;
//! #     Ok(reply)
//! # });
//! server.run()?;
//! # assert_eq!(client.join().unwrap()?, "HELLO\n");
//! # Ok(())
//! # }
//! ```
//!
//! In `Cargo.toml`, leave out what only the program needs:
//!
//! ```toml
//! [dependencies]
//! loopline = { path = "…", default-features = false, features = ["signals"] }
//! ```
//!
//! With the feature `signals`, `KernelNet::take_signals` makes SIGINT and SIGTERM stop the loop after the frames
//! that have begun. Without `signals`, Ctrl-C ends the process at once.
//!
//! A service is tested without a socket. This is the service `message` of the program, which journals:
//!
//! ```
//! use loopline::frame;
//! use loopline::journal::Lines;
//! use loopline::service::{Action, Output, Progress, StreamService, message::Message};
//!
//! let (mut reply, mut lines) = (Vec::new(), Lines::default());
//! let peer = "192.0.2.1:4000".parse().unwrap();
//! let mut out = Output::new(peer, &mut reply, Some(&mut lines));
//!
//! // A complete frame, and the beginning of another.
//! let mut unread = Vec::new();
//! frame::append("hello", &mut unread);
//! unread.extend_from_slice(b"12");
//!
//! let progress = Message::new(1024).received(&unread, false, &mut out);
//! assert_eq!(progress, Progress { consumed: 64 + 5, action: Action::Continue });
//! assert_eq!(lines.as_bytes(), b"[192.0.2.1:4000] hello\n");
//! let reply = frame::parse(&reply, 1024).unwrap().unwrap();
//! assert_eq!(reply.text(), "Message received successfully....");
//! ```
//!
//! A service that keeps state, speaks to several connections or needs timers is a
#![cfg_attr(feature = "handlers", doc = " [handler](event_loop::handlers::Handler).")]
#![cfg_attr(not(feature = "handlers"), doc = " handler (feature `handlers`).")]
//!
//! # How the parts fit
//!
//! | module | |
//! |---|---|
//! | [`service`] | what a server replies: traits for streams and datagrams, and the services of the program |
//! | [`frame`] | the frame of the service `message` |
//! | [`event_loop`] | the turn: accept, read, commit, send, expire |
//! | [`net`] | what the loop needs of a network, and the kernel's |
//! | [`journal`] | the messages, written before they are acknowledged |
//! | [`limits`] | every limit of the loop |
//! | [`client`] | a blocking client of the services of the program |
//!
//! # Features
//!
//! - `cli` (default): the whole program. Without it the binary is `serve` alone, for small devices.
//! - `signals`: `KernelNet::take_signals`. Without it, SIGINT and SIGTERM end the process at once.
//! - `handlers`: services with state, `event_loop::handlers`.
//! - `sim`: a simulated network for tests of services, `loopline::sim`.
//! - `batches`: several datagrams are received and sent per system call.
//! - `only`: the program, or a program that embeds the loop, has no parts but those that are named: `message`, `greeting`,
//!   `daytime`, `reply`, `month`, `journal`, `udp`, `time-zone`, `host-names`. A library must not enable it, since it takes
//!   parts from others. Modules and functions stay; without `journal`, nothing is written, and without `udp`,
//!   [`bind`](event_loop::EventLoop::bind) fails.

#![warn(unreachable_pub)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr))]

// Public for the program alone.
#[doc(hidden)]
pub mod cli;
pub mod client;
#[cfg(feature = "cli")]
mod compare;
mod conn;
#[cfg(feature = "cli")]
mod doctor;
pub mod event_loop;
pub mod frame;
pub mod journal;
pub mod limits;
#[cfg(feature = "cli")]
mod load;
pub mod net;
#[cfg(feature = "cli")]
mod report;
mod server;
pub mod service;
mod units;

/// What the fuzz targets in `fuzz/` call and is not public.
#[cfg(all(fuzzing, feature = "cli"))]
#[doc(hidden)]
pub mod fuzzing {
    use std::net::SocketAddr;

    pub use crate::cli::parse_arguments;

    /// Parses a PROXY header: its length, and the client that it names. `None`: it is not complete.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_proxy_header(bytes: &[u8]) -> Result<Option<(usize, Option<SocketAddr>)>, String> {
        let header = crate::conn::proxy_header::parse(bytes, 1024)?;
        Ok(header.map(|header| (header.bytes, header.source)))
    }

    /// Reads a histogram log.
    ///
    /// # Errors
    /// The line that is not of a log.
    pub fn read_histogram_log(bytes: &[u8]) -> Result<(), String> {
        use crate::load::stats::histogram_log::{Log, ReadError};
        match Log::read("log", bytes) {
            Ok(_) => Ok(()),
            Err(ReadError::Absent(what) | ReadError::Invalid(what)) => Err(what),
        }
    }
}

pub use conn::CloseReason;
pub use conn::counters::Counters;
#[cfg(feature = "sim")]
pub use net::sim;
