//! Which datagrams are answered, and how much a peer is sent that may not have asked.
//!
//! The source address of a datagram can be forged, so an answer may reach a host that has sent nothing. These rules
//! keep it from harm:
//!
//! - No loop: a service at the other end that answers our answers, whatever it says, is sent no more than one
//!   error (see [`UdpSessions::on_error`]), and no answer to one of our own.
//! - Beyond loopback no amplification: the answer to a peer without a session is cut to three times what the peer
//!   has sent.
//! - Beyond loopback no answers to ports below 1024, where such services are, and a limited
//!   [rate](ReplyRate) of answers to each network.
//!
//! The rules know the service and the sessions of its peers, but no socket: datagrams and time are arguments,
//! answers are appended to a buffer.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::conn::deadlines::Tick;
use crate::conn::hash_key::HashKey;
use crate::conn::reply_rate::ReplyRate;
use crate::conn::source_network::SourceNetwork;
use crate::conn::udp_sessions::UdpSessions;
use crate::journal::Lines;
use crate::limits::{Limits, ReplyLimit};
use crate::service::{DatagramService, Output, Session};

/// The rules of one endpoint, and the sessions of its peers.
#[derive(Debug)]
pub(crate) struct ReplyRules {
    /// The address that it is bound to.
    own: SocketAddr,
    is_beyond_loopback: bool,
    pub(crate) sessions: UdpSessions,
    rate: Option<ReplyRate>,
}

/// A datagram that has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    /// Its bytes, cut to one byte over the service's limit.
    pub(crate) bytes: &'a [u8],
    pub(crate) peer: SocketAddr,
    /// The address that it was sent to, if it is known.
    pub(crate) local: Option<IpAddr>,
}

/// What was done with a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DatagramOutcome {
    /// The service has received it, and has written this many lines to the journal.
    Received { journal_lines: u64 },
    /// It is not answered.
    Dropped,
    /// It is not answered, because too many of the same network or peer were.
    Limited,
}

impl ReplyRules {
    /// The rules of an endpoint that is bound to `own`.
    pub(crate) fn new(own: SocketAddr, limits: &Limits, hash_key: HashKey) -> Self {
        let own = canonical(own);
        let is_beyond_loopback = !own.ip().is_loopback();
        let per_second = match limits.udp_replies {
            ReplyLimit::BeyondLoopback(per_second) => is_beyond_loopback.then_some(per_second),
            ReplyLimit::Everywhere(per_second) => Some(per_second),
            ReplyLimit::Off => None,
        };
        Self {
            own,
            is_beyond_loopback,
            sessions: UdpSessions::new(limits, hash_key),
            rate: per_second.map(|per_second| ReplyRate::new(per_second, hash_key)),
        }
    }

    /// Appends the answer to a datagram to `answers`, and its journal lines to `journal`.
    pub(crate) fn answer(
        &mut self,
        service: &dyn DatagramService,
        datagram: Received<'_>,
        answers: &mut Vec<u8>,
        journal: Option<&mut Lines>,
        now: Tick,
    ) -> DatagramOutcome {
        let Received { bytes, .. } = datagram;
        let peer = canonical(datagram.peer);
        if self.is_never_answered(peer, datagram.local) || service.is_own_answer(bytes) {
            return DatagramOutcome::Dropped;
        }
        if self.rate.as_mut().is_some_and(|rate| !rate.take(peer.ip(), now)) {
            return DatagramOutcome::Limited;
        }
        let session = self.sessions.find(peer);
        if self.is_beyond_loopback && session.is_none() && bytes.is_empty() {
            // The answer would be cut to nothing.
            return DatagramOutcome::Dropped;
        }
        let start = answers.len();
        let mut out = Output::new(datagram.peer, answers, journal);
        let before = if session.is_some() { Session::Open } else { Session::None };
        let after = service.received(before, bytes, &mut out);
        let journal_lines = out.journal_lines();
        let received = DatagramOutcome::Received { journal_lines };
        match (session, after) {
            (None, after) => {
                if self.is_beyond_loopback {
                    answers.truncate(start + 3 * bytes.len());
                }
                if after == Session::Open {
                    self.sessions.open(peer, now);
                }
            }
            (Some(key), Session::None) => self.sessions.close(key),
            (Some(key), Session::Open) if service.is_error(&answers[start..]) => {
                if !self.sessions.on_error(key, now) {
                    answers.truncate(start);
                    return DatagramOutcome::Dropped;
                }
            }
            (Some(key), Session::Open) => self.sessions.on_request(key, now),
        }
        received
    }

    /// What the log says of a datagram of `peer` that is not answered because of the rate.
    pub(crate) fn limited(&self, peer: SocketAddr) -> impl fmt::Display + use<> {
        let per_second = self.rate.as_ref().map_or(0, ReplyRate::per_second);
        let peer = canonical(peer);
        LimitedLine { own: self.own, peer, per_second }
    }

    /// Whether `peer` is no peer that could have asked, or one that answers whatever it is sent.
    fn is_never_answered(&self, peer: SocketAddr, local: Option<IpAddr>) -> bool {
        if peer.port() == 0 || self.is_own_address(peer, local) {
            return true;
        }
        self.is_beyond_loopback
            && (peer.port() < PORT_MIN
                || match peer.ip() {
                    IpAddr::V4(ip) => ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast(),
                    IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast(),
                })
    }

    /// Whether `peer` is the socket itself, which was sent a datagram at `local`.
    fn is_own_address(&self, peer: SocketAddr, local: Option<IpAddr>) -> bool {
        let is_own_ip = || {
            peer.ip() == self.own.ip()
                || self.own.ip().is_unspecified()
                    && local.is_some_and(|local| local.to_canonical() == peer.ip())
        };
        peer.port() == self.own.port() && is_own_ip()
    }
}

struct LimitedLine {
    own: SocketAddr,
    peer: SocketAddr,
    per_second: u32,
}

impl fmt::Display for LimitedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { own, peer, per_second } = self;
        let network = SourceNetwork::of(peer.ip());
        write!(
            f,
            "{own}: does not answer {peer}: its network {network} is sent {per_second} replies a second, \
             and one address half of them (--udp-replies)"
        )
    }
}

/// An IPv4 peer and its IPv4-mapped IPv6 address are one peer.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(_) => SocketAddr::new(address.ip().to_canonical(), address.port()),
    }
}

/// The first port that is answered beyond loopback: those below it are services (echo, chargen, DNS), not clients.
const PORT_MIN: u16 = 1024;

#[cfg(test)]
mod tests;
