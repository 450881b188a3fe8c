//! The system calls of the simulated network: connections, datagrams, listeners.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;

use loopline::net::{Datagram, DatagramIo, Listen, StreamIo, Token, receive_unbatched, send_unbatched};

use super::datagrams::SimSocket;
use super::descriptors::Descriptor;
use super::{SimListener, SimNet};

impl StreamIo for SimNet {
    type Stream = Descriptor;

    fn read(&mut self, stream: &Descriptor, buffer: &mut [u8]) -> io::Result<usize> {
        let index = self.descriptors.wire(stream);
        let outcome = self.read_wire(index, buffer);
        self.trace.call("read", index, &outcome);
        outcome
    }

    fn write(&mut self, stream: &Descriptor, bytes: &[u8]) -> io::Result<usize> {
        let index = self.descriptors.wire(stream);
        let outcome = self.write_wire(index, bytes);
        self.trace.call("write", index, &outcome);
        outcome
    }

    fn set_low_water_mark(&mut self, stream: &Descriptor, bytes: usize) {
        let wire = &mut self.wires[self.descriptors.wire(stream)];
        wire.low_water_mark = bytes;
        wire.readable |= !wire.to_server.is_empty() && wire.is_above_low_water();
    }

    fn half_close(&mut self, stream: &Descriptor) -> io::Result<()> {
        let index = self.descriptors.wire(stream);
        self.fruitless_polls = 0;
        let Self { random, faults, .. } = self;
        let wire = &mut self.wires[index];
        assert!(wire.server_ended.is_none(), "the server ends its side once");
        assert!(
            self.stop.may_end(&self.peers[index], wire, self.now_ms),
            "the stream of connection {index} is ended without a reason: {wire:?}, {:?}",
            self.peers[index]
        );
        if random.fails(faults.failed_half_closes) {
            wire.reset();
        }
        self.trace.call("half_close", index, &Ok(usize::from(wire.reset)));
        if wire.reset {
            return Err(ErrorKind::NotConnected.into());
        }
        wire.server_ended = Some((self.now_ms, wire.read_bytes));
        Ok(())
    }

    fn take_error(&mut self, stream: &Descriptor) -> Option<io::Error> {
        let index = self.descriptors.wire(stream);
        self.wires[index].reset.then(|| ErrorKind::ConnectionReset.into())
    }

    fn close(&mut self, stream: Descriptor) {
        let index = self.descriptors.close(stream);
        self.fruitless_polls = 0;
        self.trace.call("close", index, &Ok(0));
        // A new admin connection takes the place of another.
        let is_evicted =
            self.wires[index].is_admin() && self.open_admin_wires() > self.limits.admin_connections_max;
        let wire = &mut self.wires[index];
        assert!(
            is_evicted
                || wire.may_be_closed(self.now_ms, &self.limits)
                || self.stop.may_close(&self.peers[index], wire, self.now_ms),
            "connection {index} is closed without a reason: {wire:?}, {:?}",
            self.peers[index]
        );
        wire.closed_ms = Some(self.now_ms);
        wire.is_cut = wire.server_ended.is_none() && !wire.peer_ended && !wire.reset;
        if !wire.to_server.is_empty() {
            wire.reset();
        }
        self.closed_tokens.extend(wire.token.take());
    }
}

impl SimNet {
    fn open_admin_wires(&self) -> usize {
        self.wires.iter().filter(|wire| wire.is_admin() && wire.is_open()).count()
    }

    fn read_wire(&mut self, index: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let Self { random, faults, .. } = self;
        let wire = &mut self.wires[index];
        // One that is refused at once is read before it is closed.
        let is_due = !wire.read_awaits_event || wire.token.is_none();
        assert!(is_due, "connection {index} is read, and no event has followed");
        wire.awaits_read = false;
        if random.fails(faults.interrupted_calls) {
            return Err(ErrorKind::Interrupted.into());
        }
        if wire.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if wire.to_server.is_empty() {
            wire.read_awaits_event = true;
            wire.end_read |= wire.peer_ended;
            return if wire.peer_ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        self.fruitless_polls = 0;
        let all = buffer.len().min(wire.to_server.len());
        let taken = if random.fails(faults.short_reads) { 1 + random.below(all) } else { all };
        for (to, from) in buffer.iter_mut().zip(wire.to_server.drain(..taken)) {
            *to = from;
        }
        wire.read_bytes += taken;
        wire.last_read_ms = self.now_ms;
        let end_unreported = wire.peer_ended && !wire.end_reported;
        if taken < buffer.len() && (!wire.to_server.is_empty() || end_unreported) {
            // As if the rest had come just after.
            wire.readable |= end_unreported || wire.is_above_low_water();
        }
        // Behind the reported end of a stream, reading goes on until the end is read.
        wire.read_awaits_event = taken < buffer.len() && !wire.end_reported;
        let journal_writes = self.disk.lock().unwrap().writes;
        if self.wires[index].token.is_some() {
            self.bounds.on_read(&self.peers[index], &self.wires[index], taken, journal_writes);
        }
        Ok(taken)
    }

    fn write_wire(&mut self, index: usize, bytes: &[u8]) -> io::Result<usize> {
        let Self { random, faults, .. } = self;
        assert!(!bytes.is_empty(), "writing nothing is a wasted system call");
        let wire = &mut self.wires[index];
        assert!(wire.server_ended.is_none() && wire.closed_ms.is_none(), "nothing is written after the end");
        assert!(!wire.write_awaits_event, "connection {index} is written, and no event has followed");
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
            wire.write_awaits_event = true;
        }
        wire.to_peer.extend(&bytes[..taken]);
        wire.sent.extend(&bytes[..taken]);
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        wire.last_sent_ms = self.now_ms;
        self.fruitless_polls = 0;
        self.check_sent_is_recorded(index);
        Ok(taken)
    }
}

impl DatagramIo for SimNet {
    type Socket = usize;

    fn receive(&mut self, socket: &usize, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let Datagram { bytes, peer, .. } = self.receive_datagram(*socket, buffer)?;
        Ok((bytes.len(), peer))
    }

    fn send(&mut self, socket: &usize, datagram: &[u8], peer: SocketAddr) -> io::Result<()> {
        let to = Datagram { bytes: 0..datagram.len(), peer, local: None };
        self.send_datagram(*socket, datagram, &to)
    }

    fn receive_batch(
        &mut self,
        socket: &usize,
        buffer: &mut [u8],
        slot_bytes: usize,
        received: &mut Vec<Datagram>,
    ) -> io::Result<bool> {
        assert!(received.is_empty() && buffer.len() >= slot_bytes, "a batch has room");
        assert_eq!(buffer.len() % slot_bytes, 0, "a batch has room for whole datagrams");
        if !self.batches {
            return receive_unbatched(self, socket, buffer, slot_bytes, received);
        }
        for (index, slot) in buffer.chunks_exact_mut(slot_bytes).enumerate() {
            match self.receive_datagram(*socket, slot) {
                Ok(datagram) => {
                    let start = index * slot_bytes;
                    received.push(Datagram { bytes: start..start + datagram.bytes.len(), ..datagram });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if received.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(true)
    }

    fn send_batch(&mut self, socket: &usize, datagrams: &[Datagram], bytes: &[u8]) -> io::Result<usize> {
        assert!(!datagrams.is_empty(), "sending nothing is a wasted system call");
        if !self.batches {
            return send_unbatched(self, socket, datagrams, bytes);
        }
        for (sent, datagram) in datagrams.iter().enumerate() {
            assert!(datagram.local.is_some(), "a reply is sent from the address that was asked");
            match self.send_datagram(*socket, &bytes[datagram.bytes.clone()], datagram) {
                Ok(()) => {}
                Err(error) if sent == 0 => return Err(error),
                Err(_) => return Ok(sent),
            }
        }
        Ok(datagrams.len())
    }
}

impl SimNet {
    fn receive_datagram(&mut self, socket: usize, buffer: &mut [u8]) -> io::Result<Datagram> {
        let outcome = self.sockets[socket].receive(&mut self.random, &self.faults, buffer);
        if outcome.is_ok() {
            self.fruitless_polls = 0;
        }
        assert!(
            self.sockets[socket].failed_this_turn <= self.limits.datagrams_per_turn_max,
            "a turn receives a bounded number of errors"
        );
        let bytes = outcome.as_ref().map(|datagram| datagram.bytes.len()).map_err(|it| it.kind().into());
        self.trace.call("receive", socket, &bytes);
        outcome
    }

    fn send_datagram(&mut self, socket: usize, reply: &[u8], to: &Datagram) -> io::Result<()> {
        let disk = self.disk.lock().unwrap();
        let outcome = self.sockets[socket].send(&mut self.random, &self.faults, &disk, reply, to);
        let bytes = outcome.as_ref().map(|()| reply.len()).map_err(|error| error.kind().into());
        self.trace.call("send", socket, &bytes);
        outcome
    }
}

impl Listen for SimNet {
    type Listener = Rc<usize>;

    fn listen(&mut self, address: SocketAddr, token: Token) -> io::Result<(Rc<usize>, SocketAddr)> {
        let handle = Rc::new(self.listeners.len());
        let server = Rc::downgrade(&handle);
        let backlog = VecDeque::new();
        let is_inherited = false;
        self.listeners.push(SimListener {
            token,
            backlog,
            edge: false,
            awaits_event: true,
            server,
            is_inherited,
        });
        Ok((handle, address))
    }

    fn bind(&mut self, address: SocketAddr, token: Token) -> io::Result<(usize, SocketAddr)> {
        self.sockets.push(SimSocket::new(token, address));
        Ok((self.sockets.len() - 1, address))
    }

    fn close_listener(&mut self, listener: Rc<usize>) {
        assert!(self.stop.may_close_listeners(self.now_ms), "listener {listener} is closed early");
        self.trace.call("close listener", *listener, &Ok(0));
    }

    fn accept(&mut self, listener: &Rc<usize>) -> io::Result<(Descriptor, SocketAddr)> {
        let outcome = self.accept_from(**listener);
        let wire = outcome.as_ref().copied().map_err(|error| error.kind().into());
        self.trace.call("accept", **listener, &wire);
        let index = outcome?;
        self.fruitless_polls = 0;
        Ok((self.descriptors.open(index), self.wires[index].address))
    }

    fn register(&mut self, stream: &mut Descriptor, token: Token) -> io::Result<()> {
        let wire = &mut self.wires[self.descriptors.wire(stream)];
        if self.random.fails(self.faults.failed_registrations) {
            wire.registration_failed = true;
            return Err(ErrorKind::OutOfMemory.into());
        }
        wire.token = Some(token);
        wire.was_registered = true;
        wire.writable = true;
        Ok(())
    }
}

impl SimNet {
    fn accept_from(&mut self, listener: usize) -> io::Result<usize> {
        self.accepts += 1;
        assert!(
            !self.listeners[listener].is_inherited || !self.stop.is_draining(),
            "what waits at an inherited listener is left to the next server"
        );
        assert!(
            !self.listeners[listener].awaits_event,
            "accepting from {listener}, and no event has followed"
        );
        if let Some(error) = self.accept_errors.pop_front() {
            return Err(io::Error::from_raw_os_error(error));
        }
        let Self { random, faults, .. } = self;
        if random.fails(faults.interrupted_calls) {
            return Err(ErrorKind::Interrupted.into());
        }
        if random.fails(faults.failed_accepts) {
            let error = [libc::ECONNABORTED, libc::EMFILE][random.below(2)];
            return Err(io::Error::from_raw_os_error(error));
        }
        let backlog = &mut self.listeners[listener].backlog;
        if !backlog.is_empty() && self.descriptors.are_exhausted() {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let Some(index) = backlog.pop_front() else {
            self.listeners[listener].awaits_event = true;
            return Err(ErrorKind::WouldBlock.into());
        };
        self.wires[index].accepted_ms = Some(self.now_ms);
        self.wires[index].last_read_ms = self.now_ms;
        self.wires[index].last_sent_ms = self.now_ms;
        Ok(index)
    }
}
