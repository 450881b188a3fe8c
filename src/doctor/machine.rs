//! The settings and the state of the machine, read from `/proc` and `/sys`.
//!
//! This file knows paths and formats, not what a value means for connections. The root is an argument, so that
//! a test can read files of its own.

use std::num::NonZero;
use std::path::Path;

use procfs::process::{Limit, LimitValue, Limits, Status};
use procfs::{LoadAverage, Meminfo};

use super::cgroup::{self, Group};
use super::fact::{Fact, number, numbers, parsed, text};

/// A soft and a hard limit of this process; `u64::MAX` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessLimit {
    /// The limit in force.
    pub soft: u64,
    /// The highest value that the process may set.
    pub hard: u64,
}

/// The ports that the system assigns to outgoing connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
    /// The number of reserved ports among these, which are not assigned.
    pub reserved: u64,
}

/// Settings and state; pages are of [`page_bytes`](Self::page_bytes).
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// Whether this process runs as root, and needs no `sudo` to change a setting.
    pub is_root: bool,
    /// Whether this process may raise its hard limits (`CAP_SYS_RESOURCE`).
    pub raises_limits: bool,
    /// Descriptors of this process (`RLIMIT_NOFILE`).
    pub descriptors: Fact<ProcessLimit>,
    /// The highest descriptor limit that a process may have (`fs.nr_open`).
    pub descriptors_raisable: Fact<u64>,
    /// Open files of all processes together (`fs.file-max`).
    pub files_max: Fact<u64>,
    /// Open files now (`fs.file-nr`).
    pub files: Fact<u64>,
    /// Ports for connecting (`net.ipv4.ip_local_port_range`, `ip_local_reserved_ports`).
    pub ports: Fact<Ports>,
    /// The most connections that are tracked (`net.netfilter.nf_conntrack_max`).
    pub tracked_max: Fact<u64>,
    /// Connections tracked now (`nf_conntrack_count`).
    pub tracked: Fact<u64>,
    /// Memory available without swapping, in bytes (`MemAvailable`).
    pub memory_bytes: Fact<u64>,
    /// The control group that leaves the least memory; in bytes.
    pub memory_group: Fact<Group>,
    /// The control group that leaves the fewest tasks.
    pub tasks_group: Fact<Group>,
    /// The most tasks of the system (`kernel.threads-max`).
    pub threads_max: Fact<u64>,
    /// The largest task number (`kernel.pid_max`).
    pub pid_max: Fact<u64>,
    /// Tasks of the system now.
    pub tasks: Fact<u64>,
    /// The most tasks of this user (`RLIMIT_NPROC`).
    pub user_tasks: Fact<ProcessLimit>,
    /// The most memory maps of a process (`vm.max_map_count`).
    pub maps_max: Fact<u64>,
    /// The most connections waiting to be accepted (`net.core.somaxconn`).
    pub accept_queue: Fact<u64>,
    /// The most half-open connections without SYN cookies (`net.ipv4.tcp_max_syn_backlog`).
    pub syn_backlog: Fact<u64>,
    /// Whether SYN cookies are sent: 0 never, 1 if the queue is full, 2 always (`tcp_syncookies`).
    pub syn_cookies: Fact<u64>,
    /// Pages in the buffers of all TCP sockets: low, pressure, limit (`net.ipv4.tcp_mem`).
    pub tcp_pages: Fact<[u64; 3]>,
    /// Whether ports in `TIME_WAIT` are reused: 0 no, 1 yes, 2 on loopback (`net.ipv4.tcp_tw_reuse`).
    pub port_reuse: Fact<u64>,
    /// The most closed sockets with unsent data (`net.ipv4.tcp_max_orphans`).
    pub orphans_max: Fact<u64>,
    /// Processors that this process may run on.
    pub processors: Option<usize>,
    /// Bytes of a page.
    pub page_bytes: u64,
}

impl Machine {
    /// Reads the files below `root`, which is `/` except in tests.
    #[must_use]
    pub(crate) fn read(root: &Path) -> Self {
        let system = |name: &str| number(root, &format!("proc/sys/{name}"));
        let limits: Fact<Limits> = parsed(root, "proc/self/limits");
        let status = parsed::<Status>(root, "proc/self/status").known();
        Self {
            is_root: status.as_ref().is_some_and(|status| status.euid == 0),
            raises_limits: status.is_some_and(|status| status.capeff >> CAP_SYS_RESOURCE & 1 == 1),
            descriptors: limits.clone().and_then(|limits| Some(limits.max_open_files.into())),
            descriptors_raisable: system("fs/nr_open"),
            files_max: system("fs/file-max"),
            files: numbers(root, "proc/sys/fs/file-nr")
                .and_then(|[allocated, _, _]: [u64; 3]| Some(allocated)),
            ports: ports(root),
            tracked_max: system("net/netfilter/nf_conntrack_max"),
            tracked: system("net/netfilter/nf_conntrack_count"),
            memory_bytes: parsed::<Meminfo>(root, "proc/meminfo").and_then(|meminfo| meminfo.mem_available),
            memory_group: cgroup::memory(root),
            tasks_group: cgroup::tasks(root),
            threads_max: system("kernel/threads-max"),
            pid_max: system("kernel/pid_max"),
            tasks: parsed::<LoadAverage>(root, "proc/loadavg").and_then(|load| Some(load.max.into())),
            user_tasks: limits.and_then(|limits| Some(limits.max_processes.into())),
            maps_max: system("vm/max_map_count"),
            accept_queue: system("net/core/somaxconn"),
            syn_backlog: system("net/ipv4/tcp_max_syn_backlog"),
            syn_cookies: system("net/ipv4/tcp_syncookies"),
            tcp_pages: numbers(root, "proc/sys/net/ipv4/tcp_mem"),
            port_reuse: system("net/ipv4/tcp_tw_reuse"),
            orphans_max: system("net/ipv4/tcp_max_orphans"),
            processors: std::thread::available_parallelism().ok().map(NonZero::get),
            page_bytes: page_bytes(),
        }
    }
}

impl From<Limit> for ProcessLimit {
    fn from(limit: Limit) -> Self {
        let number = |value| match value {
            LimitValue::Unlimited => u64::MAX,
            LimitValue::Value(value) => value,
        };
        Self { soft: number(limit.soft_limit), hard: number(limit.hard_limit) }
    }
}

/// The size of a page; 4 KiB where it is unknown. (`rustix::param` reads what only the kernel maps, and crashes under
/// valgrind.)
fn page_bytes() -> u64 {
    let bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    bytes.and_then(|bytes| bytes.try_into().ok()).unwrap_or(4096)
}

fn ports(root: &Path) -> Fact<Ports> {
    let reserved = match text(root, "proc/sys/net/ipv4/ip_local_reserved_ports") {
        Fact::Known(list) => list,
        Fact::Absent | Fact::Unknown => String::new(),
    };
    numbers(root, "proc/sys/net/ipv4/ip_local_port_range").and_then(|[first, last]: [u16; 2]| {
        let reserved = reserved_between(first, last, &reserved)?;
        (first <= last).then_some(Ports { first, last, reserved })
    })
}

/// The number of ports from `first` to `last` in `ranges`, such as `8080,9000-9100`.
fn reserved_between(first: u16, last: u16, ranges: &str) -> Option<u64> {
    let mut reserved = 0;
    for part in ranges.trim().split(',').filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (u16, u16) = (from.parse().ok()?, to.parse().ok()?);
        let (from, to) = (from.max(first), to.min(last));
        reserved += if from <= to { u64::from(to - from) + 1 } else { 0 };
    }
    Some(reserved)
}

/// The bit of this capability, from `linux/capability.h`.
const CAP_SYS_RESOURCE: u32 = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::machine;

    #[test]
    fn every_value_is_read() {
        let machine =
            machine(&[("proc/sys/net/ipv4/ip_local_reserved_ports", Some("80,32768-32770,60999-61001\n"))]);
        assert!(machine.is_root && machine.raises_limits);
        assert_eq!(machine.descriptors, Fact::Known(ProcessLimit { soft: 1024, hard: 1_000_000_000 }));
        assert_eq!(machine.user_tasks, Fact::Known(ProcessLimit { soft: u64::MAX, hard: u64::MAX }));
        assert_eq!(machine.files, Fact::Known(600));
        assert_eq!(machine.ports, Fact::Known(Ports { first: 32768, last: 60999, reserved: 4 }));
        assert_eq!(machine.memory_bytes, Fact::Known(8_999_999_999 * 1024));
        assert_eq!(machine.tasks, Fact::Known(86));
        assert_eq!(machine.tcp_pages, Fact::Known([300_000, 400_000, 600_000]));
    }

    #[test]
    fn an_absent_file_and_an_unreadable_file_are_distinguished() {
        let machine = machine(&[
            ("proc/sys/net/netfilter/nf_conntrack_max", None),
            ("proc/sys/fs/nr_open", Some("many\n")),
            ("proc/sys/fs/file-nr", Some("1 2\n")),
            ("proc/self/limits", Some("Max open files 1 files\n")),
            ("proc/sys/net/ipv4/ip_local_port_range", Some("60999 32768\n")),
            ("proc/meminfo", Some("MemTotal: many kB\n")),
            ("proc/loadavg", Some("0.82")),
        ]);
        assert_eq!(machine.tracked_max, Fact::Absent);
        assert_eq!(machine.descriptors_raisable, Fact::Unknown);
        assert_eq!(machine.files, Fact::Unknown);
        assert_eq!(machine.descriptors, Fact::Unknown);
        assert_eq!(machine.ports, Fact::Unknown);
        assert_eq!(machine.memory_bytes, Fact::Unknown);
        assert_eq!(machine.tasks, Fact::Unknown);
    }

    #[test]
    fn an_empty_root_gives_no_values() {
        let nowhere = tempfile::tempdir().unwrap();
        let machine = Machine::read(nowhere.path());
        assert!(!machine.is_root && !machine.raises_limits);
        assert_eq!((machine.descriptors, machine.memory_bytes), (Fact::Absent, Fact::Absent));
    }
}
