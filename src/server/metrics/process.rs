//! What the server does not measure itself: the state of its process, and what the kernel has dropped.

use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use procfs::FromRead;
use procfs::process::Stat;

use crate::net::kernel_drops::{self, SocketDrops};
use crate::net::{fd_limit, stderr};
use crate::units::float;

/// The state of the process. What cannot be read is `None`, and not shown.
#[derive(Debug, Clone, Default)]
pub(super) struct ProcessStats {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: u64,
    /// Seconds since the epoch.
    pub(super) start_time: Option<f64>,
    pub(super) log_lines_dropped: u64,
    pub(super) listen_overflows: Option<u64>,
    pub(super) datagrams_dropped: Option<u64>,
}

/// Where the state is read, each time it is asked for. The sandbox allows that, and no more.
#[derive(Debug)]
pub(in crate::server) struct ProcessSource {
    max_fds: u64,
    start_time: Option<f64>,
    /// At the sockets for datagrams.
    datagram_drops: Mutex<SocketDrops>,
}

impl ProcessSource {
    /// This process, and its `sockets` for datagrams. It must be made before the sandbox is entered.
    pub(in crate::server) fn new(sockets: impl Iterator<Item = impl AsFd>) -> Self {
        let boot_time = procfs::boot_time_secs().ok();
        let start_time = stat().zip(boot_time).map(|(stat, boot)| float(boot) + seconds(stat.starttime));
        let inodes = sockets.filter_map(|socket| rustix::fs::fstat(socket).ok()).map(|it| it.st_ino);
        let datagram_drops = Mutex::new(SocketDrops::of(inodes));
        Self { max_fds: fd_limit::soft_limit(), start_time, datagram_drops }
    }

    pub(super) fn read(&self) -> ProcessStats {
        let stat = stat();
        ProcessStats {
            cpu_seconds: stat.as_ref().map(|stat| seconds(stat.utime + stat.stime)),
            resident_bytes: stat.map(|stat| stat.rss * procfs::page_size()),
            open_fds: fd_limit::open_descriptors(OPEN_FDS_COUNTED_MAX),
            max_fds: self.max_fds,
            start_time: self.start_time,
            log_lines_dropped: stderr::lock().dropped_total(),
            listen_overflows: kernel_drops::listen_overflows().ok(),
            datagrams_dropped: self.datagram_drops.lock().unwrap_or_else(PoisonError::into_inner).read().ok(),
        }
    }
}

fn stat() -> Option<Stat> {
    Stat::from_file("/proc/self/stat").ok()
}

fn seconds(ticks: u64) -> f64 {
    float(ticks) / float(procfs::ticks_per_second())
}

/// Kernels before 6.2 list the descriptors one by one: with more, they are not counted.
const OPEN_FDS_COUNTED_MAX: usize = 20_000;

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};

    use rustix::time::{ClockId, clock_gettime};
    use socket2::{Domain, Socket, Type};

    use super::*;

    #[test]
    fn the_state_of_this_process_can_be_read() {
        let stats = ProcessSource::new(std::iter::once(std::io::stdin())).read();
        assert!(stats.resident_bytes.unwrap() > 1 << 20);
        let open = stats.open_fds.unwrap();
        assert!((4..=stats.max_fds).contains(&open), "{open} of {}", stats.max_fds);
        assert_eq!(stats.datagrams_dropped, Some(0));
    }

    #[test]
    fn the_process_was_started_within_the_last_hour() {
        let started = ProcessSource::new(std::iter::empty::<UdpSocket>()).read().start_time.unwrap();
        let now = clock_gettime(ClockId::Realtime);
        let age = float(now.tv_sec.try_into().unwrap()) - started;
        // The time of the boot is in seconds, and an adjustment of the clock moves it.
        assert!((-5.0..3600.0).contains(&age), "{age} s");
    }

    #[test]
    fn the_processor_time_includes_that_of_system_calls() {
        let source = ProcessSource::new(std::iter::empty::<UdpSocket>());
        let start = stat().unwrap();
        while stat().unwrap().stime < start.stime + 5 {
            std::fs::read("/proc/self/status").unwrap();
        }
        let (before, shown, after) = (stat().unwrap(), source.read().cpu_seconds.unwrap(), stat().unwrap());
        let all = |stat: &Stat| seconds(stat.utime + stat.stime);
        assert!((all(&before)..=all(&after)).contains(&shown), "{shown}");
    }

    #[test]
    fn connections_that_the_kernel_drops_are_counted() {
        let source = ProcessSource::new(std::iter::empty::<UdpSocket>());
        let before = source.read().listen_overflows.unwrap();
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        // None is accepted, and one has room.
        let peers = [(); 3].map(|()| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap());
        for peer in &peers {
            peer.set_nonblocking(true).unwrap();
            let _ = peer.connect(&address);
        }
        assert!(source.read().listen_overflows.unwrap() > before);
    }

    #[test]
    fn datagrams_that_the_kernel_drops_are_counted_for_the_sockets_of_the_server_alone() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let [source, of_other] = [&socket, &other].map(|socket| ProcessSource::new(std::iter::once(socket)));
        let dropped = |source: &ProcessSource| source.read().datagrams_dropped.unwrap();
        // None is received: at last the buffer is full.
        let mut sent = 0;
        while dropped(&source) == 0 {
            assert!(sent < 100_000, "nothing is dropped");
            for _ in 0..1000 {
                other.send_to(&[0; 1000], socket.local_addr().unwrap()).unwrap();
            }
            sent += 1000;
        }
        assert_eq!(dropped(&of_other), 0);
    }
}
