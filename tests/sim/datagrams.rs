//! Datagrams of the simulated network: sockets that are queues, batches that end anywhere, and replies that
//! fail to be sent; and what must have become of each datagram in the end.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use loopline::net::{Datagram, Token};
use loopline::service::{DatagramService, Output, Session};

use super::disk::Disk;
use super::faults::{Faults, Random};

/// A datagram on its way to the server.
struct Request {
    text: String,
    peer: SocketAddr,
    local: IpAddr,
}

/// A socket; the server has the other half.
pub struct SimSocket {
    pub token: Token,
    queue: VecDeque<Request>,
    /// An event for those that wait is due.
    pub edge: bool,
    /// Number received by the server since the last poll.
    received_this_turn: usize,
    /// What the server has received, by text: the sender, and the address it was sent to.
    received: HashMap<String, (SocketAddr, IpAddr)>,
    /// Number of replies to each text.
    replies: HashMap<String, usize>,
    /// Number of replies that the network did not take.
    failed: u64,
}

impl SimSocket {
    pub fn new(token: Token) -> Self {
        Self {
            token,
            queue: VecDeque::new(),
            edge: false,
            received_this_turn: 0,
            received: HashMap::new(),
            replies: HashMap::new(),
            failed: 0,
        }
    }

    /// Ends a turn, which may receive `datagrams_max`.
    pub fn end_turn(&mut self, datagrams_max: usize) {
        assert!(self.received_this_turn <= datagrams_max, "a turn receives a bounded number of datagrams");
        self.received_this_turn = 0;
    }

    /// All `requests` were received. Each is answered once, unless the network did not take the reply or the
    /// journal was blocked, and `unsent` counts those. Returns the number of replies.
    pub fn check(&self, requests: u64, unsent: u64, journal_blocks: bool) -> usize {
        assert_eq!(self.received.len() as u64, requests);
        assert!(self.replies.values().all(|times| *times == 1), "{:?}", self.replies);
        assert_eq!(self.replies.len() as u64 + unsent, requests, "each reply that was not sent is counted");
        let unanswered = self.received.keys().filter(|text| !self.replies.contains_key(*text));
        let unexplained = unanswered.filter(|text| !journal_blocks || !text.contains(RECORDED)).count();
        assert!(unexplained as u64 <= self.failed, "a reply is lost for no reason");
        self.replies.len()
    }

    pub fn has_edge(&self) -> bool {
        self.edge && !self.queue.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// A peer sends a text that no other datagram has.
    pub fn send_request(&mut self, random: &mut Random) {
        let number = self.received.len() + self.queue.len();
        let recorded = if random.one_in(3) { RECORDED } else { "" };
        let text = format!("{number:04}{recorded}");
        // Some are longer than the service accepts.
        let text = if random.one_in(10) { format!("{text:-<TEXT_BYTES_MAX$}---") } else { text };
        let [peer, local] = [(); 2].map(|()| u8::try_from(1 + random.below(4)).unwrap());
        let peer = SocketAddr::from(([10, 7, 7, peer], 4000));
        self.queue.push_back(Request { text, peer, local: IpAddr::from([10, 9, 9, local]) });
        self.edge = true;
    }

    /// The server receives the next datagram. No event reports that more are left.
    pub fn receive(
        &mut self,
        random: &mut Random,
        faults: &Faults,
        buffer: &mut [u8],
    ) -> io::Result<Datagram> {
        if random.fails(faults.interrupted_calls) {
            return Err(ErrorKind::Interrupted.into());
        }
        if random.fails(faults.failed_receives) {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        let Request { text, peer, local } = self.queue.pop_front().ok_or(ErrorKind::WouldBlock)?;
        self.received_this_turn += 1;
        let text = &text[..text.len().min(buffer.len())];
        buffer[..text.len()].copy_from_slice(text.as_bytes());
        assert!(self.received.insert(text.to_owned(), (peer, local)).is_none());
        Ok(Datagram { bytes: 0..text.len(), peer, local: Some(local) })
    }

    /// The server sends a reply.
    pub fn send(
        &mut self,
        random: &mut Random,
        faults: &Faults,
        disk: &Disk,
        reply: &[u8],
        to: &Datagram,
    ) -> io::Result<()> {
        if random.fails(faults.interrupted_calls) {
            return Err(ErrorKind::Interrupted.into());
        }
        if random.fails(faults.failed_sends) {
            self.failed += 1;
            return Err([ErrorKind::WouldBlock, ErrorKind::PermissionDenied][random.below(2)].into());
        }
        let reply = std::str::from_utf8(reply).unwrap();
        let text = reply.strip_prefix(PREFIX).expect("what is sent is a reply");
        let (peer, local) = self.received[text];
        assert_eq!(to.peer, peer, "the reply to {text}");
        assert!(to.local.is_none_or(|from| from == local), "the reply to {text}");
        let is_recorded = disk.records(peer).iter().any(|record| record == text);
        assert!(!text.contains(RECORDED) || is_recorded, "{text} is answered, but not recorded");
        *self.replies.entry(text.to_owned()).or_default() += 1;
        Ok(())
    }
}

/// Replies with what it receives, and records what contains [`RECORDED`].
pub struct Echo;

impl DatagramService for Echo {
    fn received(&self, _: Session, datagram: &[u8], out: &mut Output<'_>) -> Session {
        let text = std::str::from_utf8(datagram).unwrap();
        if text.contains(RECORDED) {
            out.record(datagram);
        }
        out.send(PREFIX.as_bytes());
        out.send(datagram);
        Session::Open
    }

    fn is_own_answer(&self, datagram: &[u8]) -> bool {
        datagram.starts_with(PREFIX.as_bytes())
    }

    fn datagram_bytes_max(&self) -> usize {
        TEXT_BYTES_MAX
    }
}

const TEXT_BYTES_MAX: usize = 12;

const RECORDED: &str = "record";

const PREFIX: &str = "re: ";
