//! The example `chat`, with ten thousand members.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::example::Example;

const MEMBERS: u64 = 10_000;

/// Connections from one source address, so that its ports do not run out.
const MEMBERS_PER_SOURCE: usize = 1000;

#[test]
fn ten_thousand_members_hear_each_line() {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let members = MEMBERS.min(limit.saturating_sub(200));
    assert!(members >= 500, "the hard limit of {limit} descriptors is too low for this test");
    if members < MEMBERS {
        eprintln!("ONLY {members} OF {MEMBERS} MEMBERS: the hard limit is {limit} descriptors");
    }
    let mut chat = Example::start("chat", &[]);
    let mut peers: Vec<Member> = (0..usize::try_from(members).unwrap())
        .map(|number| {
            let source = [127, 0, 2, u8::try_from(number / MEMBERS_PER_SOURCE).unwrap()];
            let mut peer = Member::connect(source.into(), chat.address);
            peer.stream.write_all(format!("m{number}\n").as_bytes()).unwrap();
            peer.hear(&format!("Welcome, m{number}: {} are here\n", number + 1));
            peer
        })
        .collect();

    for speaker in [0, 77, peers.len() - 1] {
        peers[speaker].stream.write_all(b"hello\n").unwrap();
        for peer in &mut peers {
            peer.hear(&format!("m{speaker}: hello\n"));
        }
    }
    chat.process.stdin.as_mut().unwrap().write_all(b"closing soon\n").unwrap();
    for peer in &mut peers {
        peer.hear("* closing soon\n");
    }
    peers[5].stream.write_all(b"/quit\n").unwrap();
    peers[5].hear_end();
    peers[6].stream.write_all(&[b'x'; 2000]).unwrap();
    peers[6].hear("error: the line is too long\n");
    chat.stop();
    peers[7].hear_end();
}

struct Member {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Member {
    fn connect(source: IpAddr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect(&address.into()).unwrap_or_else(|error| panic!("from {source}: {error}"));
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { stream: socket.into(), heard: Vec::new() }
    }

    /// Waits for a line, and forgets what came before it.
    fn hear(&mut self, line: &str) {
        let mut buffer = [0; 4096];
        loop {
            if let Some(place) = self.heard.windows(line.len()).position(|part| part == line.as_bytes()) {
                self.heard.drain(..place + line.len());
                return;
            }
            let bytes = self.stream.read(&mut buffer).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(bytes > 0, "the connection ended before: {line}");
            self.heard.extend_from_slice(&buffer[..bytes]);
        }
    }

    fn hear_end(&mut self) {
        self.stream.read_to_end(&mut self.heard).unwrap();
    }
}
