//! Reports to a service manager: the protocol of `sd_notify(3)`, a datagram for each report.
//!
//! The socket is connected at the start, before the process is confined; the crates for this connect for each report.
//! A report that cannot be sent is lost: the manager has a timeout for those that it needs.

use std::env;
use std::fmt::Write;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::conn::deadlines::Tick;

/// Reports to the service manager that has started this process.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: UnixDatagram,
    /// Half of the time after which the manager takes the process to be stuck.
    watchdog_ms: Option<u32>,
    fed_at: Tick,
    status_at: Tick,
    /// What the last status reported, and what is true now.
    reported: Status,
    current: Status,
    /// Messages a second in the last status.
    rate: u64,
}

/// What a status is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Status {
    connections: usize,
    messages: Option<u64>,
}

impl Notifier {
    /// The notifier for the socket that the environment names; `None` without one.
    ///
    /// # Errors
    /// The socket cannot be connected to.
    pub(crate) fn from_environment() -> io::Result<Option<Self>> {
        let Some(path) = env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        let socket = UnixDatagram::unbound()?;
        match path.as_encoded_bytes().strip_prefix(b"@") {
            Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
            None => socket.connect(&path)?,
        }
        socket.set_nonblocking(true)?;
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog_us = number("WATCHDOG_USEC").filter(|us| *us > 0 && is_ours);
        Ok(Some(Self {
            socket,
            watchdog_ms: watchdog_us.map(|us| u32::try_from(us / 2000).unwrap_or(u32::MAX).max(1)),
            fed_at: Tick::default(),
            status_at: Tick::default(),
            reported: Status::default(),
            current: Status::default(),
            rate: 0,
        }))
    }

    /// The server is ready.
    pub(crate) fn ready(&mut self, now: Tick) {
        (self.fed_at, self.status_at) = (now, now);
        self.send("READY=1\nSTATUS=0 connections\n");
    }

    /// The server has been asked to stop.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping\n");
    }

    /// The journal has been opened again, by request.
    pub(crate) fn reloaded(&self) {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let microseconds = i128::from(time.tv_sec) * 1_000_000 + i128::from(time.tv_nsec / 1000);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}\n"));
        self.send("READY=1\n");
    }

    /// The server is alive, and has this many connections, and messages since the start if they are counted. Reports
    /// it when that is due.
    pub(crate) fn alive(&mut self, now: Tick, connections: usize, messages: Option<u64>) {
        self.current = Status { connections, messages };
        let mut report = String::new();
        if self.watchdog_ms.is_some_and(|ms| now.ms_since(self.fed_at) >= ms) {
            self.fed_at = now;
            report.push_str("WATCHDOG=1\n");
        }
        let elapsed_ms = now.ms_since(self.status_at);
        if self.is_status_old() && elapsed_ms >= STATUS_MS {
            let _ = write!(report, "STATUS={connections} connections");
            self.rate = 0;
            if let Some(messages) = messages {
                let since = messages - self.reported.messages.unwrap_or(0);
                self.rate = since * 1000 / u64::from(elapsed_ms);
                let _ = write!(report, ", {} messages/s", self.rate);
            }
            report.push('\n');
            (self.status_at, self.reported) = (now, self.current);
        }
        if !report.is_empty() {
            self.send(&report);
        }
    }

    /// Milliseconds until [`alive`](Self::alive) has something to report, if nothing happens.
    pub(crate) fn wait_ms(&self, now: Tick) -> Option<u32> {
        let left = |since: Tick, ms: u32| ms.saturating_sub(now.ms_since(since));
        let watchdog = self.watchdog_ms.map(|ms| left(self.fed_at, ms));
        let status = self.is_status_old().then(|| left(self.status_at, STATUS_MS));
        watchdog.into_iter().chain(status).min()
    }

    fn is_status_old(&self) -> bool {
        self.current != self.reported || self.rate > 0
    }

    fn send(&self, report: &str) {
        let _ = self.socket.send(report.as_bytes());
    }
}

/// Between two reports of the status.
const STATUS_MS: u32 = 5000;
