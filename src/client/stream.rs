//! A TCP connection to a server on which every step has a deadline. It knows frames and bytes, and not
//! which service they are of.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::address;
use super::deadline::Deadline;
use super::error::{Awaited, Failure, is_passing};
use crate::frame;
use crate::service::endpoint::Endpoint;

/// A connection, and the bytes that came on it and were not read as a reply yet.
pub(super) struct Stream {
    socket: TcpStream,
    unread: Vec<u8>,
}

impl Stream {
    /// Connects to the first address of `endpoint` that answers, within `timeout` for all of them.
    pub(super) fn connect(endpoint: &Endpoint, timeout: Duration) -> Result<Self, Failure> {
        let addresses = address::resolve(endpoint)?;
        let socket = address::first_to_answer(&addresses, timeout, connect_to)?;
        Ok(Self { socket, unread: Vec::new() })
    }

    /// Sends all of `bytes`.
    ///
    /// A server that has closed is not a failure here. What it said before is still to be read, a refusal
    /// for example; if it said nothing, reading is what fails.
    pub(super) fn send(&mut self, bytes: &[u8], deadline: &Deadline) -> Result<(), Failure> {
        let mut unsent = bytes;
        while !unsent.is_empty() {
            let Some(remaining) = deadline.remaining() else {
                return Err(Failure::TimedOut { awaited: Awaited::Sending, after: deadline.timeout });
            };
            let sent =
                self.socket.set_write_timeout(Some(remaining)).and_then(|()| self.socket.write(unsent));
            match sent {
                Ok(sent_bytes) => unsent = &unsent[sent_bytes..],
                Err(error) if is_passing(&error) => {}
                Err(error) if is_closed(&error) => return Ok(()),
                Err(error) => return Err(Failure::of_network("sending", error)),
            }
        }
        Ok(())
    }

    /// Tells the server that nothing more will be sent. One that has closed need not be told.
    pub(super) fn end(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// The body of the next frame.
    pub(super) fn receive_frame(&mut self, deadline: &Deadline) -> Result<String, Failure> {
        loop {
            let parsed = frame::parse(&self.unread, REPLY_BYTES_MAX).map_err(Failure::NotTheProtocol)?;
            if let Some(frame) = parsed {
                let (body, wire_bytes) = (frame.text().to_owned(), frame.wire_bytes());
                self.unread.drain(..wire_bytes);
                return Ok(body);
            }
            if self.fill(deadline)? == 0 {
                return Err(Failure::Closed { received_bytes: self.unread.len() });
            }
        }
    }

    /// Waits until what came is whole, as `is_whole` knows, or until the server ends the stream.
    /// [`into_unread`](Self::into_unread) has what came, after a failure too.
    pub(super) fn receive_answer(
        &mut self,
        is_whole: fn(&[u8]) -> bool,
        deadline: &Deadline,
    ) -> Result<(), Failure> {
        while !is_whole(&self.unread) {
            if self.unread.len() > ANSWER_BYTES_MAX {
                return Err(Failure::AnswerTooLong { answer_bytes_max: ANSWER_BYTES_MAX });
            }
            if self.fill(deadline)? == 0 {
                if self.unread.is_empty() {
                    return Err(Failure::Closed { received_bytes: 0 });
                }
                return Ok(());
            }
        }
        Ok(())
    }

    /// What came and was not read as a frame.
    pub(super) fn into_unread(self) -> Vec<u8> {
        self.unread
    }

    /// Waits for bytes and appends them to those unread. Returns how many came; 0 is the end of the stream.
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
                Err(error) if is_passing(&error) => {}
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
    // Each request is written whole and waited for: a delay to gather more would only delay.
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

/// Bytes of the longest body of a reply.
const REPLY_BYTES_MAX: usize = 1 << 20;

/// Bytes after which an answer that only the end of the stream ends is taken for endless.
const ANSWER_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use socket2::{Domain, Socket, Type};

    use super::*;

    #[test]
    fn a_connection_to_its_own_port_is_known() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let own_address = socket.local_addr().unwrap();
        socket.connect(&own_address).unwrap();
        assert!(has_reached_itself(&socket.into()));
    }
}
