//! What the kernel counts: CPU time and memory of this process, and datagrams that were dropped.

use std::collections::HashMap;
use std::fs;

use procfs::FromRead;
use procfs::process::{Schedstat, Status};

use super::summary::DatagramDrops;
use crate::net::kernel_drops::{UdpSocketDrops, udp_sockets};

/// Times of this process, which has one thread.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SchedulerTimes {
    /// The process ran.
    pub(crate) cpu_ns: u64,
    /// The process was ready to run and had no CPU.
    pub(crate) waited_ns: u64,
}

/// The times so far; zero if they cannot be read.
pub(crate) fn scheduler_times() -> SchedulerTimes {
    Schedstat::from_file("/proc/self/schedstat").map_or_else(
        |_| SchedulerTimes::default(),
        |stat| SchedulerTimes { cpu_ns: stat.sum_exec_runtime, waited_ns: stat.run_delay },
    )
}

/// Resident memory of this process, in bytes: all of it, and its anonymous part. Zero if it cannot be read.
pub(crate) fn memory_bytes() -> (u64, u64) {
    let status = Status::from_file("/proc/self/status").ok();
    let bytes = |kib: fn(&Status) -> Option<u64>| status.as_ref().and_then(kib).unwrap_or(0) * 1024;
    (bytes(|status| status.vmrss), bytes(|status| status.rssanon))
}

/// Datagrams that the kernel has dropped so far: by the counters of the host, and at the sockets of this run and
/// of the server at `server_port`. A counter that cannot be read is zero.
pub(crate) fn datagram_drops(server_port: u16) -> DatagramDrops {
    let mut drops = DatagramDrops::default();
    if let Ok(v4) = procfs::net::snmp() {
        drops.receive_buffer += v4.udp_rcvbuf_errors;
        drops.send_buffer += v4.udp_sndbuf_errors;
        drops.no_port += v4.udp_no_ports;
    }
    if let Ok(v6) = procfs::net::snmp6() {
        drops.receive_buffer += v6.udp_rcvbuf_errors;
        drops.send_buffer += v6.udp_sndbuf_errors;
        drops.no_port += v6.udp_no_ports;
    }
    for path in ["/proc/net/udp", "/proc/net/udp6"] {
        let (own, servers) = socket_drops_in(&fs::read_to_string(path).unwrap_or_default(), server_port);
        drops.own_receive_buffer += own;
        drops.server_receive_buffer += servers;
    }
    drops
}

/// Drops of the sockets that are connected to `server_port`, and of those that are bound to it. A socket that a server
/// only sends from is both.
fn socket_drops_in(sockets: &str, server_port: u16) -> (u64, u64) {
    let (mut own, mut servers) = (0, 0);
    // Each once.
    let sockets: HashMap<_, _> = udp_sockets(sockets).map(|socket| (socket.inode, socket)).collect();
    for UdpSocketDrops { local_port, remote_port, drops, .. } in sockets.into_values() {
        if local_port == Some(server_port) {
            servers += drops;
        } else if remote_port == Some(server_port) {
            own += drops;
        }
    }
    (own, servers)
}

impl DatagramDrops {
    /// What was dropped since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            receive_buffer: self.receive_buffer.saturating_sub(before.receive_buffer),
            // The sockets of this run did not exist before it.
            own_receive_buffer: self.own_receive_buffer,
            server_receive_buffer: self.server_receive_buffer.saturating_sub(before.server_receive_buffer),
            send_buffer: self.send_buffer.saturating_sub(before.send_buffer),
            no_port: self.no_port.saturating_sub(before.no_port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_told_apart_by_the_ports_at_both_ends_and_counted_once() {
        let sockets = "  sl  local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode ref pointer drops\n\
             1: 0100007F:1F9B 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2 0 40\n\
             2: 0100007F:9C40 0100007F:1F9B 01 00000000:00000000 00:00000000 00000000 0 0 2 2 0 3\n\
             2: 0100007F:9C40 0100007F:1F9B 01 00000000:00000000 00:00000000 00000000 0 0 2 2 0 3\n\
             3: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 3 2 0 500\n\
             4: 0100007F:1F9B 0100007F:1F9B 01 00000000:00000000 00:00000000 00000000 0 0 4 2 0 2\n";
        assert_eq!(socket_drops_in(sockets, 0x1f9b), (3, 42));
        assert_eq!(socket_drops_in("", 1), (0, 0));
    }

    #[test]
    fn the_counters_of_this_kernel_can_be_parsed() {
        assert!(procfs::net::snmp().is_ok());
        assert!(fs::metadata("/proc/net/snmp6").is_err() || procfs::net::snmp6().is_ok());
    }

    #[test]
    fn this_process_has_used_something() {
        let (all, own) = memory_bytes();
        assert!(all >= own && own > 0);
        assert!(scheduler_times().cpu_ns > 0);
    }

    #[test]
    fn drops_are_counted_from_the_start_of_the_run() {
        let drops = |n| DatagramDrops {
            receive_buffer: n,
            own_receive_buffer: 2 * n,
            server_receive_buffer: 3 * n,
            send_buffer: 4 * n,
            no_port: 5 * n,
        };
        let DatagramDrops { receive_buffer, own_receive_buffer, server_receive_buffer, send_buffer, no_port } =
            drops(10).since(drops(4));
        // The counters of the sockets of this run started at zero.
        assert_eq!((receive_buffer, own_receive_buffer, server_receive_buffer), (6, 20, 18));
        assert_eq!((send_buffer, no_port), (24, 30));
    }
}
