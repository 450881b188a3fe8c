//! Requests in UDP datagrams, sent again until one server answers. It knows no service: the caller decides
//! which datagram answers a request.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::deadline::Deadline;
use super::error::{Failure, is_temporary};

/// A socket connected to one server, so that datagrams of others are dropped and ICMP errors are reported.
pub(super) struct DatagramSocket {
    socket: UdpSocket,
    buffer: Vec<u8>,
}

/// How well a datagram matches a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    /// It is the answer.
    Certain,
    /// It is the answer if no better one comes before the request would be sent again.
    Possible,
    /// It is the answer if no better one comes after all tries.
    LastResort,
}

impl DatagramSocket {
    /// A socket for the server at `address`. Nothing is sent.
    pub(super) fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let any: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let connected = UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(address).map(|()| socket));
        let socket = connected.map_err(|error| Failure::of_network("connecting", error))?;
        // It would take its own requests for answers.
        if socket.local_addr().is_ok_and(|local| local == address) {
            return Err(Failure::ReachedItself);
        }
        Ok(Self { socket, buffer: vec![0; DATAGRAM_BYTES_MAX] })
    }

    /// Sends `request`, and again up to `retries` times until it is answered; the tries share `timeout`
    /// equally. Returns the answer.
    pub(super) fn request(
        &mut self,
        request: &[u8],
        timeout: Duration,
        retries: u32,
        judge: &dyn Fn(&[u8]) -> Match,
    ) -> Result<Vec<u8>, Failure> {
        self.discard_received();
        let tries = tries(timeout, retries);
        let mut last_resort = None;
        for _ in 0..tries {
            self.send(request).map_err(|error| Failure::of_network("sending", error))?;
            let deadline = Deadline::after(timeout / tries);
            let mut possible = None;
            while let Some(datagram) = self.receive(&deadline)? {
                match judge(datagram) {
                    Match::Certain => return Ok(datagram.to_vec()),
                    Match::Possible => possible = Some(datagram.to_vec()),
                    Match::LastResort => last_resort = Some(datagram.to_vec()),
                }
            }
            if let Some(answer) = possible {
                return Ok(answer);
            }
        }
        last_resort.ok_or(Failure::NoAnswer { tries, after: timeout })
    }

    /// Sends `datagram` once, without waiting for an answer.
    pub(super) fn send(&self, datagram: &[u8]) -> io::Result<()> {
        loop {
            match self.socket.send(datagram) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return sent.map(|_| ()),
            }
        }
    }

    /// The next datagram; `None` if none came in time.
    fn receive(&mut self, deadline: &Deadline) -> Result<Option<&[u8]>, Failure> {
        while let Some(remaining) = deadline.remaining() {
            let received = self
                .socket
                .set_read_timeout(Some(remaining))
                .and_then(|()| self.socket.recv(&mut self.buffer));
            match received {
                Ok(datagram_bytes) => return Ok(Some(&self.buffer[..datagram_bytes])),
                Err(error) if is_temporary(&error) => {}
                Err(error) => return Err(Failure::of_network("receiving", error)),
            }
        }
        Ok(None)
    }

    /// Discards datagrams that came before the request is sent: late and duplicate answers.
    fn discard_received(&mut self) {
        if self.socket.set_nonblocking(true).is_err() {
            return;
        }
        for _ in 0..DISCARDS_MAX {
            if self.socket.recv(&mut self.buffer).is_err() {
                break;
            }
        }
        let _ = self.socket.set_nonblocking(false);
    }
}

/// The number of times a request is sent: once more than `retries`, or fewer if a try would be shorter than
/// [`TRY_MIN`].
fn tries(timeout: Duration, retries: u32) -> u32 {
    let at_most = u32::try_from(timeout.as_nanos() / TRY_MIN.as_nanos()).unwrap_or(u32::MAX);
    retries.saturating_add(1).min(at_most).max(1)
}

/// Minimum time before a request is sent again: many networks have longer round trips than less.
const TRY_MIN: Duration = Duration::from_millis(10);

/// Maximum size of a UDP datagram in bytes.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Maximum number of datagrams discarded before a request, so that a server that floods cannot block it.
const DISCARDS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn tries_are_fewer_when_they_would_be_too_short() {
        assert_eq!(tries(Duration::from_secs(10), 3), 4);
        assert_eq!(tries(Duration::from_secs(10), 0), 1);
        assert_eq!(tries(Duration::from_millis(50), 1000), 5);
        assert_eq!(tries(Duration::from_millis(1), 3), 1);
        assert_eq!(tries(Duration::MAX, u32::MAX), u32::MAX);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the scripted server runs on a thread")]
    fn a_datagram_from_before_the_request_is_not_its_answer() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut socket = DatagramSocket::connect(server.local_addr().unwrap()).unwrap();
        server.send_to(b"old", socket.socket.local_addr().unwrap()).unwrap();
        let server = thread::spawn(move || {
            let (_, client) = server.recv_from(&mut [0; 16]).unwrap();
            server.send_to(b"new", client).unwrap();
        });
        let answer = socket.request(b"request", Duration::from_secs(60), 0, &|_| Match::Certain);
        assert_eq!(answer.unwrap(), b"new");
        server.join().unwrap();
    }
}
