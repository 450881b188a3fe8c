//! A connection to a server that keeps it open after a reply, and one for a single reply.

use std::fmt;
use std::sync::Arc;

use super::deadline::Deadline;
use super::error::{ClientError, Failure};
use super::retry::retry;
use super::server::Server;
use super::stream::Stream;
use crate::service::StreamClient;

/// A connection to the service `message`.
///
/// After an error, the next message is sent on a new one. A server that has closed the connection meanwhile is such an
/// error: the message that finds it is not sent again without [`Client::retry`](super::Client::retry). Dropping it closes
/// it without [`disconnect`](Self::disconnect), which servers accept as well.
pub struct Connection {
    server: Arc<Server>,
    service: &'static str,
    side: &'static dyn StreamClient,
    /// `None` after a failure.
    stream: Option<Stream>,
}

impl Connection {
    /// Connects to the service that has `side`.
    pub(super) fn open(
        server: Server,
        service: &'static str,
        side: &'static dyn StreamClient,
    ) -> Result<Self, Failure> {
        let stream = retry(&server, || Stream::connect(&server, service, side))?;
        Ok(Self { server: server.into(), service, side, stream: Some(stream) })
    }

    /// Sends `message` and waits until it is acknowledged. Returns the acknowledgement.
    ///
    /// # Errors
    /// Any [`Failure`] of sending and receiving, and if it has to connect again, of connecting. Without
    /// [`Client::retry`](super::Client::retry) it is then unknown whether the server has recorded the message.
    pub fn send(&mut self, message: &str) -> Result<String, ClientError> {
        let reply = self.exchange(message).map_err(|failure| self.server.error(self.service, failure))?;
        Ok(String::from_utf8_lossy(&reply).into_owned())
    }

    /// Ends the conversation with the farewell of the service, which is recorded as a message. A server may close the
    /// connection instead of acknowledging it.
    ///
    /// # Errors
    /// If the server refuses the farewell, or replies with what is no frame.
    pub fn disconnect(mut self) -> Result<(), ClientError> {
        self.say_farewell().map_err(|failure| self.server.error(self.service, failure))
    }

    /// Sends `text`, again as often as failures may be retried, and returns its reply.
    pub(super) fn exchange(&mut self, text: &str) -> Result<Vec<u8>, Failure> {
        let server = Arc::clone(&self.server);
        retry(&server, || self.try_exchange(text))
    }

    /// A failure leaves no stream, so that no late reply is taken for that to the next request.
    fn try_exchange(&mut self, text: &str) -> Result<Vec<u8>, Failure> {
        let mut stream = self.stream()?;
        let deadline = Deadline::after(self.server.timeout);
        stream.send_request(text, &deadline)?;
        let reply = stream.receive_reply(&deadline)?;
        self.stream = Some(stream);
        Ok(reply)
    }

    /// Takes the open stream, or connects.
    fn stream(&mut self) -> Result<Stream, Failure> {
        self.stream.take().map_or_else(|| Stream::connect(&self.server, self.service, self.side), Ok)
    }

    /// Every text has its reply by now. Some servers close at the farewell before they reply to it, or never
    /// reply; a refusal is reported.
    pub(super) fn say_farewell(&mut self) -> Result<(), Failure> {
        let Some(farewell) = self.side.farewell().filter(|_| self.stream.is_some()) else { return Ok(()) };
        match self.try_exchange(farewell) {
            Err(failure) if !failure.is_silence() => Err(failure),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.server).finish()
    }
}

/// The reply on a connection of its own, to `request` if there is one. After a failure, `part` is what was
/// received of the reply.
pub(super) fn only_reply(
    server: &Server,
    service: &'static str,
    side: &'static dyn StreamClient,
    request: Option<&str>,
    part: &mut Vec<u8>,
) -> Result<Vec<u8>, Failure> {
    retry(server, || {
        part.clear();
        let mut stream = Stream::connect(server, service, side)?;
        let deadline = Deadline::after(server.timeout);
        if let Some(request) = request {
            stream.send_request(request, &deadline)?;
        }
        let received = stream.receive_reply(&deadline);
        if received.is_err() {
            *part = stream.into_unread();
        }
        received
    })
}
