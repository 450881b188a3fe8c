//! A blocking client of the services of the program.
//!
//! A [`Client`] knows where a server is and how long to wait. It is used by one thread, which blocks; every step has a
//! timeout. This sends two messages to the service `message`, each of which is acknowledged once it is in the
//! journal of the server:
//!
//! ```
//! use std::time::Duration;
//!
//! use loopline::client::Client;
//! # use loopline::{event_loop::EventLoop, limits::Limits, net::kernel::KernelNet, net::sockets::SocketOptions};
//! # use loopline::service::message::Message;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let net = KernelNet::new(SocketOptions::default())?;
//! # let stopper = net.stopper();
//! # let mut server = EventLoop::new(net, Limits::default());
//! # let address = server.listen("127.0.0.1:0".parse()?, Box::new(Message::new(1024)))?.to_string();
//! # let user = std::thread::spawn(move || -> Result<(), loopline::client::ClientError> {
//! let client = Client::new(&address)?.timeout(Duration::from_secs(10));
//! let mut connection = client.connect()?;
//! assert_eq!(connection.send("hello")?, "Message received successfully....");
//! assert_eq!(connection.send("how are you?")?, "Message received successfully....");
//! connection.disconnect()?;
//! #     stopper.stop().unwrap();
//! #     Ok(())
//! # });
//! # server.run()?;
//! # user.join().unwrap()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! A [`ClientError`] prints as one line that names the server. Its [`Failure`] is what went wrong:
//!
//! ```
//! use loopline::client::{Client, Failure};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A port at which nothing listens.
//! let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
//! let error = Client::new(&format!("127.0.0.1:{port}"))?.connect().unwrap_err();
//! assert!(matches!(error.failure, Failure::Refused));
//! assert!(error.failure.is_transient());
//! # Ok(())
//! # }
//! ```
//!
//! # Retrying
//!
//! With [`Client::retry`], a request that has no reply when its connection is lost, refused or silent is sent again,
//! on a new connection. That is *at least once*: if the server had recorded the message, and only its
//! acknowledgement was lost, the message is recorded a second time. Messages stay in order, since each is sent when
//! the one before it is acknowledged: a journal can have `one`, `two`, `two`, `three`, but neither `one`, `three`
//! nor `two`, `one`. Put a number of your own into the messages if a reader of the journal must find duplicates. What a
//! server refuses is final ([`Failure::Refusal`]).

mod address;
mod connection;
#[cfg(feature = "cli")]
mod conversation;
mod datagram;
mod deadline;
mod error;
#[cfg(feature = "cli")]
mod input;
mod month;
#[cfg(feature = "cli")]
mod prompt;
mod retry;
mod server;
mod stream;

use std::time::Duration;

use crate::service::StreamClient;
use crate::service::daytime::DaytimeClient;
use crate::service::endpoint::parse_address;
use crate::service::greeting::Greeting;
use crate::service::message::MessageClient;
use crate::service::month::Month;
use crate::service::reply::Reply;

use connection::only_reply;
use server::{PORT_0, Server};

pub use connection::Connection;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub use conversation::{Options, run, run_with};
pub use error::{Awaited, ClientError, Failure, Unsent};
#[cfg(feature = "cli")]
#[doc(hidden)]
pub use input::Lines;
pub use month::MonthSession;

/// Where a server is, how long to wait for it, and whether to try again. It has no connection of its own.
#[derive(Debug, Clone)]
pub struct Client(Server);

impl Client {
    /// A client of the server at `address`, which is `HOST:PORT`, or `PORT` for 127.0.0.1. HOST is a name or an
    /// address; an IPv6 address is in brackets. Timeouts are 10 s, and nothing is retried but datagrams, three times.
    ///
    /// # Errors
    /// [`Failure::Usage`] if `address` is none, or its port is 0.
    pub fn new(address: &str) -> Result<Self, ClientError> {
        let parsed = parse_address(address)
            .and_then(|(host, port)| if port == 0 { Err(PORT_0.into()) } else { Ok((host, port)) });
        let (host, port) = parsed.map_err(|reason| ClientError::of_usage(address, reason))?;
        Ok(Self(Server {
            host,
            port,
            timeout: Duration::from_secs(10),
            datagram_retries: 3,
            retry_limit: None,
        }))
    }

    /// Sets the maximum time to connect, and from the first byte of a request to the last of its reply. The
    /// addresses of a host share the time to connect equally. The time to look up the name of the host is
    /// limited by the resolver alone. With a time of zero, every call fails.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = timeout;
        self
    }

    /// Sets how often a datagram without an answer is sent again. All tries together take at most the timeout.
    #[must_use]
    pub fn datagram_retries(mut self, retries: u32) -> Self {
        self.0.datagram_retries = retries;
        self
    }

    /// Sends a request again that has no reply, on a new connection, after a
    /// [transient failure](Failure::is_transient). The pauses between attempts grow from 0.1 s to 5 s and are partly
    /// random. After `limit` from the first failure, the next one is final; an attempt that has begun by then is not
    /// cut short. A reply starts the time anew. [What this means for messages](self#retrying).
    #[must_use]
    pub fn retry(mut self, limit: Duration) -> Self {
        self.0.retry_limit = Some(limit);
        self
    }

    /// Connects to the service `message`.
    ///
    /// # Errors
    /// Any [`Failure`] of connecting.
    pub fn connect(&self) -> Result<Connection, ClientError> {
        Connection::open(self.0.clone(), "message", &MessageClient)
            .map_err(|failure| self.0.error("message", failure))
    }

    /// What the service `greeting` sends.
    ///
    /// # Errors
    /// Any [`Failure`] of connecting and receiving.
    pub fn greeting(&self) -> Result<String, ClientError> {
        self.only_text("greeting", &Greeting, None)
    }

    /// The date and time that the service `daytime` sends, with the line end.
    ///
    /// # Errors
    /// As [`greeting`](Self::greeting).
    pub fn daytime(&self) -> Result<String, ClientError> {
        self.only_text("daytime", &DaytimeClient, None)
    }

    /// Sends one request to the service `reply`, and returns the answer.
    ///
    /// # Errors
    /// Any [`Failure`] of connecting, sending and receiving.
    pub fn reply(&self, request: &str) -> Result<String, ClientError> {
        self.only_text("reply", &Reply, Some(request))
    }

    /// Opens a session of the service `month`.
    ///
    /// # Errors
    /// Any [`Failure`] of connecting, or [`Failure::NoAnswer`].
    pub fn month(&self) -> Result<MonthSession, ClientError> {
        MonthSession::open(self.0.clone(), &Month).map_err(|failure| self.0.error("month", failure))
    }

    fn only_text(
        &self,
        service: &'static str,
        side: &'static dyn StreamClient,
        request: Option<&str>,
    ) -> Result<String, ClientError> {
        let reply = only_reply(&self.0, service, side, request, &mut Vec::new());
        reply
            .map(|reply| String::from_utf8_lossy(&reply).into_owned())
            .map_err(|failure| self.0.error(service, failure))
    }
}
