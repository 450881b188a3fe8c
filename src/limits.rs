//! Every bound of the server, in one place, each with the reason for its default.

use std::time::Duration;

/// What the loop and its connections may use. A timeout of `None` is off.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections served at once. The program sets it from the descriptor limit; who embeds the loop sees to
    /// it that the process may have as many descriptors.
    pub connections_max: usize,
    /// Connections over `connections_max` that are being told so, at once. They need descriptors of their
    /// own, which is why the program leaves that many free: a peer that is refused still reads why. While
    /// all are taken, further peers wait in the backlog.
    pub refusals_max: usize,
    /// Events taken from the kernel at a time. With more, the state of the first is out of the processor's
    /// cache before the last is looked at; with fewer, a busy loop polls more often than it must.
    pub events_per_poll_max: usize,
    /// Connections visited a turn; those left over come first in the next. Between two turns the loop looks
    /// at what is new: connects, datagrams, signals, deadlines.
    pub visits_per_turn_max: usize,
    /// Connections visited before what they said is recorded and answered. More share one write of the
    /// record and keep the kernel's receive and send paths warm, one after the other; fewer wait less for
    /// each other.
    pub visits_per_commit_max: usize,
    /// Bytes of answers after which a commit comes early, so that the buffer of a turn stays small however
    /// much a visit brings in.
    pub answer_bytes_per_commit_max: usize,
    /// Connections accepted a turn on each listener. A storm is taken in quickly, and those already
    /// connected wait for about a millisecond at most.
    pub accepts_per_turn_max: usize,
    /// Datagrams received a turn on each socket, so that a flood of them leaves time for streams.
    pub datagrams_per_turn_max: usize,
    /// Bytes read from a connection on a visit, which is the size of the one buffer that all share. It also
    /// bounds the frames answered on a visit: 1024 of the smallest fit in.
    pub read_bytes_max: usize,
    /// Bytes that a peer may leave unread of its answers before no more is read from it. What one visit
    /// answers comes on top.
    pub unsent_bytes_max: usize,
    /// Bytes on the way to the record before it is written to at once, or, when it takes nothing, before no
    /// more is read for it.
    pub journal_bytes_max: usize,
    /// Bytes thrown away on a connection that is over but whose peer still sends.
    pub linger_bytes_max: usize,
    /// How long such a peer has to end its side.
    pub linger_timeout: Duration,
    /// Sessions of each datagram endpoint.
    pub sessions_max: usize,
    /// After which a session without a datagram is forgotten.
    pub session_timeout: Duration,
    /// From a frame's first byte to its last, absolute: dripping bytes does not renew it.
    pub frame_timeout: Option<Duration>,
    /// Between frames. Holding idle connections is what the server is good at, so off by default.
    pub idle_timeout: Option<Duration>,
    /// How long a peer may take nothing of an answer.
    pub write_timeout: Option<Duration>,
    /// From a request to stop to the end, for frames that have begun.
    pub drain_timeout: Duration,
    /// How long accepting pauses when the system is out of descriptors or memory. No event tells that some
    /// came free elsewhere, so the next waiting peer waits that long at most.
    pub accept_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            refusals_max: 64,
            events_per_poll_max: 1024,
            visits_per_turn_max: 1024,
            visits_per_commit_max: 64,
            answer_bytes_per_commit_max: 256 * 1024,
            accepts_per_turn_max: 256,
            datagrams_per_turn_max: 128,
            read_bytes_max: 64 * 1024,
            unsent_bytes_max: 256 * 1024,
            journal_bytes_max: 1024 * 1024,
            linger_bytes_max: 64 * 1024,
            linger_timeout: Duration::from_secs(2),
            sessions_max: 65_536,
            session_timeout: Duration::from_secs(5 * 60),
            frame_timeout: Some(Duration::from_secs(30)),
            idle_timeout: None,
            write_timeout: Some(Duration::from_secs(30)),
            drain_timeout: Duration::from_secs(10),
            accept_pause: Duration::from_millis(20),
        }
    }
}
