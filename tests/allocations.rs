//! The loop on the kernel's network, with every allocation counted: in steady state there is none.
//!
//! Peers live in the same thread as the loop, which is turned by hand; only what a turn allocates is counted.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};

use allocation_counter::{AllocationInfo, measure};
use common::{WAIT_MAX, Watchdog};
use loopline::event_loop::EventLoop;
use loopline::frame;
use loopline::journal::{Ack, Format, Journal, open_file};
use loopline::limits::Limits;
use loopline::net::kernel::KernelNet;
use loopline::net::sockets::SocketOptions;
use loopline::service::message::{ACKNOWLEDGEMENT, Message};
use loopline::service::month::{INTRODUCTION, Month};
use tempfile::NamedTempFile;

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
        let net = KernelNet::new(SocketOptions::default()).unwrap();
        let mut server = EventLoop::new(net, Limits::default());
        let record = NamedTempFile::new().unwrap();
        let stream = server.listen(anywhere(), Box::new(Message::new(1024))).unwrap();
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
