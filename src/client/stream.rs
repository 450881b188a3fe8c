//! A TCP connection to a server, with a deadline for every step.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::address;
use super::deadline::Deadline;
use super::error::{Awaited, Failure, is_temporary};
use super::server::Server;
use crate::service::StreamClient;

/// A connection, and the received bytes that no reply has consumed.
pub(super) struct Stream {
    service: &'static str,
    client: &'static dyn StreamClient,
    socket: TcpStream,
    unread: Vec<u8>,
}

impl Stream {
    /// Connects to the first address of the host of `to` that answers, within its timeout for all of them.
    pub(super) fn connect(
        to: &Server,
        service: &'static str,
        client: &'static dyn StreamClient,
    ) -> Result<Self, Failure> {
        let addresses = to.addresses()?;
        let socket = address::first_to_answer(&addresses, to.timeout, connect_to)?;
        Ok(Self { service, client, socket, unread: Vec::new() })
    }

    /// Sends the request that carries `text`. One of no bytes is sent by ending the sending side; after any
    /// other the side stays open, because some servers close when it ends.
    pub(super) fn send_request(&mut self, text: &str, deadline: &Deadline) -> Result<(), Failure> {
        let mut request = Vec::new();
        self.client.append_request(text, &mut request);
        if request.is_empty() {
            // It fails if the server has closed, which reading will show.
            let _ = self.socket.shutdown(Shutdown::Write);
        }
        self.send(&request, deadline)
    }

    /// Sends all of `bytes`.
    ///
    /// If the server has closed, that is no failure here: it may have sent something before, a refusal for
    /// example. If not, reading fails.
    fn send(&mut self, bytes: &[u8], deadline: &Deadline) -> Result<(), Failure> {
        let mut unsent = bytes;
        while !unsent.is_empty() {
            let Some(remaining) = deadline.remaining() else {
                return Err(Failure::TimedOut { awaited: Awaited::Sending, after: deadline.timeout });
            };
            let sent =
                self.socket.set_write_timeout(Some(remaining)).and_then(|()| self.socket.write(unsent));
            match sent {
                Ok(sent_bytes) => unsent = &unsent[sent_bytes..],
                Err(error) if is_temporary(&error) => {}
                Err(error) if is_closed(&error) => return Ok(()),
                Err(error) => return Err(Failure::of_network("sending", error)),
            }
        }
        Ok(())
    }

    /// Receives the body of the next reply. If the server ends the stream after a reply, the end of the
    /// stream completes any. After a failure, [`into_unread`](Self::into_unread) returns what came of it.
    pub(super) fn receive_reply(&mut self, deadline: &Deadline) -> Result<Vec<u8>, Failure> {
        let is_only = self.client.server_ends_stream();
        let reply_bytes_max = if is_only { ONLY_REPLY_BYTES_MAX } else { REPLY_BYTES_MAX };
        loop {
            let parsed = self
                .client
                .parse_reply(&self.unread)
                .map_err(|reason| Failure::NotTheProtocol { service: self.service, reason })?;
            if let Some(reply) = parsed {
                let (body, is_refusal) = (reply.body.to_vec(), reply.is_refusal);
                let wire_bytes = reply.wire_bytes;
                self.unread.drain(..wire_bytes);
                return if is_refusal {
                    Err(Failure::Refusal(String::from_utf8_lossy(&body).into_owned()))
                } else {
                    Ok(body)
                };
            }
            if self.unread.len() > reply_bytes_max {
                return Err(Failure::ReplyTooLong { reply_bytes_max });
            }
            if self.fill(deadline)? == 0 {
                if is_only && !self.unread.is_empty() {
                    return Ok(std::mem::take(&mut self.unread));
                }
                return Err(Failure::Closed { received_bytes: self.unread.len() });
            }
        }
    }

    /// Received bytes that no reply has consumed.
    pub(super) fn into_unread(self) -> Vec<u8> {
        self.unread
    }

    /// Waits for bytes and appends them to `unread`. Returns how many came; 0 is the end of the stream.
    fn fill(&mut self, deadline: &Deadline) -> Result<usize, Failure> {
        let mut chunk = [0; 16 << 10];
        loop {
            let received_bytes = self.unread.len();
            let Some(remaining) = deadline.remaining() else {
                let awaited = Awaited::Reply { received_bytes };
                return Err(Failure::TimedOut { awaited, after: deadline.timeout });
            };
            let read =
                self.socket.set_read_timeout(Some(remaining)).and_then(|()| self.socket.read(&mut chunk));
            match read {
                Ok(read_bytes) => {
                    self.unread.extend_from_slice(&chunk[..read_bytes]);
                    return Ok(read_bytes);
                }
                Err(error) if is_temporary(&error) => {}
                Err(error) if is_closed(&error) => return Err(Failure::Closed { received_bytes }),
                Err(error) => return Err(Failure::of_network("receiving", error)),
            }
        }
    }
}

fn connect_to(address: SocketAddr, timeout: Duration) -> Result<TcpStream, Failure> {
    let socket = TcpStream::connect_timeout(&address, timeout).map_err(|error| {
        if error.kind() == io::ErrorKind::TimedOut {
            Failure::TimedOut { awaited: Awaited::Connection, after: timeout }
        } else {
            Failure::of_network("connecting", error)
        }
    })?;
    if has_reached_itself(&socket) {
        return Err(Failure::ReachedItself);
    }
    // Each request is written at once and waited for: Nagle's algorithm would only delay it.
    socket.set_nodelay(true).map_err(|error| Failure::of_network("connecting", error))?;
    Ok(socket)
}

fn has_reached_itself(socket: &TcpStream) -> bool {
    matches!((socket.local_addr(), socket.peer_addr()), (Ok(local), Ok(peer)) if local == peer)
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe)
}

/// Maximum size of a reply in bytes where the server ends the stream after it.
const ONLY_REPLY_BYTES_MAX: usize = 64 << 10;

/// Maximum size of a reply in bytes where it does not, with room for what frames a text of 1 MiB.
const REPLY_BYTES_MAX: usize = (1 << 20) + 1024;

#[cfg(test)]
mod tests {
    use socket2::{Domain, Socket, Type};

    use super::*;

    #[test]
    fn a_connection_to_its_own_port_is_recognized() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let own_address = socket.local_addr().unwrap();
        socket.connect(&own_address).unwrap();
        assert!(has_reached_itself(&socket.into()));
    }
}
