//! The system calls of the simulated network: connections, datagrams, listeners.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;

use loopline::net::{Datagram, DatagramIo, Listen, StreamIo, Token, receive_unbatched, send_unbatched};

use super::datagrams::SimSocket;
use super::{SimListener, SimNet};

impl StreamIo for SimNet {
    type Stream = usize;

    fn read(&mut self, stream: &usize, buffer: &mut [u8]) -> io::Result<usize> {
        self.idle_polls = 0;
        let Self { random, faults, .. } = self;
        let wire = &mut self.wires[*stream];
        if random.fails(faults.interrupted_calls) {
            return Err(ErrorKind::Interrupted.into());
        }
        if wire.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if wire.to_server.is_empty() {
            return if wire.peer_ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let all = buffer.len().min(wire.to_server.len());
        let taken = if random.fails(faults.short_reads) { 1 + random.below(all) } else { all };
        for (to, from) in buffer.iter_mut().zip(wire.to_server.drain(..taken)) {
            *to = from;
        }
        wire.read_bytes += taken;
        let end_unreported = wire.peer_ended && !wire.end_reported;
        if taken < buffer.len() && (!wire.to_server.is_empty() || end_unreported) {
            // As if the rest had come just after.
            wire.readable = true;
        }
        Ok(taken)
    }

    fn write(&mut self, stream: &usize, bytes: &[u8]) -> io::Result<usize> {
        self.idle_polls = 0;
        let Self { random, faults, .. } = self;
        assert!(!bytes.is_empty(), "writing nothing is a wasted system call");
        let wire = &mut self.wires[*stream];
        assert!(!wire.server_ended && wire.closed_ms.is_none(), "nothing is written after the end");
        if random.fails(faults.interrupted_calls) {
            return Err(ErrorKind::Interrupted.into());
        }
        if wire.reset {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let free = wire.capacity - wire.to_peer.len();
        let all = bytes.len().min(free);
        let taken = if random.fails(faults.short_writes) { random.below(all + 1) } else { all };
        if taken < bytes.len() {
            // If the queue is not full, an event follows soon; otherwise when the peer reads.
            (wire.write_blocked, wire.writable) = (true, taken < free);
        }
        wire.to_peer.extend(&bytes[..taken]);
        wire.sent.extend(&bytes[..taken]);
        self.check_sent_is_recorded(*stream);
        if taken == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    fn half_close(&mut self, stream: &usize) -> io::Result<()> {
        let Self { random, faults, .. } = self;
        let wire = &mut self.wires[*stream];
        assert!(!wire.server_ended, "the server ends its side once");
        if random.fails(faults.failed_half_closes) {
            wire.reset();
        }
        if wire.reset {
            return Err(ErrorKind::NotConnected.into());
        }
        wire.server_ended = true;
        Ok(())
    }

    fn take_error(&mut self, stream: &usize) -> Option<io::Error> {
        self.wires[*stream].reset.then(|| ErrorKind::ConnectionReset.into())
    }

    fn close(&mut self, stream: usize) {
        let wire = &mut self.wires[stream];
        assert!(wire.closed_ms.is_none(), "a stream is closed once");
        wire.closed_ms = Some(self.now_ms);
        wire.is_cut = !wire.server_ended && !wire.peer_ended && !wire.reset;
        if !wire.to_server.is_empty() {
            wire.reset();
        }
        self.closed_tokens.extend(wire.token.take());
    }
}

impl DatagramIo for SimNet {
    type Socket = usize;

    fn receive(&mut self, socket: &usize, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.idle_polls = 0;
        let Datagram { bytes, peer, .. } =
            self.sockets[*socket].receive(&mut self.random, &self.faults, buffer)?;
        Ok((bytes.len(), peer))
    }

    fn send(&mut self, socket: &usize, datagram: &[u8], peer: SocketAddr) -> io::Result<()> {
        let to = Datagram { bytes: 0..datagram.len(), peer, local: None };
        let disk = self.disk.lock().unwrap();
        self.sockets[*socket].send(&mut self.random, &self.faults, &disk, datagram, &to)
    }

    fn receive_batch(
        &mut self,
        socket: &usize,
        buffer: &mut [u8],
        slot_bytes: usize,
        received: &mut Vec<Datagram>,
    ) -> bool {
        assert!(received.is_empty() && buffer.len() >= slot_bytes, "a batch has room");
        if !self.batches {
            return receive_unbatched(self, socket, buffer, slot_bytes, received);
        }
        self.idle_polls = 0;
        for (index, slot) in buffer.chunks_exact_mut(slot_bytes).enumerate() {
            match self.sockets[*socket].receive(&mut self.random, &self.faults, slot) {
                Ok(datagram) => {
                    let start = index * slot_bytes;
                    received.push(Datagram { bytes: start..start + datagram.bytes.len(), ..datagram });
                }
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
        true
    }

    fn send_batch(&mut self, socket: &usize, datagrams: &[Datagram], bytes: &[u8]) -> io::Result<usize> {
        assert!(!datagrams.is_empty(), "sending nothing is a wasted system call");
        if !self.batches {
            return send_unbatched(self, socket, datagrams, bytes);
        }
        for (sent, datagram) in datagrams.iter().enumerate() {
            assert!(datagram.local.is_some(), "a reply is sent from the address that was asked");
            let disk = self.disk.lock().unwrap();
            let answer = &bytes[datagram.bytes.clone()];
            match self.sockets[*socket].send(&mut self.random, &self.faults, &disk, answer, datagram) {
                Ok(()) => {}
                Err(error) if sent == 0 => return Err(error),
                Err(_) => return Ok(sent),
            }
        }
        Ok(datagrams.len())
    }
}

impl Listen for SimNet {
    type Listener = Rc<usize>;

    fn listen(&mut self, address: SocketAddr, token: Token) -> io::Result<(Rc<usize>, SocketAddr)> {
        let handle = Rc::new(self.listeners.len());
        let server = Rc::downgrade(&handle);
        self.listeners.push(SimListener { token, backlog: VecDeque::new(), edge: false, server });
        Ok((handle, address))
    }

    fn bind(&mut self, address: SocketAddr, token: Token) -> io::Result<(usize, SocketAddr)> {
        self.sockets.push(SimSocket::new(token));
        Ok((self.sockets.len() - 1, address))
    }

    fn accept(&mut self, listener: &Rc<usize>) -> io::Result<(usize, SocketAddr)> {
        self.idle_polls = 0;
        let Self { random, faults, .. } = self;
        if random.fails(faults.interrupted_calls) {
            return Err(ErrorKind::Interrupted.into());
        }
        if random.fails(faults.failed_accepts) {
            let error = [libc::ECONNABORTED, libc::EMFILE][random.below(2)];
            return Err(io::Error::from_raw_os_error(error));
        }
        let index = self.listeners[**listener].backlog.pop_front().ok_or(ErrorKind::WouldBlock)?;
        Ok((index, self.wires[index].address))
    }

    fn register(&mut self, stream: &mut usize, token: Token) -> io::Result<()> {
        let wire = &mut self.wires[*stream];
        if self.random.fails(self.faults.failed_registrations) {
            wire.registration_failed = true;
            return Err(ErrorKind::OutOfMemory.into());
        }
        wire.token = Some(token);
        wire.writable = true;
        Ok(())
    }
}
