//! The client's side of the kernel's network: connecting, and waiting until an exact time.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::Interest;
use mio::net::{TcpStream, UdpSocket};
use mio::unix::SourceFd;
use nix::sys::time::TimeValLike;
use nix::time::ClockId;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::batch::Batches;
use super::connected::connected;
use super::{DatagramSocket, KernelNet};
use crate::net::sockets;
use crate::net::{Connect, Event, Listen, Poller, PreciseTime, Token};

impl Connect for KernelNet {
    fn connect(&mut self, source: Option<SocketAddr>, peer: SocketAddr) -> io::Result<TcpStream> {
        sockets::connect(source, peer).map(TcpStream::from_std)
    }

    fn watch(&mut self, stream: &mut TcpStream, token: Token) -> io::Result<()> {
        stream.set_nodelay(true)?;
        self.register(stream, token)
    }

    fn watch_reads(&mut self, stream: &mut TcpStream, token: Token) -> io::Result<()> {
        // Without TCP_NODELAY, a small segment waits only behind an earlier one, and one write has at most one.
        let reads = Interest::READABLE;
        #[cfg(target_os = "linux")]
        let reads = reads | Interest::PRIORITY;
        self.poll.registry().register(stream, mio::Token(token.0), reads)
    }

    fn local_address(stream: &TcpStream) -> io::Result<SocketAddr> {
        stream.local_addr()
    }

    fn connected(&mut self, stream: &TcpStream) -> io::Result<bool> {
        connected(stream)
    }

    fn connect_socket(
        &mut self,
        source: Option<SocketAddr>,
        peer: SocketAddr,
        token: Token,
    ) -> io::Result<DatagramSocket> {
        let mut io = UdpSocket::from_std(sockets::connect_datagrams(source, peer)?);
        self.poll.registry().register(&mut io, mio::Token(token.0), Interest::READABLE)?;
        Ok(DatagramSocket { io, batches: Batches::none() })
    }

    fn local_address_of_socket(socket: &DatagramSocket) -> io::Result<SocketAddr> {
        socket.io.local_addr()
    }
}

impl PreciseTime for KernelNet {
    fn now_ns(&mut self) -> u64 {
        // Read for each event; `Instant` does more than is needed here.
        let now = ClockId::CLOCK_MONOTONIC.now().expect("the monotonic clock is always there");
        u64::try_from(now.num_nanoseconds()).unwrap_or(0)
    }

    fn poll_until(
        &mut self,
        events: &mut Vec<Event>,
        events_max: usize,
        now_ns: u64,
        until_ns: u64,
        spin: bool,
    ) -> io::Result<bool> {
        let wait_ns = until_ns.saturating_sub(now_ns);
        let wait_ns = if spin { self.spin_time.wait(wait_ns) } else { Some(wait_ns) };
        let Some(wait_ns) = wait_ns.filter(|wait_ns| *wait_ns > 0) else {
            self.poll(events_max, Some(Duration::ZERO), |event| events.push(event))?;
            return Ok(until_ns > now_ns);
        };
        let wake_ns = now_ns + wait_ns;
        self.wake_at(wake_ns)?;
        let polled_before = events.len();
        self.poll(events_max, None, |event| events.push(event))?;
        if spin && events[polled_before..].iter().all(|event| event.token == Token::TIMER) {
            let late_ns = self.now_ns().saturating_sub(wake_ns);
            self.spin_time.woke(late_ns);
        }
        Ok(false)
    }
}

impl KernelNet {
    /// Sets the timer to `at_ns`. A poll's own timeout is in whole milliseconds, which is too coarse for a
    /// schedule.
    fn wake_at(&mut self, at_ns: u64) -> io::Result<()> {
        if self.timer.as_ref().is_some_and(|timer| timer.set_to_ns == at_ns) {
            return Ok(());
        }
        let mut timer = match self.timer.take() {
            Some(timer) => timer,
            None => self.timer()?,
        };
        timer.set_to_ns = at_ns;
        // `now_ns` is the time of the same clock, which is never 0: that would not set the timer.
        let at = Duration::from_nanos(at_ns);
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: at.try_into().map_err(|_| io::ErrorKind::InvalidInput)?,
        };
        // Setting it again also clears its expiration, so it is never read.
        timerfd_settime(&timer.descriptor, TimerfdTimerFlags::ABSTIME, &once)?;
        self.timer = Some(timer);
        Ok(())
    }

    fn timer(&mut self) -> io::Result<Timer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let token = mio::Token(Token::TIMER.0);
        self.poll.registry().register(&mut SourceFd(&descriptor.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Timer { descriptor, set_to_ns: 0 })
    }
}

/// A timer that wakes the poller.
pub(super) struct Timer {
    descriptor: OwnedFd,
    set_to_ns: u64,
}
