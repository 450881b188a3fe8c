//! Requests in UDP datagrams: sent again while nobody answers, and answered by one server only. It knows
//! no service; which datagram answers a request is for the caller to judge.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::deadline::Deadline;
use super::error::{Failure, is_passing};

/// A socket connected to one server, so that datagrams of others never arrive, and the word of a host that
/// nothing listens there does.
pub(super) struct Datagrams {
    socket: UdpSocket,
    buffer: Vec<u8>,
}

/// What a datagram is to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The answer.
    Answer,
    /// The answer if nothing better comes before the request would be sent again.
    Perhaps,
    /// The answer if nothing better comes however often the request is sent.
    LastResort,
}

impl Datagrams {
    /// A socket for the server at `address`. Nothing is sent.
    pub(super) fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let any: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let connected = UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(address).map(|()| socket));
        let socket = connected.map_err(|error| Failure::of_network("connecting", error))?;
        Ok(Self { socket, buffer: vec![0; DATAGRAM_BYTES_MAX] })
    }

    /// Sends `request`, and again up to `retries` times while it is not answered; all tries together wait
    /// for `timeout`, each as long as the others. Returns the answer, which is whole.
    pub(super) fn ask(
        &mut self,
        request: &[u8],
        timeout: Duration,
        retries: u32,
        judge: &dyn Fn(&[u8]) -> Verdict,
    ) -> Result<Vec<u8>, Failure> {
        self.drop_what_came();
        let tries = tries(timeout, retries);
        let mut last_resort = None;
        for _ in 0..tries {
            self.send(request).map_err(|error| Failure::of_network("sending", error))?;
            let deadline = Deadline::after(timeout / tries);
            let mut perhaps = None;
            while let Some(datagram) = self.receive(&deadline)? {
                match judge(datagram) {
                    Verdict::Answer => return Ok(datagram.to_vec()),
                    Verdict::Perhaps => perhaps = Some(datagram.to_vec()),
                    Verdict::LastResort => last_resort = Some(datagram.to_vec()),
                }
            }
            if let Some(answer) = perhaps {
                return Ok(answer);
            }
        }
        last_resort.ok_or(Failure::NoAnswer { tries, after: timeout })
    }

    /// Sends `datagram` once, if that can be done, and waits for nothing.
    pub(super) fn tell(&self, datagram: &[u8]) {
        let _ = self.send(datagram);
    }

    fn send(&self, datagram: &[u8]) -> io::Result<()> {
        loop {
            match self.socket.send(datagram) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return sent.map(|_| ()),
            }
        }
    }

    /// The next datagram; `None` when none came in time.
    fn receive(&mut self, deadline: &Deadline) -> Result<Option<&[u8]>, Failure> {
        while let Some(remaining) = deadline.remaining() {
            let received = self
                .socket
                .set_read_timeout(Some(remaining))
                .and_then(|()| self.socket.recv(&mut self.buffer));
            match received {
                Ok(datagram_bytes) => return Ok(Some(&self.buffer[..datagram_bytes])),
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(Failure::of_network("receiving", error)),
            }
        }
        Ok(None)
    }

    /// Drops what came before a request and so cannot answer it: answers that were late, or came twice.
    fn drop_what_came(&mut self) {
        if self.socket.set_nonblocking(true).is_err() {
            return;
        }
        for _ in 0..DROPS_MAX {
            if self.socket.recv(&mut self.buffer).is_err() {
                break;
            }
        }
        let _ = self.socket.set_nonblocking(false);
    }
}

/// How often a request is sent: at most once more than `retries`, and less often when a try would not even
/// last [`TRY_MIN`].
fn tries(timeout: Duration, retries: u32) -> u32 {
    let at_most = u32::try_from(timeout.as_nanos() / TRY_MIN.as_nanos()).unwrap_or(u32::MAX);
    retries.saturating_add(1).min(at_most).max(1)
}

/// The shortest wait before a request is sent again. An answer from far away takes longer than less.
const TRY_MIN: Duration = Duration::from_millis(10);

/// Bytes of the longest datagram there can be.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// How many datagrams are dropped before a request: a server that sends without end must not hold it up.
const DROPS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn tries_are_fewer_than_asked_for_when_they_would_be_too_short() {
        assert_eq!(tries(Duration::from_secs(10), 3), 4);
        assert_eq!(tries(Duration::from_secs(10), 0), 1);
        assert_eq!(tries(Duration::from_millis(50), 1000), 5);
        assert_eq!(tries(Duration::from_millis(1), 3), 1);
        assert_eq!(tries(Duration::MAX, u32::MAX), u32::MAX);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the scripted server runs on a thread")]
    fn what_came_before_a_request_is_not_its_answer() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut datagrams = Datagrams::connect(server.local_addr().unwrap()).unwrap();
        server.send_to(b"old", datagrams.socket.local_addr().unwrap()).unwrap();
        let server = thread::spawn(move || {
            let (_, client) = server.recv_from(&mut [0; 16]).unwrap();
            server.send_to(b"new", client).unwrap();
        });
        let answer = datagrams.ask(b"request", Duration::from_secs(60), 0, &|_| Verdict::Answer);
        assert_eq!(answer.unwrap(), b"new");
        server.join().unwrap();
    }
}
