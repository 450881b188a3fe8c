//! A socket server that serves very many TCP and UDP clients from one thread.
//!
//! A [service] is a function from bytes to bytes. It needs no socket to run:
//!
//! ```
//! use loopline::frame;
//! use loopline::service::{Action, Output, Progress, StreamService, message::Message};
//!
//! let (mut answer, mut lines) = (Vec::new(), Vec::new());
//! let peer = "192.0.2.1:4000".parse().unwrap();
//! let mut out = Output::new(peer, &mut answer, Some(&mut lines));
//!
//! // A complete frame, and the beginning of another.
//! let mut unread = Vec::new();
//! frame::append("hello", &mut unread);
//! unread.extend_from_slice(b"12");
//!
//! let progress = Message::new(1024).received(&unread, false, &mut out);
//! assert_eq!(progress, Progress { consumed: 64 + 5, action: Action::Continue });
//! assert_eq!(lines, b"[192.0.2.1:4000] hello\n");
//! let reply = frame::parse(&answer, 1024).unwrap().unwrap();
//! assert_eq!(reply.text(), "Message received successfully....");
//! ```
//!
//! The [event loop](event_loop::EventLoop) runs services on a [network](net::Net): the kernel's
//! ([`net::kernel::KernelNet`], on `mio`), or a simulated one in a test.
//!
//! ```
//! use loopline::event_loop::EventLoop;
//! use loopline::limits::Limits;
//! use loopline::net::kernel::KernelNet;
//! use loopline::service::greeting::{GREETING, Greeting};
//! use loopline::net::sockets::SocketOptions;
//! use std::io::Read;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let net = KernelNet::new(SocketOptions::default())?;
//! let stopper = net.stopper();
//! let mut server = EventLoop::new(net, Limits::default());
//! let address = server.listen("127.0.0.1:0".parse()?, Box::new(Greeting))?;
//!
//! let client = std::thread::spawn(move || -> std::io::Result<String> {
//!     let mut greeting = String::new();
//!     std::net::TcpStream::connect(address)?.read_to_string(&mut greeting)?;
//!     stopper.stop()?;
//!     Ok(greeting)
//! });
//! server.run()?; // until it is stopped
//! assert_eq!(client.join().unwrap()?, GREETING);
//! # Ok(())
//! # }
//! ```
//!
//! # How the parts fit
//!
//! | module | |
//! |---|---|
//! | [`service`] | what a server answers: traits for streams and datagrams, and the five services of the program |
//! | [`frame`] | the frame of the service `message` |
//! | [`event_loop`] | the turn: accept, read, commit, send, expire |
//! | [`net`] | what the loop asks of a network, and the kernel's |
//! | [`journal`] | the record of messages, written before they are acknowledged |
//! | [`limits`] | every limit of the loop |
//! | `client` | a blocking client of the five services (feature `cli`) |
//!
//! # Features
//!
//! - `cli` (default): the whole program. Without it the binary is `serve` alone, for small devices.
//! - `signals`: `KernelNet::take_signals`, so that SIGINT and SIGTERM drain the loop.
//! - `batches`: datagrams are received and sent many a system call.

#![warn(unreachable_pub)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr))]

// Public for the program alone.
#[doc(hidden)]
pub mod cli;
#[cfg(feature = "cli")]
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

pub use conn::CloseReason;
pub use conn::counters::Counters;
