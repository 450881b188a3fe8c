//! What a server may do as it stops: nothing before the drain delay is over, then what takes nothing from a peer, and
//! anything at the drain timeout or the second request.

use std::time::Duration;

use loopline::limits::Limits;

use super::peer::Peer;
use super::wire::Wire;

pub struct StopModel {
    delay_ms: u64,
    timeout_ms: u64,
    linger_ms: u64,
    /// Requests that the server has received, and when it received the first.
    requests: u32,
    first_ms: Option<u64>,
    is_draining: bool,
}

impl StopModel {
    pub fn new(limits: &Limits) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap();
        Self {
            delay_ms: ms(limits.drain_delay),
            timeout_ms: ms(limits.drain_timeout),
            linger_ms: ms(limits.drain_linger_timeout),
            requests: 0,
            first_ms: None,
            is_draining: false,
        }
    }

    /// The server receives requests.
    pub fn receive(&mut self, requests: u32, now_ms: u64) {
        self.requests += requests;
        if requests > 0 {
            self.first_ms.get_or_insert(now_ms);
            self.is_draining |= self.delay_ms == 0;
        }
    }

    /// A turn that could see the end of the delay is over.
    pub fn begin_poll(&mut self, now_ms: u64) {
        self.is_draining |= self.has_delay_passed(now_ms);
    }

    pub fn was_requested(&self) -> bool {
        self.requests > 0
    }

    /// The server has begun to drain before this turn.
    pub fn is_draining(&self) -> bool {
        self.is_draining
    }

    fn has_delay_passed(&self, now_ms: u64) -> bool {
        self.first_ms.is_some_and(|first_ms| now_ms >= first_ms + self.delay_ms)
    }

    fn is_over(&self, now_ms: u64) -> bool {
        let end_ms = self.first_ms.map(|first_ms| first_ms + self.delay_ms + self.timeout_ms);
        self.requests >= 2 || end_ms.is_some_and(|end_ms| now_ms >= end_ms)
    }

    pub fn may_close_listeners(&self, now_ms: u64) -> bool {
        self.has_delay_passed(now_ms)
    }

    /// Whether the stop is a reason to close a connection.
    pub fn may_close(&self, peer: &Peer, wire: &Wire, now_ms: u64) -> bool {
        if self.is_over(now_ms) {
            return true;
        }
        let quiet_since_ms = wire.server_ended.map_or(wire.accepted_ms, |(ended_ms, _)| Some(ended_ms));
        let is_quiet = quiet_since_ms.is_some_and(|ms| now_ms >= ms + self.linger_ms);
        let is_idle = wire.server_ended.is_some() || !peer.is_unfinished(wire.read_bytes, wire.sent.len());
        self.has_delay_passed(now_ms) && is_quiet && is_idle
    }

    /// Whether there is a reason to end the stream of a connection: the peer has been sent its last answer, or the stop
    /// takes nothing from it.
    pub fn may_end(&self, peer: &Peer, wire: &Wire, now_ms: u64) -> bool {
        let is_refused =
            !peer.expected.starts_with(&wire.sent) || (!wire.is_message() && wire.sent.is_empty());
        if peer.is_unscripted() || wire.end_read || is_refused || wire.sent == peer.expected {
            return true;
        }
        // The first frame of a connection that has just begun may be on its way.
        let accepted_ms = wire.accepted_ms.unwrap_or(now_ms);
        let is_new = wire.sent.is_empty() && now_ms < accepted_ms + self.linger_ms;
        self.has_delay_passed(now_ms) && !is_new && !peer.is_unfinished(wire.read_bytes, wire.sent.len())
    }

    /// Checks whether the server has stopped when it must, and not before. `in_order`: its journal has not failed.
    pub fn check(&self, is_stopped: bool, in_order: bool, now_ms: u64) {
        assert!(
            is_stopped || self.requests < 2,
            "the second request to stop does not end the server at once"
        );
        let may_stop = self.requests >= 2 || self.has_delay_passed(now_ms);
        assert!(
            !is_stopped || !in_order || may_stop,
            "the server has stopped before its drain delay is over"
        );
    }
}
