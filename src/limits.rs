//! Every limit of the server, with the reason for its default.

use std::time::Duration;

/// The limits of the loop and its connections. A timeout of `None` is off.
///
/// ```
/// use std::time::Duration;
///
/// use loopline::limits::Limits;
///
/// // Sensors that report every hour to a small machine.
/// let limits = Limits {
///     connections_max: 500,
///     connections_per_source_max: Some(4),
///     idle_timeout: Some(Duration::from_secs(2 * 60 * 60)),
///     memory_bytes_max: 8 << 20,
///     ..Limits::default()
/// };
/// # let _ = limits;
/// ```
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections served at once. The program sets it from the descriptor limit; a process that embeds
    /// the loop must have as many descriptors.
    pub connections_max: usize,
    /// Connections of one source that are served at once; `None`: any number. A source is an IPv4 address, or
    /// the /64 of an IPv6 address. Off by default, since a proxy or a load generator is one source.
    pub connections_per_source_max: Option<usize>,
    /// Connections that are refused at the same time. Each has a descriptor until its peer has read why, so the
    /// program keeps this many free. While all are in use, further peers are refused without waiting for that: bytes
    /// that they send meanwhile may cost them the reason.
    pub refusals_max: usize,
    /// Events of one poll. With more, the state of the first connection has left the processor's cache before the
    /// last is visited; with fewer, a busy loop polls more often than necessary.
    pub events_per_poll_max: usize,
    /// Connections visited per turn, and as many of those that move bulk. The rest is visited first in the next turn.
    /// Between two turns the loop handles new connections, datagrams, signals and deadlines.
    pub visits_per_turn_max: usize,
    /// Bytes read from a connection per visit, unless its last read had more: then it moves bulk, and is visited
    /// after all others. So a peer with a message or a few waits for the messages of others, and not for their
    /// bulk. Twenty of the usual short messages fit.
    pub light_read_bytes_max: usize,
    /// Bytes read from, and unsent bytes written to, the connections that move bulk, per turn; one of them is
    /// visited in any case. It is what a peer with a short message may have to wait for, however many connections
    /// move bulk: about a millisecond. With fewer, their messages share fewer writes of the journal.
    pub bulk_bytes_per_turn_max: usize,
    /// Connections visited before a commit. More share one write of the journal, and keep first the kernel's
    /// receive path and then its send path in the cache; fewer wait less for each other.
    pub visits_per_commit_max: usize,
    /// Bytes of answers before a commit, so that the buffer of a turn stays small however much is read.
    pub answer_bytes_per_commit_max: usize,
    /// Connections accepted per turn on each listener. A storm of connects is accepted quickly, and open connections
    /// wait for about a millisecond at most. After as many failures in a row, each further one is followed by a
    /// pause, since trying again at once would spin.
    pub accepts_per_turn_max: usize,
    /// Datagrams received per turn on each socket, so that a flood of them leaves time for streams.
    pub datagrams_per_turn_max: usize,
    /// Bytes read per visit from a connection that moves bulk: the size of the shared read buffer. It also bounds
    /// the frames answered per visit: 2,048 of the smallest fit.
    pub read_bytes_max: usize,
    /// The same for what is missing of a frame of known length. Such a frame is received where it stays and not in the
    /// shared buffer, so that a read can take all that has collected meanwhile. The threads read as much.
    pub long_read_bytes_max: usize,
    /// Bytes of a long frame that collect in the kernel before its connection is read again, unless fewer are missing.
    /// So a peer that sends a long message alone does not wake the loop for each packet. A quarter of it is the least
    /// that is waited for. With 0, all bytes are read as they come.
    pub low_water_bytes_max: usize,
    /// The budget for all bytes that wait in the server: received and not consumed, answered and not sent, journaled
    /// and not written. Near it the connections that hold most are not read, and above seven eighths the worst are
    /// closed. The program sets it from the memory of the machine.
    pub memory_bytes_max: usize,
    /// A memory plan. `None`, the default: memory is allocated when it is needed, and returned when it is not. With a size
    /// in bytes, everything is allocated at the start, for `connections_max` connections, and nothing until the server is
    /// asked to stop: bytes that wait are stored in buffers of this size, at least 2 KiB, as many as `memory_bytes_max`
    /// has room for. Several of the other limits become smaller. A connection is closed if it would have to store more
    /// than a buffer of received bytes or one of unsent bytes, or if no buffer is free. So the size must be that of the
    /// longest frame or more: a header and `message_bytes_max` for the service `message`. See also
    /// [`planned`](Self::planned).
    pub planned_buffer_bytes: Option<usize>,
    /// Unsent bytes of a connection above which nothing more is read from it. The answers of one visit come on
    /// top.
    pub unsent_bytes_max: usize,
    /// Unwritten bytes of the journal above which it is written before the turn goes on, and above which, while it
    /// is not writable, nothing more is read for it.
    pub journal_bytes_max: usize,
    /// Bytes discarded of a peer that still sends after its stream has ended.
    pub linger_bytes_max: usize,
    /// Maximum time for such a peer to end its side.
    pub linger_timeout: Duration,
    /// Sessions of each datagram endpoint.
    pub sessions_max: usize,
    /// A session is closed after this time without a datagram.
    pub session_timeout: Duration,
    /// Replies a second to datagrams of one network. See [`ReplyLimit`].
    pub udp_replies: ReplyLimit,
    /// Maximum time to receive a whole frame, from its first byte. Further bytes do not renew it.
    pub frame_timeout: Option<Duration>,
    /// Maximum time between frames. Off by default, since idle connections cost little.
    pub idle_timeout: Option<Duration>,
    /// Maximum time from accepting a connection of a proxy to the end of its PROXY header. A proxy sends it at once:
    /// this is for a lost packet, and a busy proxy.
    pub proxy_header_timeout: Duration,
    /// Bytes of a PROXY header of version 2 (version 1 has at most 107). All TLVs of the specification fit at their
    /// usual sizes, and what has arrived of a header is stored without a memory map of its own.
    pub proxy_header_bytes_max: usize,
    /// Maximum time for which a peer accepts no bytes of a reply.
    pub write_timeout: Option<Duration>,
    /// How long everything is served after a request to stop, before connections are drained: a load balancer notices
    /// meanwhile that the server is stopping.
    pub drain_delay: Duration,
    /// Maximum time from the end of that delay to the end of the server, for frames that have begun.
    pub drain_timeout: Duration,
    /// The linger timeout of connections that are idle when they are drained: a peer that has just sent something is
    /// reset if its connection is closed before that has arrived. New connections, which were accepted less than this
    /// time before, remain open until then, for their first frame. The default is a round trip, and a packet that is
    /// lost.
    pub drain_linger_timeout: Duration,
    /// Connections of the admin endpoint, beside all others. One more takes the place of that which has been
    /// idle for the longest time, so that connections that are left open do not keep a monitoring system out.
    pub admin_connections_max: usize,
    /// Bytes read from an admin connection at once. A request of 25 bytes is answered with up to 200 KiB, so those that
    /// are answered together must be few.
    pub admin_read_bytes_max: usize,
    /// Maximum time between requests of an admin connection: longer than the usual minute between two scrapes.
    pub admin_idle_timeout: Duration,
    /// How long accepting pauses when the system is out of descriptors or memory, and receiving datagrams when it does
    /// nothing but fail. No event reports that some were
    /// freed elsewhere, so a waiting peer waits that much longer at most.
    pub accept_pause: Duration,
}

impl Limits {
    /// The limits of a server that allocates `memory_bytes_max` at the start, and nothing afterwards: for
    /// `connections_max` connections, as many sessions of each datagram endpoint, and frames of up to `frame_bytes_max`
    /// bytes. The tables come on top of that, about 400 bytes for a connection and 160 for a session.
    #[must_use]
    pub fn planned(connections_max: usize, frame_bytes_max: usize, memory_bytes_max: usize) -> Self {
        Self {
            connections_max,
            sessions_max: connections_max,
            memory_bytes_max,
            planned_buffer_bytes: Some(frame_bytes_max),
            ..Self::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_source_max: None,
            refusals_max: 64,
            events_per_poll_max: 1024,
            visits_per_turn_max: 1024,
            light_read_bytes_max: 2 * 1024,
            bulk_bytes_per_turn_max: 256 * 1024,
            visits_per_commit_max: 64,
            answer_bytes_per_commit_max: 256 * 1024,
            accepts_per_turn_max: 256,
            datagrams_per_turn_max: 128,
            read_bytes_max: 128 * 1024,
            long_read_bytes_max: 512 * 1024,
            low_water_bytes_max: 512 * 1024,
            memory_bytes_max: 256 * 1024 * 1024,
            planned_buffer_bytes: None,
            unsent_bytes_max: 256 * 1024,
            journal_bytes_max: 1024 * 1024,
            linger_bytes_max: 64 * 1024,
            linger_timeout: Duration::from_secs(2),
            sessions_max: 65_536,
            session_timeout: Duration::from_secs(5 * 60),
            udp_replies: ReplyLimit::BeyondLoopback(UDP_REPLIES_PER_SECOND),
            frame_timeout: Some(Duration::from_secs(30)),
            idle_timeout: None,
            proxy_header_timeout: Duration::from_secs(5),
            proxy_header_bytes_max: 1024,
            write_timeout: Some(Duration::from_secs(30)),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
            drain_linger_timeout: Duration::from_millis(500),
            admin_connections_max: 16,
            admin_read_bytes_max: 512,
            admin_idle_timeout: Duration::from_secs(75),
            accept_pause: Duration::from_millis(20),
        }
    }
}

/// How many replies a second the datagrams of one network (24 bits of IPv4, 64 of IPv6) are sent, and half as many
/// those of one address. Source addresses can be forged: without a limit, a server is a means to flood others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyLimit {
    /// This many at endpoints that are not bound to a loopback address.
    BeyondLoopback(u32),
    /// This many at all endpoints.
    Everywhere(u32),
    /// No limit.
    Off,
}

/// What DNS servers allow a network by default.
const UDP_REPLIES_PER_SECOND: u32 = 200;
