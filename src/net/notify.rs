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
        let number = |name| env::var(name).ok()?.parse().ok();
        let own_pid = std::process::id().into();
        Ok(Some(Self {
            socket,
            watchdog_ms: watchdog_ms(number("WATCHDOG_USEC"), number("WATCHDOG_PID"), own_pid),
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

/// Half of the `timeout_us` of the watchdog, in milliseconds, if it is meant for the process `own_pid`.
fn watchdog_ms(timeout_us: Option<u64>, for_pid: Option<u64>, own_pid: u64) -> Option<u32> {
    let us = timeout_us.filter(|us| *us > 0 && for_pid.is_none_or(|pid| pid == own_pid))?;
    Some(u32::try_from(us / 2000).unwrap_or(u32::MAX).max(1))
}

/// Between two reports of the status.
const STATUS_MS: u32 = 5000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::after(Duration::from_millis(ms))
    }

    /// A notifier that was ready at 0 ms, and its manager.
    fn notifier(watchdog_ms: Option<u32>) -> (Notifier, UnixDatagram) {
        let (socket, manager) = UnixDatagram::pair().unwrap();
        manager.set_nonblocking(true).unwrap();
        let (reported, current) = (Status::default(), Status::default());
        let (fed_at, status_at) = (at(0), at(0));
        (Notifier { socket, watchdog_ms, fed_at, status_at, reported, current, rate: 0 }, manager)
    }

    /// The next report, or nothing.
    fn report(manager: &UnixDatagram) -> String {
        let mut bytes = [0; 1000];
        let length = manager.recv(&mut bytes).unwrap_or(0);
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn the_status_has_the_connections_and_the_messages_a_second_since_the_last_one() {
        let (mut notifier, manager) = notifier(None);
        notifier.ready(at(0));
        assert_eq!(report(&manager), "READY=1\nSTATUS=0 connections\n");
        for (ms, connections, messages, expected) in [
            (4999, 3, Some(20), ""),
            (5000, 3, Some(20), "STATUS=3 connections, 4 messages/s\n"),
            (9999, 2, Some(9_000_000_020), ""),
            (10_000, 2, Some(9_000_000_020), "STATUS=2 connections, 1800000000 messages/s\n"),
            // Nothing has happened since: the rate is 0, once.
            (15_000, 2, Some(9_000_000_020), "STATUS=2 connections, 0 messages/s\n"),
            (30_000, 2, Some(9_000_000_020), ""),
            (30_001, 1, Some(9_000_000_020), "STATUS=1 connections, 0 messages/s\n"),
        ] {
            notifier.alive(at(ms), connections, messages);
            assert_eq!(report(&manager), expected, "at {ms} ms");
        }
    }

    #[test]
    fn messages_that_are_not_counted_are_not_in_the_status() {
        let (mut notifier, manager) = notifier(None);
        notifier.alive(at(5000), 1, None);
        assert_eq!(report(&manager), "STATUS=1 connections\n");
    }

    #[test]
    fn the_watchdog_is_fed_at_half_of_its_time_and_with_the_status_in_one_report() {
        let (mut notifier, manager) = notifier(Some(2500));
        assert_eq!(notifier.wait_ms(at(1000)), Some(1500));
        for (ms, connections, expected) in [
            (2499, 0, ""),
            (2500, 1, "WATCHDOG=1\n"),
            (4999, 1, ""),
            (5000, 1, "WATCHDOG=1\nSTATUS=1 connections\n"),
        ] {
            notifier.alive(at(ms), connections, None);
            assert_eq!(report(&manager), expected, "at {ms} ms");
        }
        assert_eq!(notifier.wait_ms(at(5000)), Some(2500));
    }

    #[test]
    fn the_watchdog_of_another_process_or_without_a_time_is_not_fed() {
        for (timeout_us, for_pid, expected) in [
            (Some(5_000_000), None, Some(2500)),
            (Some(5_000_000), Some(7), Some(2500)),
            (Some(5_000_000), Some(8), None),
            (Some(1), Some(7), Some(1)),
            (Some(u64::MAX), None, Some(u32::MAX)),
            (Some(0), None, None),
            (None, None, None),
            (None, Some(7), None),
        ] {
            assert_eq!(watchdog_ms(timeout_us, for_pid, 7), expected, "{timeout_us:?} {for_pid:?}");
        }
    }

    #[test]
    fn a_reload_is_reported_with_the_time_of_its_beginning_and_then_its_end() {
        let (notifier, manager) = notifier(None);
        let now = || {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            time.tv_sec * 1_000_000 + time.tv_nsec / 1000
        };
        let before = now();
        notifier.reloaded();
        let reloading = report(&manager);
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().strip_suffix('\n');
        assert!((before..=now()).contains(&time.unwrap().parse().unwrap()), "{reloading}");
        assert_eq!(report(&manager), "READY=1\n");
        notifier.stopping();
        assert_eq!(report(&manager), "STOPPING=1\nSTATUS=stopping\n");
    }
}
