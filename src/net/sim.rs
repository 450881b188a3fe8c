//! A simulated network, for tests of services: no socket, no thread, and a clock that moves only when a test lets it.
//!
//! One seed decides how the bytes of a stream are cut: into reads of any size, and writes that are taken in parts. So a
//! test that fails fails again with the same seed. Peers are slow, end their side or reset their connections when the test
//! says so.
//!
//! ```
//! use loopline::event_loop::EventLoop;
//! use loopline::limits::Limits;
//! use loopline::service::{Action, Output, Progress, StreamService};
//! use loopline::sim::SimNet;
//!
//! /// Sends each line back.
//! struct Echo;
//!
//! impl StreamService for Echo {
//!     fn received(&self, unread: &[u8], _ended: bool, out: &mut Output<'_>) -> Progress {
//!         let consumed = unread.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
//!         out.send(&unread[..consumed]);
//!         Progress { consumed, action: Action::Continue }
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! for seed in 0..100 {
//!     let mut server = EventLoop::new(SimNet::new(seed), Limits::default());
//!     let address = server.listen("192.0.2.1:7".parse()?, Box::new(Echo))?;
//!     let peer = server.net().connect(address);
//!     server.net().send(peer, b"one\ntwo\nth");
//!     server.run_until_quiet()?;
//!     assert_eq!(server.net().take_received(peer), b"one\ntwo\n", "seed {seed}");
//! }
//! # Ok(())
//! # }
//! ```

mod datagrams;
mod random;
mod stream;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::{
    Clock, Event, HashKey, Listen, Poller, Secrets, StopRequests, StreamIo, Supervision, Tick, Token,
};

pub use datagrams::SimSocket;
use random::Random;
use stream::{DialAnswer, Stream, event};

/// The network, with all peers.
#[derive(Debug)]
pub struct SimNet {
    random: Random,
    now_ms: u64,
    /// Until when the clock may move while nothing happens.
    until_ms: u64,
    unix_ms: i64,
    /// The last poll had nothing to report, and did not wait.
    is_quiet: bool,
    listeners: BTreeMap<SocketAddr, Listener>,
    /// The addresses of other servers.
    remotes: BTreeMap<SocketAddr, Remote>,
    streams: Vec<Stream>,
    sockets: datagrams::Sockets,
    stop_requests: u32,
    next_port: u16,
}

/// The peer of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimPeer(usize);

/// The server's side of a listener.
#[derive(Debug)]
pub struct SimListener(SocketAddr);

/// The server's side of a connection.
#[derive(Debug)]
pub struct SimStream(usize);

#[derive(Debug)]
struct Listener {
    token: Token,
    /// Peers that have connected and wait to be accepted.
    waiting: Vec<usize>,
    edge: bool,
}

/// Another server, to which this one opens connections.
#[derive(Debug)]
struct Remote {
    answer: DialAnswer,
    /// Connections that the test has not taken yet.
    waiting: Vec<usize>,
}

impl SimNet {
    /// A network without peers, at midnight of 1 January 2000.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            now_ms: 0,
            until_ms: 0,
            unix_ms: 946_684_800_000,
            is_quiet: false,
            listeners: BTreeMap::new(),
            remotes: BTreeMap::new(),
            streams: Vec::new(),
            sockets: datagrams::Sockets::default(),
            stop_requests: 0,
            next_port: 40_000,
        }
    }

    /// A peer connects to `address`, from an address of its own.
    ///
    /// # Panics
    /// The server does not listen there.
    pub fn connect(&mut self, address: SocketAddr) -> SimPeer {
        let peer = self.streams.len();
        self.next_port = self.next_port.checked_add(1).unwrap_or(40_000);
        let host = u8::try_from(peer % 250).unwrap_or(0) + 1;
        let from = SocketAddr::from((Ipv4Addr::new(198, 51, 100, host), self.next_port));
        let listener = self.listeners.get_mut(&address);
        let listener = listener.unwrap_or_else(|| panic!("no server listens at {address}"));
        listener.waiting.push(peer);
        listener.edge = true;
        self.streams.push(Stream::new(from, DialAnswer::Accepts));
        SimPeer(peer)
    }

    /// Another server listens at `address`: connections that a handler opens to it are accepted. To any other address they
    /// are refused.
    pub fn add_remote(&mut self, address: SocketAddr) {
        self.remotes.insert(address, Remote { answer: DialAnswer::Accepts, waiting: Vec::new() });
    }

    /// Nobody answers at `address`: connections that a handler opens to it are neither accepted nor refused.
    pub fn add_silent_remote(&mut self, address: SocketAddr) {
        self.remotes.insert(address, Remote { answer: DialAnswer::Never, waiting: Vec::new() });
    }

    /// The other end of the next connection that a handler has opened to `address`.
    pub fn accept_remote(&mut self, address: SocketAddr) -> Option<SimPeer> {
        let waiting = &mut self.remotes.get_mut(&address)?.waiting;
        if waiting.is_empty() { None } else { Some(SimPeer(waiting.remove(0))) }
    }

    /// The address of a peer.
    #[must_use]
    pub fn address(&self, peer: SimPeer) -> SocketAddr {
        self.streams[peer.0].address
    }

    /// The peer sends bytes.
    pub fn send(&mut self, peer: SimPeer, bytes: &[u8]) {
        self.streams[peer.0].send(bytes);
    }

    /// The peer ends its side.
    pub fn end(&mut self, peer: SimPeer) {
        self.streams[peer.0].end();
    }

    /// The peer resets the connection, and what is on its way is lost.
    pub fn reset(&mut self, peer: SimPeer) {
        self.streams[peer.0].reset();
    }

    /// The peer takes this many bytes of what it is sent in each turn, or, with `None`, everything. At first it takes
    /// everything.
    pub fn set_pace(&mut self, peer: SimPeer, bytes_per_turn: Option<usize>) {
        self.streams[peer.0].pace = bytes_per_turn;
    }

    /// The bytes that the peer has received since the last call.
    pub fn take_received(&mut self, peer: SimPeer) -> Vec<u8> {
        std::mem::take(&mut self.streams[peer.0].received)
    }

    /// Whether the peer has received everything that the server has sent, and the server has ended its side.
    #[must_use]
    pub fn has_ended(&self, peer: SimPeer) -> bool {
        self.streams[peer.0].has_ended()
    }

    /// Whether the server has closed the connection.
    #[must_use]
    pub fn is_closed(&self, peer: SimPeer) -> bool {
        self.streams[peer.0].is_closed
    }

    /// Whether the connection was reset, by the peer or by the server.
    #[must_use]
    pub fn is_reset(&self, peer: SimPeer) -> bool {
        self.streams[peer.0].is_reset
    }

    /// Asks the server to stop, as SIGTERM does.
    pub fn stop(&mut self) {
        self.stop_requests += 1;
    }

    /// From now on the clock may move for this long, while nothing happens.
    pub(crate) fn let_pass(&mut self, duration: Duration) {
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.until_ms = self.now_ms.saturating_add(duration_ms);
        self.is_quiet = false;
    }

    /// Whether the last poll had nothing to report, and no time was left to wait.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// The time that has passed since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_millis(self.now_ms)
    }

    /// The events that are due, all of them.
    fn due(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        if self.stop_requests > 0 {
            events.push(event(Token::STOP, true, false, false));
        }
        for listener in self.listeners.values_mut().filter(|listener| listener.edge) {
            listener.edge = false;
            events.push(event(listener.token, true, false, false));
        }
        for stream in &mut self.streams {
            events.extend(stream.take_event());
        }
        events.extend(self.sockets.take_events());
        events
    }
}

impl Poller for SimNet {
    fn poll(
        &mut self,
        events_max: usize,
        timeout: Option<Duration>,
        mut on_event: impl FnMut(Event),
    ) -> io::Result<()> {
        self.is_quiet = false;
        let is_moving = self.streams.iter_mut().map(Stream::take).fold(false, |any, has| any | has);
        let mut events = self.due();
        let is_idle = events.is_empty() && !is_moving && timeout != Some(Duration::ZERO);
        if is_idle {
            let wait_ms =
                timeout.map_or(u64::MAX, |timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
            let passed_ms = wait_ms.min(self.until_ms.saturating_sub(self.now_ms));
            self.now_ms += passed_ms;
            self.is_quiet = passed_ms == 0;
        }
        // Those that are left over are reported next.
        for event in events.drain(events_max.min(events.len())..) {
            self.streams.iter_mut().for_each(|stream| stream.put_back(event));
            self.listeners.values_mut().filter(|it| it.token == event.token).for_each(|it| it.edge = true);
            self.sockets.put_back(event);
        }
        events.into_iter().for_each(&mut on_event);
        Ok(())
    }
}

impl StreamIo for SimNet {
    type Stream = SimStream;

    fn read(&mut self, stream: &SimStream, buffer: &mut [u8]) -> io::Result<usize> {
        self.streams[stream.0].read(buffer, &mut self.random)
    }

    fn write(&mut self, stream: &SimStream, bytes: &[u8]) -> io::Result<usize> {
        self.streams[stream.0].write(bytes, &mut self.random)
    }

    fn half_close(&mut self, stream: &SimStream) -> io::Result<()> {
        self.streams[stream.0].half_close()
    }

    fn take_error(&mut self, stream: &SimStream) -> Option<io::Error> {
        self.streams[stream.0].is_reset.then(|| ErrorKind::ConnectionReset.into())
    }

    #[cfg(feature = "handlers")]
    fn reset_on_close(&mut self, stream: &SimStream) {
        self.streams[stream.0].reset();
    }

    fn close(&mut self, stream: SimStream) {
        self.streams[stream.0].close();
    }
}

impl Listen for SimNet {
    type Listener = SimListener;

    fn listen(&mut self, address: SocketAddr, token: Token) -> io::Result<(SimListener, SocketAddr)> {
        let mut address = address;
        if address.port() == 0 {
            self.next_port = self.next_port.checked_add(1).unwrap_or(40_000);
            address.set_port(self.next_port);
        }
        if self.listeners.contains_key(&address) {
            return Err(ErrorKind::AddrInUse.into());
        }
        self.listeners.insert(address, Listener { token, waiting: Vec::new(), edge: false });
        Ok((SimListener(address), address))
    }

    fn bind(&mut self, address: SocketAddr, token: Token) -> io::Result<(SimSocket, SocketAddr)> {
        self.sockets.bind(address, token)
    }

    fn accept(&mut self, listener: &SimListener) -> io::Result<(SimStream, SocketAddr)> {
        let listener = self.listeners.get_mut(&listener.0).ok_or(ErrorKind::InvalidInput)?;
        if listener.waiting.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let peer = listener.waiting.remove(0);
        Ok((SimStream(peer), self.streams[peer].address))
    }

    fn register(&mut self, stream: &mut SimStream, token: Token) -> io::Result<()> {
        self.streams[stream.0].register(token);
        Ok(())
    }

    #[cfg(feature = "handlers")]
    fn dial(&mut self, address: SocketAddr) -> io::Result<SimStream> {
        let peer = self.streams.len();
        let remote = self.remotes.get_mut(&address);
        let answer = remote.as_ref().map_or(DialAnswer::Refuses, |remote| remote.answer);
        if let Some(remote) = remote {
            remote.waiting.push(peer);
        }
        self.streams.push(Stream::new(address, answer));
        Ok(SimStream(peer))
    }

    #[cfg(feature = "handlers")]
    fn connected(&mut self, stream: &SimStream) -> io::Result<bool> {
        self.streams[stream.0].connected()
    }

    fn close_listener(&mut self, listener: SimListener) {
        self.listeners.remove(&listener.0);
    }
}

impl StopRequests for SimNet {
    fn stop_requests(&mut self) -> u32 {
        std::mem::take(&mut self.stop_requests)
    }
}

impl Supervision for SimNet {}

impl Clock for SimNet {
    fn now(&mut self) -> Tick {
        Tick::after(Duration::from_millis(self.now_ms))
    }

    fn monotonic_ns(&mut self) -> u64 {
        self.now_ms * 1_000_000
    }

    fn unix_ms(&mut self) -> i64 {
        self.unix_ms + i64::try_from(self.now_ms).unwrap_or(i64::MAX)
    }
}

impl Secrets for SimNet {
    fn hash_key(&mut self) -> HashKey {
        HashKey([self.random.next(), self.random.next()])
    }
}
