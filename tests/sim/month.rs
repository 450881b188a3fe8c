//! Peers of the service `month`: what they ask, and which answers are possible.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use loopline::service::month::INTRODUCTION;

use super::datagrams::datagram_peer;
use super::months::MONTHS;
use super::random::Random;

#[derive(Default)]
pub struct MonthPeers {
    /// What the server has received of each peer and may still answer, the oldest first.
    open: HashMap<SocketAddr, VecDeque<Vec<u8>>>,
    pub replies: u64,
    /// The last reply to each peer.
    last: HashMap<SocketAddr, String>,
}

impl MonthPeers {
    pub fn request(random: &mut Random) -> Vec<u8> {
        match random.below(8) {
            0 => b"hello".to_vec(),
            1 => b"0".to_vec(),
            2 => vec![b'7'; random.below(1200)],
            // As if the server's own answers came back.
            3 => MONTHS[random.below(12)].into(),
            4 => b"Error: expected an integer from 1 to 12, or 0 to end\n".to_vec(),
            _ => format!(" {}\n", 1 + random.below(13)).into_bytes(),
        }
    }

    pub fn received(&mut self, peer: SocketAddr, bytes: &[u8]) {
        self.open.entry(peer).or_default().push_back(bytes.to_vec());
    }

    /// The last reply to the peer `host`.
    pub fn last_reply(&self, host: u8) -> &str {
        &self.last[&datagram_peer(host, true)]
    }

    /// A reply answers the oldest request that it can be for: those before it have no answer.
    pub fn replied(&mut self, reply: &[u8], peer: SocketAddr) {
        self.replies += 1;
        let reply = std::str::from_utf8(reply).unwrap();
        self.last.insert(peer, reply.to_owned());
        let open = self.open.get_mut(&peer).expect("only peers that have asked are answered");
        loop {
            let request = open.pop_front();
            let request =
                request.unwrap_or_else(|| panic!("{peer} has asked nothing with this answer: {reply:?}"));
            if answers(&request, reply) {
                return;
            }
        }
    }
}

/// Whether `reply` is a right answer to `request`, with a session or without.
fn answers(request: &[u8], reply: &str) -> bool {
    let text = std::str::from_utf8(request).unwrap();
    if MONTHS.contains(&text) || text.starts_with("Error: ") {
        return false;
    }
    let is_error = reply.starts_with("Error: expected an integer");
    if reply == INTRODUCTION {
        return request.len() <= 1024;
    }
    match text.trim().parse() {
        Ok(0) => reply == "Goodbye",
        Ok(month @ 1..=12) if request.len() <= 1024 => reply == MONTHS[month - 1],
        Ok(_) | Err(_) => is_error,
    }
}
