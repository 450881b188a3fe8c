//! Datagrams of the simulated network: sockets that are queues, batches that are cut anywhere, and answers
//! that fail now and then; and what must have become of every datagram in the end.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use loopline::net::{Datagram, Token};
use loopline::service::{DatagramService, Output, Session};

use super::{Disk, Random};

/// A datagram on the way to the server.
struct Asked {
    text: String,
    peer: SocketAddr,
    local: IpAddr,
}

/// A socket, of which the server has the other half.
pub struct SimSocket {
    pub token: Token,
    waiting: VecDeque<Asked>,
    /// An event of those that wait is due.
    pub edge: bool,
    /// Taken by the server since the last poll.
    taken: usize,
    /// What was taken, by its text: from whom, and where it was asked.
    asked: HashMap<String, (SocketAddr, IpAddr)>,
    /// Answered so often, by text.
    answered: HashMap<String, usize>,
    /// Sending has failed so often.
    failed: u64,
}

impl SimSocket {
    pub fn new(token: Token) -> Self {
        Self {
            token,
            waiting: VecDeque::new(),
            edge: false,
            taken: 0,
            asked: HashMap::new(),
            answered: HashMap::new(),
            failed: 0,
        }
    }

    /// A turn is over, in which so many could be taken.
    pub fn end_turn(&mut self, datagrams_max: usize) {
        assert!(self.taken <= datagrams_max, "a turn takes a bounded number of datagrams");
        self.taken = 0;
    }

    /// All was asked, and answered once or, as far as the network or the record took no answer, never.
    pub fn check(&self, asked: u64, unsent: u64) {
        assert_eq!(self.asked.len() as u64, asked);
        assert!(self.answered.values().all(|times| *times == 1), "{:?}", self.answered);
        assert_eq!(self.answered.len() as u64 + unsent, asked, "every answer that was not sent is counted");
        let unanswered = self.asked.keys().filter(|text| !self.answered.contains_key(*text));
        let not_recorded = unanswered.filter(|text| !text.contains(RECORDED)).count() as u64;
        assert!(not_recorded <= self.failed, "only what depends on the record is lost because of it");
    }

    pub fn has_edge(&self) -> bool {
        self.edge && !self.waiting.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A peer asks something that nobody has asked before.
    pub fn ask(&mut self, random: &mut Random) {
        let number = self.asked.len() + self.waiting.len();
        let to_be_recorded = if random.one_in(3) { RECORDED } else { "" };
        let text = format!("{number:04}{to_be_recorded}");
        // Longer than the service takes, now and then.
        let text = if random.one_in(10) { format!("{text:-<TEXT_BYTES_MAX$}---") } else { text };
        let [peer, local] = [(); 2].map(|()| u8::try_from(1 + random.below(4)).unwrap());
        let peer = SocketAddr::from(([10, 7, 7, peer], 4000));
        self.waiting.push_back(Asked { text, peer, local: IpAddr::from([10, 9, 9, local]) });
        self.edge = true;
    }

    /// The next that waits. Now and then it is an error of somebody, or an interruption. No event tells that more is left.
    pub fn receive(&mut self, random: &mut Random, slot: &mut [u8]) -> io::Result<Datagram> {
        if random.one_in(8) {
            let kinds = [ErrorKind::Interrupted, ErrorKind::ConnectionRefused];
            return Err(kinds[random.below(2)].into());
        }
        let Asked { text, peer, local } = self.waiting.pop_front().ok_or(ErrorKind::WouldBlock)?;
        self.taken += 1;
        let text = &text[..text.len().min(slot.len())];
        slot[..text.len()].copy_from_slice(text.as_bytes());
        assert!(self.asked.insert(text.to_owned(), (peer, local)).is_none());
        Ok(Datagram { bytes: 0..text.len(), peer, local: Some(local) })
    }

    /// Sends an answer. That fails now and then.
    pub fn send(&mut self, random: &mut Random, disk: &Disk, answer: &[u8], to: &Datagram) -> io::Result<()> {
        if random.one_in(8) {
            let kinds = [ErrorKind::Interrupted, ErrorKind::WouldBlock, ErrorKind::PermissionDenied];
            let kind = kinds[random.below(3)];
            self.failed += u64::from(kind != ErrorKind::Interrupted);
            return Err(kind.into());
        }
        let answer = std::str::from_utf8(answer).unwrap();
        let text = answer.strip_prefix(ANSWER).expect("what is sent is an answer");
        let (peer, local) = self.asked[text];
        assert_eq!(to.peer, peer, "the answer to {text}");
        assert!(to.local.is_none_or(|from| from == local), "the answer to {text}");
        let line = format!("[{peer}] {text}\n");
        let lines = String::from_utf8_lossy(&disk.lines);
        assert!(!text.contains(RECORDED) || lines.contains(&line), "{text} is answered, not recorded");
        *self.answered.entry(text.to_owned()).or_default() += 1;
        Ok(())
    }
}

/// Answers everything, and records what asks for it.
pub struct Parrot;

impl DatagramService for Parrot {
    fn received(&self, _: Session, datagram: &[u8], out: &mut Output<'_>) -> Session {
        let text = std::str::from_utf8(datagram).unwrap();
        if text.contains(RECORDED) {
            out.record(datagram);
        }
        out.send(ANSWER.as_bytes());
        out.send(datagram);
        Session::Open
    }

    fn is_own_answer(&self, datagram: &[u8]) -> bool {
        datagram.starts_with(ANSWER.as_bytes())
    }

    fn datagram_bytes_max(&self) -> usize {
        TEXT_BYTES_MAX
    }
}

const TEXT_BYTES_MAX: usize = 12;

const RECORDED: &str = "record";

const ANSWER: &str = "re: ";
