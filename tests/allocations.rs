//! The loop on the kernel's network, with every allocation counted: in steady state there is none, and with a memory
//! plan there is none at all.
//!
//! Peers live in the same thread as the loop, which is turned by hand; only what a turn allocates is counted.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};

use allocation_counter::{AllocationInfo, measure};
use common::{WAIT_MAX, Watchdog};
use loopline::CloseReason;
use loopline::event_loop::EventLoop;
use loopline::frame;
use loopline::journal::{Ack, Format, Journal, open_file};
use loopline::limits::Limits;
use loopline::net::kernel::KernelNet;
use loopline::net::sockets::SocketOptions;
use loopline::service::message::{ACKNOWLEDGEMENT, Message};
use loopline::service::month::{INTRODUCTION, Month};
use tempfile::NamedTempFile;

const MESSAGE_BYTES_MAX: usize = 1024;

const FRAME_BYTES_MAX: usize = frame::HEADER_BYTES + MESSAGE_BYTES_MAX;

/// Counted after as many of them as were needed for every buffer to have its size.
const MESSAGES: usize = 10_000;

struct Server {
    turned: EventLoop<KernelNet>,
    stream: SocketAddr,
    datagram: SocketAddr,
    /// What all turns since the last [`counted`](Self::counted) have allocated.
    allocated: AllocationInfo,
    record: NamedTempFile,
    #[expect(dead_code, reason = "it waits until it is dropped")]
    watchdog: Watchdog,
}

impl Server {
    fn start() -> Self {
        Self::with_journal(Format::Text)
    }

    fn with_journal(format: Format) -> Self {
        Self::with(format, Limits::default())
    }

    fn with(format: Format, limits: Limits) -> Self {
        let net = KernelNet::new(SocketOptions::default()).unwrap();
        let mut server = EventLoop::new(net, limits);
        let record = NamedTempFile::new().unwrap();
        let stream = server.listen(anywhere(), Box::new(Message::new(MESSAGE_BYTES_MAX))).unwrap();
        let datagram = server.bind(anywhere(), Box::new(Month)).unwrap();
        let file = open_file(record.path(), Ack::Written).unwrap();
        server.set_journal(Journal::to(Box::new(file), Ack::Written).in_format(format));
        let watchdog = Watchdog::start("the server does not get what the peers send");
        Self { turned: server, stream, datagram, allocated: AllocationInfo::default(), record, watchdog }
    }

    /// Turns until `done`, of which it tells nothing to the counter.
    fn turn_until(&mut self, mut done: impl FnMut(&EventLoop<KernelNet>) -> bool) {
        while !done(&self.turned) {
            self.allocated += measure(|| self.turned.turn().unwrap());
        }
    }

    fn counted(&mut self) -> AllocationInfo {
        std::mem::take(&mut self.allocated)
    }

    fn connect(&mut self, count: usize) -> Vec<Peer> {
        let opened = self.turned.counters().opened + count as u64;
        let peers = (0..count).map(|_| Peer::connect(self.stream)).collect();
        self.turn_until(|server| server.counters().opened == opened);
        peers
    }

    /// Each peer sends `depth` messages at once and reads their acknowledgements, `rounds` times.
    fn exchange(&mut self, peers: &mut [Peer], depth: usize, rounds: usize) {
        let mut sent = Vec::new();
        (0..depth).for_each(|_| frame::append("hello, world", &mut sent));
        for _ in 0..rounds {
            let answered = self.turned.counters().messages + (peers.len() * depth) as u64;
            peers.iter_mut().for_each(|peer| peer.0.write_all(&sent).unwrap());
            self.turn_until(|server| server.counters().messages == answered);
            peers.iter_mut().for_each(|peer| peer.read_acknowledgements(depth));
        }
    }

    /// A peer sends a message and reads its acknowledgement, however many messages others send.
    fn serve_beside_others(&mut self, peer: &mut Peer) {
        let mut sent = Vec::new();
        frame::append("hello, world", &mut sent);
        peer.0.write_all(&sent).unwrap();
        peer.0.set_nonblocking(true).unwrap();
        self.turn_until(|_| peer.0.peek(&mut [0]).is_ok());
        peer.0.set_nonblocking(false).unwrap();
        peer.read_acknowledgements(1);
    }

    /// Each peer sends `bytes`, which the server reads.
    fn send(&mut self, peers: &mut [Peer], bytes: &[u8]) {
        let read_bytes = self.turned.counters().read_bytes + (peers.len() * bytes.len()) as u64;
        peers.iter_mut().for_each(|peer| peer.0.write_all(bytes).unwrap());
        self.turn_until(|server| server.counters().read_bytes == read_bytes);
    }

    /// Closes the peers, and turns until nothing of them is left.
    fn dismiss(&mut self, peers: Vec<Peer>) {
        drop(peers);
        self.turn_until(|server| server.connections() == 0);
    }
}

struct Peer(TcpStream);

impl Peer {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        Self(stream)
    }

    fn read_acknowledgements(&mut self, count: usize) {
        let mut expected = Vec::new();
        (0..count).for_each(|_| frame::append(ACKNOWLEDGEMENT, &mut expected));
        let mut got = vec![0; expected.len()];
        self.0.read_exact(&mut got).unwrap();
        assert_eq!(got, expected);
    }
}

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[cfg(feature = "cli")]
#[test]
fn messages_that_are_journaled_as_json_allocate_nothing() {
    let mut server = Server::with_journal(Format::Json);
    let mut peers = server.connect(10);
    server.exchange(&mut peers, 3, 100);
    server.counted();
    server.exchange(&mut peers, 3, MESSAGES / 30);
    assert_eq!(server.counted(), AllocationInfo::default());
    let journal = std::fs::read_to_string(server.record.path()).unwrap();
    assert!(journal.starts_with("{\"time\":\""), "{}", &journal[..100]);
}

#[test]
fn messages_one_at_a_time_allocate_nothing() {
    let mut server = Server::start();
    let mut peers = server.connect(1);
    server.exchange(&mut peers, 1, 100);
    assert_ne!(server.counted().count_total, 0, "the counter counts");

    server.exchange(&mut peers, 1, MESSAGES);
    assert_eq!(server.counted(), AllocationInfo::default());
}

#[test]
fn pipelined_messages_on_many_connections_allocate_nothing() {
    let mut server = Server::start();
    let mut peers = server.connect(50);
    server.exchange(&mut peers, 20, 10);
    server.counted();

    server.exchange(&mut peers, 20, MESSAGES / (50 * 20));
    assert_eq!(server.counted(), AllocationInfo::default());
    let record = std::fs::read_to_string(server.record.path()).unwrap();
    assert_eq!(record.lines().count(), MESSAGES * 2, "all of them were recorded");
}

#[test]
fn datagrams_allocate_nothing() {
    let mut server = Server::start();
    let peer = UdpSocket::bind(anywhere()).unwrap();
    peer.connect(server.datagram).unwrap();
    peer.set_read_timeout(Some(WAIT_MAX)).unwrap();
    let ask = |server: &mut Server, question: &str, answer: &str| {
        let taken = server.turned.counters().datagrams + 1;
        peer.send(question.as_bytes()).unwrap();
        server.turn_until(|server| server.counters().datagrams == taken);
        let mut got = [0; 1024];
        let bytes = peer.recv(&mut got).unwrap();
        assert_eq!(&got[..bytes], answer.as_bytes());
    };
    ask(&mut server, "hi", INTRODUCTION);
    ask(&mut server, "5", "May");
    server.counted();

    for _ in 0..MESSAGES {
        ask(&mut server, "12", "December");
    }
    assert_eq!(server.counted(), AllocationInfo::default());
    // A session that ends leaves its place to the next.
    ask(&mut server, "0", "Goodbye");
    ask(&mut server, "hi", INTRODUCTION);
    assert_eq!(server.counted(), AllocationInfo::default());
}

#[test]
fn what_connections_bring_goes_with_them() {
    let mut server = Server::start();
    // The second wave finds the table as large as the first has made it.
    for wave in 1..=2 {
        server.counted();
        let mut peers = server.connect(500);
        server.exchange(&mut peers, 2, 2);
        // Half a frame of each, and then a peer whose answer shows that all of them were read.
        peers.iter_mut().for_each(|peer| peer.0.write_all(&[b'1'; frame::HEADER_BYTES / 2]).unwrap());
        peers.extend(server.connect(1));
        server.exchange(&mut peers[500..], 1, 1);
        let brought = server.allocated;
        server.dismiss(peers);
        let all = server.counted();
        assert!(brought.bytes_current > 0, "bytes on the way are on the heap");
        if wave == 2 {
            assert_eq!((all.count_current, all.bytes_current), (0, 0), "of {} bytes", brought.bytes_current);
        }
    }
}

/// A server that has allocated everything before its first turn.
fn planned(connections_max: usize, memory_bytes_max: usize) -> Server {
    Server::with(Format::Text, Limits::planned(connections_max, FRAME_BYTES_MAX, memory_bytes_max))
}

#[test]
fn a_memory_plan_takes_its_budget_and_the_tables_of_its_connections() {
    for (connections, sessions_max, memory_bytes) in
        [(10, 10, 64 << 10), (100, 1, 256 << 10), (10_000, 1, 1 << 20), (10_000, 10_000, 4 << 20)]
    {
        let limits = Limits { sessions_max, ..Limits::planned(connections, FRAME_BYTES_MAX, memory_bytes) };
        let mut server = None;
        let taken = measure(|| server = Some(Server::with(Format::Text, limits))).bytes_current;
        let tables = connections * 312 + sessions_max * 208;
        // `docs/EMBEDDING.md` has this formula.
        let expected = i64::try_from(memory_bytes + tables + (128 << 10)).unwrap();
        assert!(taken <= expected + 4096, "{taken} bytes, at most {expected} were expected");
        assert!(taken > expected * 3 / 4, "{taken} bytes, {expected} were expected");
    }
}

/// A peer that connects to a server that may close the connection at any time.
fn hostile(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.stream).unwrap();
    stream.set_nonblocking(true).unwrap();
    stream
}

/// Sends as much of `bytes` as the kernel takes.
fn push(mut stream: &TcpStream, bytes: &[u8]) {
    let _ = stream.write(bytes);
}

#[test]
fn with_a_memory_plan_nothing_is_allocated_from_the_first_turn_on() {
    let mut server = planned(100, 2 << 20);
    let mut long = Vec::new();
    frame::append(&"\u{202e}".repeat(300), &mut long);
    for _ in 0..2 {
        let mut peers = server.connect(50);
        server.exchange(&mut peers, 20, 10);
        // Parts of a long frame, which are stored. It is escaped in the journal.
        for part in long.chunks(300) {
            server.send(&mut peers, part);
        }
        peers.iter_mut().for_each(|peer| peer.read_acknowledgements(1));
        // Bad input is refused, and so are connections beyond the limit.
        server.send(&mut peers, b"01\xff");
        let others: Vec<TcpStream> = (0..100).map(|_| hostile(&server)).collect();
        let opened = server.turned.counters().opened + 100;
        server.turn_until(|server| server.counters().opened == opened);
        for peer in &mut peers {
            let mut refusal = String::new();
            peer.0.read_to_string(&mut refusal).unwrap();
            assert!(refusal.ends_with("Error: header byte 1 is '1', expected a space"), "{refusal}");
        }
        drop(others);
        server.dismiss(peers);
    }
    assert_eq!(server.counted(), AllocationInfo::default());
    let closed = |reason| server.turned.counters().closed(reason);
    assert_eq!(closed(CloseReason::BadInput), 100);
    assert!(closed(CloseReason::Full) > 0);
    assert_eq!(closed(CloseReason::OutOfMemory), 0);
}

#[test]
fn with_a_memory_plan_the_answers_to_the_last_long_read_of_a_turn_allocate_nothing() {
    let limits = Limits::planned(10, 512 << 10, 64 << 20);
    // Three reads remain below the limit of a commit, the fourth goes beyond it by 50 KB or more.
    assert_eq!(limits.answer_bytes_per_commit_max, 256 << 10);
    let mut server = Server::with(Format::Text, limits);
    let mut peers = server.connect(8);
    server.exchange(&mut peers, 840, 5);
    assert_eq!(server.counted(), AllocationInfo::default());
}

#[test]
fn with_a_memory_plan_a_storm_of_partial_frames_and_slow_readers_allocates_nothing() {
    let mut server = planned(400, 256 << 10);
    let mut requests = Vec::new();
    (0..32).for_each(|_| frame::append("", &mut requests));
    let begun = format!("{:<64}", 1000);
    for wave in 1..=3 {
        let mut well_behaved = server.connect(1);
        let storm: Vec<TcpStream> = (0..450).map(|_| hostile(&server)).collect();
        for round in 0..100 {
            // Some send requests and read no reply, the others send parts of frames.
            storm[..40].iter().for_each(|peer| push(peer, &requests));
            storm[40..].iter().filter(|_| round < 20).for_each(|peer| push(peer, begun.as_bytes()));
            server.serve_beside_others(&mut well_behaved[0]);
        }
        let closed = server.turned.counters().closed(CloseReason::OutOfMemory);
        assert!(closed > 100 * wave, "{closed} connections were closed for their memory");
        drop(storm);
        server.dismiss(well_behaved);
    }
    assert_eq!(server.counted(), AllocationInfo::default());
}
