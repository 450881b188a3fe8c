//! Limits of memory: of the machine, and of the control group of this process.

use std::path::Path;

use serde::Serialize;

use super::cgroup::Group;
use super::fact::Fact;
use super::limit::{Limit, Need, Remedy, Role, allowed, sudo};
use super::machine::Machine;
use super::text::in_bytes;

/// Kernel memory of one end of an idle connection, in bytes.
///
/// Measured on Linux 6.18, `x86_64`, as the slope of `Slab` in `/proc/meminfo` from 2,000 to 12,000 idle
/// connections on loopback, both ends edge-triggered in an `epoll`: 8,260 bytes for two ends. Of one end,
/// `/proc/slabinfo` shows 2,520 as `TCP`, 865 `sock_inode_cache`, 195 `filp`, 195 `dentry`, 190 of `epoll`,
/// and the rest for ports and labels. The descriptor table adds 8 to 24 bytes. An idle socket has no buffers.
const SOCKET_BYTES: u64 = 4200;

/// Kernel memory of a thread, in bytes, measured in the same way from 500 to 5,500 connections of
/// `serve --model threads`: a stack of 16 KiB, 6,550 as `task_struct`, 780 for four memory maps and 1,100 of
/// smaller things and page tables.
const THREAD_BYTES: u64 = 25_000;

/// Memory of `serve` for an idle connection, in bytes: its entry in the table.
const SERVED_BYTES: u64 = 32;

/// Memory of `serve --model threads` for an idle connection, in bytes: the used part of its thread's stack,
/// and its entry in the list. Measured as the slope of `VmRSS` of the release build: 10,960 and more.
const SERVED_BY_THREAD_BYTES: u64 = 11_100;

/// Memory of the load generator for a connection, in bytes, at most.
const DRIVEN_BYTES: u64 = 48;

/// Memory of a process without connections, in bytes; an upper bound.
const PROCESS_BYTES: u64 = 16 << 20;

/// Memory of one end of an idle connection, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ConnectionBytes {
    /// Memory in the kernel, in bytes.
    pub kernel: u64,
    /// Memory of the process, in bytes.
    pub user: u64,
}

impl ConnectionBytes {
    /// The memory of a connection of `role`.
    #[must_use]
    pub(crate) fn of(role: Role) -> Self {
        match role {
            Role::Serve => Self { kernel: SOCKET_BYTES, user: SERVED_BYTES },
            Role::ServeThreads => Self { kernel: SOCKET_BYTES + THREAD_BYTES, user: SERVED_BY_THREAD_BYTES },
            Role::Drive | Role::DriveBeyond => Self { kernel: SOCKET_BYTES, user: DRIVEN_BYTES },
        }
    }
}

fn need(role: Role) -> Need {
    let ConnectionBytes { kernel, user } = ConnectionBytes::of(role);
    Need { base: PROCESS_BYTES, per_connection: kernel + user }
}

/// Memory that the machine and the control group of this process have left, in bytes.
#[must_use]
pub(crate) fn available() -> Option<u64> {
    available_on(&Machine::read(Path::new("/")))
}

fn available_on(machine: &Machine) -> Option<u64> {
    let group = machine.memory_group.as_known().map(Group::left);
    [machine.memory_bytes.known(), group].into_iter().flatten().min()
}

/// `MemAvailable`. Connections with buffered data need more, which `tcp_mem` limits.
pub(super) fn of_the_machine(machine: &Machine) -> Limit {
    Limit {
        name: "memory",
        description: machine.memory_bytes.describe(|bytes| format!("{} available", in_bytes(bytes))),
        allows: allowed(machine.memory_bytes.known(), |role, bytes| Some(need(role).connections(bytes))),
        remedy: |machine, role, connections| {
            let missing =
                need(role).of(connections).saturating_sub(machine.memory_bytes.known().unwrap_or(0));
            Remedy::default()
                .with_advice(format!("no setting adds memory: {} more are needed", in_bytes(missing)))
        },
    }
}

/// `memory.max`, which includes kernel memory.
pub(super) fn of_the_group(machine: &Machine) -> Limit {
    let group = machine.memory_group.as_known();
    Limit {
        name: "memory of the control group",
        description: match &machine.memory_group {
            Fact::Known(group) => format!("{} left of {}", in_bytes(group.left()), in_bytes(group.max)),
            Fact::Absent => "no limit".into(),
            Fact::Unknown => "unknown".into(),
        },
        allows: allowed(group.map(Group::left), |role, bytes| Some(need(role).connections(bytes))),
        remedy: |machine, role, connections| {
            group_remedy(machine, machine.memory_group.as_known(), need(role).of(connections))
        },
    }
}

/// Raises the limit of a group so that `needed` is left.
pub(super) fn group_remedy(machine: &Machine, group: Option<&Group>, needed: u64) -> Remedy {
    group.map_or_else(Remedy::default, |group| {
        let max = needed.saturating_add(group.used);
        Remedy::command(format!("echo {max} | {}tee {}", sudo(machine), group.file))
            .with_advice("or change the setting of the container or systemd unit that created the group")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::machine;

    #[test]
    fn the_tighter_of_machine_and_control_group_is_available() {
        let group =
            [("sys/fs/cgroup/memory.max", Some("9000\n")), ("sys/fs/cgroup/memory.current", Some("1000\n"))];
        assert_eq!(available_on(&machine(&group)), Some(8000));
        let mut both = group.to_vec();
        both.push(("proc/meminfo", Some("MemTotal: 7 kB\nMemFree: 5 kB\nMemAvailable: 6 kB\nBuffers: 0 kB\nCached: 0 kB\nSwapCached: 0 kB\nActive: 0 kB\nInactive: 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nDirty: 0 kB\nWriteback: 0 kB\nMapped: 0 kB\nSlab: 0 kB\nCommitted_AS: 0 kB\nVmallocTotal: 0 kB\nVmallocUsed: 0 kB\nVmallocChunk: 0 kB\n")));
        assert_eq!(available_on(&machine(&both)), Some(6 * 1024));
        assert_eq!(available_on(&machine(&[("proc/meminfo", None)])), None);
    }
}
