//! A datagram endpoint: which datagrams are answered, and with what.
//!
//! It knows the service and the sessions of its peers, and no socket: datagrams and time come in as
//! arguments, answers go out into the buffer of the turn.

use std::net::SocketAddr;

use crate::conn::deadlines::Tick;
use crate::conn::sessions::Sessions;
use crate::service::{DatagramService, Output};

/// Answers one datagram from `peer`, if it is to be answered; `datagram` is cut to one byte over the
/// service's limit.
pub(crate) fn answer(
    service: &dyn DatagramService,
    sessions: &mut Sessions,
    datagram: &[u8],
    peer: SocketAddr,
    out: &mut Output<'_>,
    now: Tick,
) -> Verdict {
    // Nobody can receive at port 0, and our own answers come back when somebody forges our address.
    if peer.port() == 0 || service.is_own_answer(datagram) {
        return Verdict::Dropped;
    }
    sessions.set(peer, service.received(sessions.of(peer), datagram, out), now);
    Verdict::Taken
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The service has seen it.
    Taken,
    /// It will not be answered.
    Dropped,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::service::month::{INTRODUCTION, Month};

    fn ask(sessions: &mut Sessions, datagram: &[u8], port: u16) -> (Verdict, String) {
        let peer = SocketAddr::from(([127, 0, 0, 1], port));
        let mut answers = Vec::new();
        let mut out = Output::new(peer, &mut answers, None);
        let verdict = answer(&Month, sessions, datagram, peer, &mut out, Tick::default());
        (verdict, String::from_utf8(answers).unwrap())
    }

    #[test]
    fn a_session_runs_from_introduction_to_goodbye() {
        let mut sessions = Sessions::new(&Limits::default());
        let said: Vec<String> =
            [&b"hi"[..], b"1", b"12", b"0", b"1"].iter().map(|text| ask(&mut sessions, text, 9).1).collect();
        assert_eq!(said, [INTRODUCTION, "January", "December", "Goodbye", INTRODUCTION]);
    }

    #[test]
    fn port_0_and_our_own_answers_are_never_answered() {
        let mut sessions = Sessions::new(&Limits::default());
        let dropped = (Verdict::Dropped, String::new());
        assert_eq!(ask(&mut sessions, b"hi", 0), dropped);
        assert_eq!(ask(&mut sessions, INTRODUCTION.as_bytes(), 9), dropped);
        assert_eq!(ask(&mut sessions, b"Error: x", 9), dropped);
        assert_eq!(sessions.wait_ms(Tick::default()), None);
    }

    #[test]
    fn two_servers_that_one_forged_datagram_points_at_each_other_fall_silent() {
        let (mut one, mut other) = (Sessions::new(&Limits::default()), Sessions::new(&Limits::default()));
        let (_, answer) = ask(&mut one, b"forged", 7);
        assert_eq!(ask(&mut other, answer.as_bytes(), 8), (Verdict::Dropped, String::new()));
    }
}
