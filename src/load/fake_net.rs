//! A network for tests with its own clock, and a server on it that acknowledges every request unless it
//! stalls. The test sets how many bytes are written and read at a time.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use crate::net::{Connect, DatagramIo, Event, PreciseTime, StopRequests, StreamIo, Token};

/// The network and the server.
#[derive(Debug, Default)]
pub(crate) struct FakeNet {
    pub(crate) now_ns: u64,
    pub(crate) pipes: Vec<Pipe>,
    pub(crate) sockets: Vec<DatagramPipe>,
    /// Bytes of a request; 0: only the test replies.
    pub(crate) request_bytes: usize,
    pub(crate) reply: Vec<u8>,
    /// Start and end of the time in which the server does not reply.
    pub(crate) stall_ns: (u64, u64),
    /// How long the server takes for a reply.
    pub(crate) reply_delay_ns: u64,
    /// The generator sleeps from the first time to the second.
    pub(crate) sleep_ns: Option<(u64, u64)>,
    /// How long a write takes.
    pub(crate) write_ns: u64,
    /// Errors of the next connections.
    pub(crate) connect_errors: VecDeque<io::ErrorKind>,
    /// When the server ends the streams of the first connections.
    pub(crate) ends_ns: VecDeque<u64>,
    /// Time after its last reply on a connection after which the server ends the stream.
    pub(crate) idle_timeout_ns: Option<u64>,
    /// Source addresses of the connections that were tried.
    pub(crate) tried_sources: Vec<Option<SocketAddr>>,
    /// When a stop request arrives.
    pub(crate) stop_at_ns: Option<u64>,
    /// Requests that are answered, if not all of them.
    pub(crate) answers_max: Option<usize>,
    /// Connections that are accepted before all others are refused.
    pub(crate) refused_from: Option<usize>,
    /// Whether connections are open when connecting returns, and not only after an event.
    pub(crate) connects_at_once: bool,
    /// Bytes that can be written to a new connection, if not any number.
    pub(crate) first_room: Option<usize>,
    /// Whether there is no memory for the connection that is tried as this one, from 1.
    pub(crate) is_out_of_memory: Option<fn(usize) -> bool>,
    /// Writes to all connections fail from this time on.
    pub(crate) broken_from_ns: Option<u64>,
}

/// A connection.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, which a test sets or reads")]
pub(crate) struct Pipe {
    pub(crate) token: Token,
    /// All bytes written to it.
    pub(crate) written: Vec<u8>,
    /// Bytes that can be written before it would block.
    pub(crate) room: usize,
    /// What can be read; an empty part is the end of the stream.
    pub(crate) incoming: VecDeque<Vec<u8>>,
    /// What can be read later, and from when on.
    delayed: VecDeque<(u64, Vec<u8>)>,
    /// The error of a write.
    pub(crate) broken: Option<io::ErrorKind>,
    /// The next read fails: the connection is reset.
    pub(crate) reset: bool,
    pub(crate) is_closed: bool,
    /// Whether the poller reports that it can be written.
    pub(crate) is_watched_for_writing: bool,
    is_announced: bool,
}

/// A socket for datagrams. Only the test answers.
#[derive(Debug)]
pub(crate) struct DatagramPipe {
    pub(crate) token: Token,
    /// All datagrams sent, in order.
    pub(crate) sent: Vec<Vec<u8>>,
    /// Datagrams that can be received.
    pub(crate) incoming: VecDeque<Vec<u8>>,
}

impl FakeNet {
    /// `text` arrives on the connection.
    pub(crate) fn deliver(&mut self, pipe: usize, text: &[u8]) {
        self.pipes[pipe].incoming.push_back(text.to_vec());
    }

    /// An event of a connection that is readable and writable.
    pub(crate) fn event(&self, pipe: usize) -> Event {
        Event { token: self.pipes[pipe].token, readable: true, writable: true, ended: false }
    }

    fn first_room(&self) -> usize {
        self.first_room.unwrap_or(usize::MAX)
    }

    fn answer(&mut self, pipe: usize, requests: usize) {
        let (from_ns, to_ns) = self.stall_ns;
        let at_ns =
            if (from_ns..to_ns).contains(&self.now_ns) { to_ns } else { self.now_ns + self.reply_delay_ns };
        let answers = self.answers_max.unwrap_or(usize::MAX).min(requests);
        self.answers_max = self.answers_max.map(|left| left - answers);
        for _ in 0..answers {
            self.pipes[pipe].delayed.push_back((at_ns, self.reply.clone()));
        }
        if let Some(idle_ns) = self.idle_timeout_ns {
            let delayed = &mut self.pipes[pipe].delayed;
            delayed.retain(|(_, text)| !text.is_empty());
            delayed.push_back((at_ns + idle_ns, Vec::new()));
        }
    }
}

impl StreamIo for FakeNet {
    type Stream = usize;

    fn read(&mut self, pipe: &usize, buffer: &mut [u8]) -> io::Result<usize> {
        if self.pipes[*pipe].reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let incoming = &mut self.pipes[*pipe].incoming;
        let Some(mut text) = incoming.pop_front() else { return Err(io::ErrorKind::WouldBlock.into()) };
        let bytes = text.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&text[..bytes]);
        if bytes < text.len() {
            incoming.push_front(text.split_off(bytes));
        }
        Ok(bytes)
    }

    fn write(&mut self, pipe: &usize, bytes: &[u8]) -> io::Result<usize> {
        let request_bytes = self.request_bytes.max(1);
        self.now_ns += self.write_ns;
        let it = &mut self.pipes[*pipe];
        if self.broken_from_ns.is_some_and(|from_ns| self.now_ns >= from_ns) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if let Some(kind) = it.broken {
            return Err(kind.into());
        }
        let taken = bytes.len().min(it.room);
        if taken == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        it.room -= taken;
        let before = it.written.len() / request_bytes;
        it.written.extend_from_slice(&bytes[..taken]);
        let requests = it.written.len() / request_bytes - before;
        if self.request_bytes > 0 {
            self.answer(*pipe, requests);
        }
        Ok(taken)
    }

    fn half_close(&mut self, _: &usize) -> io::Result<()> {
        Ok(())
    }

    fn take_error(&mut self, _: &usize) -> Option<io::Error> {
        None
    }

    fn close(&mut self, pipe: usize) {
        self.pipes[pipe].is_closed = true;
    }
}

impl DatagramIo for FakeNet {
    type Socket = usize;

    fn receive(&mut self, socket: &usize, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let datagram = self.sockets[*socket].incoming.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        buffer[..datagram.len()].copy_from_slice(&datagram);
        Ok((datagram.len(), SocketAddr::from(([127, 0, 0, 1], 9))))
    }

    fn send(&mut self, socket: &usize, datagram: &[u8], _: SocketAddr) -> io::Result<()> {
        self.sockets[*socket].sent.push(datagram.to_vec());
        Ok(())
    }
}

impl StopRequests for FakeNet {
    fn stop_requests(&mut self) -> u32 {
        1
    }
}

impl Connect for FakeNet {
    fn connect(&mut self, source: Option<SocketAddr>, _: SocketAddr) -> io::Result<usize> {
        self.tried_sources.push(source);
        if let Some(kind) = self.connect_errors.pop_front() {
            return Err(kind.into());
        }
        if self.is_out_of_memory.is_some_and(|is| is(self.tried_sources.len())) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.pipes.push(Pipe {
            token: Token::STOP,
            written: Vec::new(),
            room: if self.connects_at_once { self.first_room() } else { 0 },
            incoming: VecDeque::new(),
            delayed: self.ends_ns.pop_front().map(|at_ns| (at_ns, Vec::new())).into_iter().collect(),
            broken: None,
            reset: false,
            is_closed: false,
            is_watched_for_writing: false,
            is_announced: false,
        });
        Ok(self.pipes.len() - 1)
    }

    fn watch(&mut self, pipe: &mut usize, token: Token) -> io::Result<()> {
        let first_room = self.first_room();
        let it = &mut self.pipes[*pipe];
        it.token = token;
        it.is_watched_for_writing = true;
        it.room = if it.written.is_empty() { first_room } else { it.room };
        Ok(())
    }

    fn watch_reads(&mut self, pipe: &mut usize, token: Token) -> io::Result<()> {
        self.pipes[*pipe].token = token;
        self.pipes[*pipe].is_announced = true;
        Ok(())
    }

    fn connected(&mut self, pipe: &usize) -> io::Result<bool> {
        let is_refused = self.refused_from.is_some_and(|from| *pipe >= from);
        if is_refused { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(true) }
    }

    fn local_address(_: &usize) -> io::Result<SocketAddr> {
        Ok(LOCAL)
    }

    fn connect_socket(&mut self, _: Option<SocketAddr>, _: SocketAddr, token: Token) -> io::Result<usize> {
        self.sockets.push(DatagramPipe { token, sent: Vec::new(), incoming: VecDeque::new() });
        Ok(self.sockets.len() - 1)
    }

    fn local_address_of_socket(_: &usize) -> io::Result<SocketAddr> {
        Ok(LOCAL)
    }
}

const LOCAL: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 40_000));

impl PreciseTime for FakeNet {
    fn now_ns(&mut self) -> u64 {
        self.now_ns
    }

    /// Advances the clock to the next time at which something happens, at most to `until_ns`.
    fn poll_until(
        &mut self,
        events: &mut Vec<Event>,
        events_max: usize,
        _: u64,
        until_ns: u64,
        spin: bool,
    ) -> io::Result<bool> {
        let open = || self.pipes.iter().filter(|pipe| !pipe.is_closed);
        let answers = open().filter_map(|pipe| pipe.delayed.front().map(|(at_ns, _)| *at_ns));
        let connected = open().filter(|pipe| !pipe.is_announced).map(|_| self.now_ns);
        let next_ns = answers.chain(connected).chain(self.stop_at_ns).chain([until_ns]).min();
        // The clock always advances.
        self.now_ns = next_ns.unwrap_or(until_ns).max(self.now_ns + 1);
        if let Some((_, to_ns)) = self.sleep_ns.filter(|(at_ns, _)| self.now_ns >= *at_ns) {
            (self.now_ns, self.sleep_ns) = (to_ns, None);
        }
        if self.stop_at_ns.is_some_and(|at_ns| at_ns <= self.now_ns) {
            self.stop_at_ns = None;
            events.push(Event { token: Token::STOP, readable: true, writable: false, ended: false });
        }
        let refused_from = self.refused_from.unwrap_or(usize::MAX);
        for (number, pipe) in self.pipes.iter_mut().enumerate().filter(|(_, pipe)| !pipe.is_closed) {
            let is_due = |pipe: &Pipe| pipe.delayed.front().is_some_and(|(at_ns, _)| *at_ns <= self.now_ns);
            let readable = is_due(pipe);
            if events.len() >= events_max || (!readable && pipe.is_announced) {
                continue;
            }
            while is_due(pipe) {
                pipe.incoming.extend(pipe.delayed.pop_front().map(|(_, text)| text));
            }
            // As with the kernel, a short read means that nothing is left, unless the stream has ended.
            let ended = pipe.incoming.iter().any(Vec::is_empty) || number >= refused_from;
            let all: Vec<u8> = std::mem::take(&mut pipe.incoming).into_iter().flatten().collect();
            pipe.incoming.extend([all].into_iter().filter(|all| !all.is_empty()));
            pipe.incoming.extend(ended.then(Vec::new));
            events.push(Event { token: pipe.token, readable, writable: !pipe.is_announced, ended });
            pipe.is_announced = true;
        }
        Ok(spin)
    }
}
