//! Which datagrams are answered.
//!
//! The rules know the service and the sessions of its peers, but no socket: datagrams and time are arguments,
//! answers are appended to a buffer.

use std::net::SocketAddr;

use crate::conn::deadlines::Tick;
use crate::conn::udp_sessions::UdpSessions;
use crate::service::{DatagramService, Output};

/// Answers one datagram from `peer`, if it is to be answered; `datagram` is cut to one byte over the
/// service's limit.
pub(crate) fn answer(
    service: &dyn DatagramService,
    sessions: &mut UdpSessions,
    datagram: &[u8],
    peer: SocketAddr,
    out: &mut Output<'_>,
    now: Tick,
) -> DatagramOutcome {
    // Nothing can be received at port 0, and our own answers come back when our address is forged.
    if peer.port() == 0 || service.is_own_answer(datagram) {
        return DatagramOutcome::Dropped;
    }
    sessions.set(peer, service.received(sessions.of(peer), datagram, out), now);
    DatagramOutcome::Received
}

/// What was done with a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DatagramOutcome {
    /// The service has received it.
    Received,
    /// It is ignored.
    Dropped,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::service::month::{INTRODUCTION, Month};

    fn ask(sessions: &mut UdpSessions, datagram: &[u8], port: u16) -> (DatagramOutcome, String) {
        let peer = SocketAddr::from(([127, 0, 0, 1], port));
        let mut answers = Vec::new();
        let mut out = Output::new(peer, &mut answers, None);
        let outcome = answer(&Month, sessions, datagram, peer, &mut out, Tick::default());
        (outcome, String::from_utf8(answers).unwrap())
    }

    #[test]
    fn a_session_runs_from_introduction_to_goodbye() {
        let mut sessions = UdpSessions::new(&Limits::default());
        let answers: Vec<String> =
            [&b"hi"[..], b"1", b"12", b"0", b"1"].iter().map(|text| ask(&mut sessions, text, 9).1).collect();
        assert_eq!(answers, [INTRODUCTION, "January", "December", "Goodbye", INTRODUCTION]);
    }

    #[test]
    fn port_0_and_our_own_answers_are_never_answered() {
        let mut sessions = UdpSessions::new(&Limits::default());
        let dropped = (DatagramOutcome::Dropped, String::new());
        assert_eq!(ask(&mut sessions, b"hi", 0), dropped);
        assert_eq!(ask(&mut sessions, INTRODUCTION.as_bytes(), 9), dropped);
        assert_eq!(ask(&mut sessions, b"Error: x", 9), dropped);
        assert_eq!(sessions.wait_ms(Tick::default()), None);
    }

    #[test]
    fn two_servers_pointed_at_each_other_by_a_forged_datagram_fall_silent() {
        let (mut one, mut other) =
            (UdpSessions::new(&Limits::default()), UdpSessions::new(&Limits::default()));
        let (_, answer) = ask(&mut one, b"forged", 7);
        assert_eq!(ask(&mut other, answer.as_bytes(), 8), (DatagramOutcome::Dropped, String::new()));
    }
}
