//! A datagram service that only the simulation has: it replies with what it receives, and records some of it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use loopline::journal::Ack;
use loopline::net::Datagram;
use loopline::service::{DatagramService, Output, Session};

use super::disk::Disk;
use super::random::Random;

pub struct Echo;

impl DatagramService for Echo {
    fn received(&self, _: Session, datagram: &[u8], out: &mut Output<'_>) -> Session {
        if std::str::from_utf8(datagram).unwrap().contains(RECORDED) {
            out.record("echo", datagram);
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

/// Its peers: no two datagrams have the same text, so that each reply can be told from the others.
#[derive(Default)]
pub struct EchoPeers {
    numbers: usize,
    /// What the server has received, by text: the sender, and the address it was sent to.
    received: HashMap<String, (SocketAddr, IpAddr)>,
    /// Number of replies to each text.
    replies: HashMap<String, usize>,
}

impl EchoPeers {
    pub fn request(&mut self, random: &mut Random) -> Vec<u8> {
        let recorded = if random.one_in(3) { RECORDED } else { "" };
        let text = format!("{:04}{recorded}", self.numbers);
        self.numbers += 1;
        // Some are longer than the service accepts.
        let text = if random.one_in(10) { format!("{text:-<TEXT_BYTES_MAX$}---") } else { text };
        text.into_bytes()
    }

    pub fn received(&mut self, bytes: &[u8], peer: SocketAddr, local: IpAddr) {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(self.received.insert(text, (peer, local)).is_none());
    }

    pub fn replied(&mut self, reply: &[u8], to: &Datagram, disk: &Disk) {
        let reply = std::str::from_utf8(reply).unwrap();
        let text = reply.strip_prefix(PREFIX).expect("what is sent is a reply");
        let (peer, local) = self.received[text];
        assert_eq!(to.peer, peer, "the reply to {text}");
        assert!(to.local.is_none_or(|from| from == local), "the reply to {text}");
        let waits = text.contains(RECORDED) && disk.ack != Ack::Received;
        assert!(
            !waits || disk.records(peer).iter().any(|record| record == text),
            "{text} is answered, but not recorded"
        );
        let times = self.replies.entry(text.to_owned()).or_default();
        *times += 1;
        assert_eq!(*times, 1, "{text} is answered once");
    }

    /// All `requests` were received. Each is answered once, unless the network did not take the reply (`failed`
    /// of them) or the journal was blocked, and `unsent` counts those. Returns the number of replies.
    pub fn check(&self, requests: u64, unsent: u64, failed: u64, journal_blocks: bool) -> usize {
        assert_eq!(self.received.len() as u64, requests);
        assert_eq!(self.replies.len() as u64 + unsent, requests, "each reply that was not sent is counted");
        let unanswered = self.received.keys().filter(|text| !self.replies.contains_key(*text));
        let unexplained = unanswered.filter(|text| !journal_blocks || !text.contains(RECORDED)).count();
        assert!(unexplained as u64 <= failed, "a reply is lost for no reason");
        self.replies.len()
    }
}

const TEXT_BYTES_MAX: usize = 12;

const RECORDED: &str = "record";

const PREFIX: &str = "re: ";
