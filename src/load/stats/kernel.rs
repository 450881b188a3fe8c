//! What the kernel says of this process, and of datagrams.

use std::collections::BTreeMap;
use std::fs;

use super::summary::DatagramDrops;

/// What the scheduler says of this process, which has one thread, in nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scheduled {
    /// It ran.
    pub(crate) ran_ns: u64,
    /// It was ready to run and had no processor.
    pub(crate) waited_ns: u64,
}

/// The scheduler's account so far; what it does not tell is nothing.
pub(crate) fn scheduled() -> Scheduled {
    let schedstat = fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let mut numbers = schedstat.split_whitespace().map(|number| number.parse().unwrap_or(0));
    Scheduled { ran_ns: numbers.next().unwrap_or(0), waited_ns: numbers.next().unwrap_or(0) }
}

/// Resident memory of this process, in bytes: all of it, and what is its own.
pub(crate) fn memory_bytes() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    (field("VmRSS"), field("RssAnon"))
}

/// What the kernel has dropped of datagrams so far, in all and at sockets that have to do with the port of
/// the server; what it does not tell counts as nothing.
pub(crate) fn datagram_drops(server_port: u16) -> DatagramDrops {
    let read = |name: &str| fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
    let mut drops = drops_in(&read("snmp"), &read("snmp6"));
    for sockets in [read("udp"), read("udp6")] {
        let (own, servers) = socket_drops_in(&sockets, server_port);
        drops.own_receive_buffer += own;
        drops.server_receive_buffer += servers;
    }
    drops
}

/// Drops of the sockets that are connected to `server_port`, and of those that are bound to it.
fn socket_drops_in(sockets: &str, server_port: u16) -> (u64, u64) {
    let port = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
    let (mut own, mut servers) = (0, 0);
    for line in sockets.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, local, remote, .., drops] = words[..] else { continue };
        let drops: u64 = drops.parse().unwrap_or(0);
        if port(remote) == Some(server_port) {
            own += drops;
        } else if port(local) == Some(server_port) {
            servers += drops;
        }
    }
    (own, servers)
}

fn drops_in(snmp: &str, snmp6: &str) -> DatagramDrops {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let v4: BTreeMap<&str, &str> = names.split_whitespace().zip(values.split_whitespace()).collect();
    let v6: BTreeMap<&str, &str> =
        snmp6.lines().filter_map(|line| line.strip_prefix("Udp6")?.split_once(char::is_whitespace)).collect();
    let count = |name: &str| -> u64 {
        let number = |of: &BTreeMap<&str, &str>| of.get(name).and_then(|value| value.trim().parse().ok());
        number(&v4).unwrap_or(0) + number(&v6).unwrap_or(0)
    };
    DatagramDrops {
        receive_buffer: count("RcvbufErrors"),
        own_receive_buffer: 0,
        server_receive_buffer: 0,
        send_buffer: count("SndbufErrors"),
        no_port: count("NoPorts"),
    }
}

impl DatagramDrops {
    /// What was dropped since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            receive_buffer: self.receive_buffer.saturating_sub(before.receive_buffer),
            // The sockets of this run have dropped nothing before it.
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
    fn the_kernels_counters_are_found_by_name() {
        let snmp = "Tcp: A B\nTcp: 1 2\n\
                    Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors\n\
                    Udp: 100 3 7 90 5 2\nUdpLite: NoPorts\nUdpLite: 9\n";
        let snmp6 = "Ip6InReceives   7\nUdp6NoPorts      1\nUdp6RcvbufErrors      10\nUdpLite6NoPorts 8\n";
        let drops = drops_in(snmp, snmp6);
        assert_eq!((drops.receive_buffer, drops.send_buffer, drops.no_port), (15, 2, 4));
        let none = drops_in("", "");
        assert_eq!((none.receive_buffer, none.send_buffer, none.no_port), (0, 0, 0));
    }

    #[test]
    fn drops_are_told_apart_by_the_ports_at_both_ends() {
        let sockets = "  sl  local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode ref pointer drops\n\
             1: 0100007F:1F9B 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2 0 40\n\
             2: 0100007F:9C40 0100007F:1F9B 01 00000000:00000000 00:00000000 00000000 0 0 2 2 0 3\n\
             3: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 3 2 0 500\n";
        assert_eq!(socket_drops_in(sockets, 0x1f9b), (3, 40));
        assert_eq!(socket_drops_in("", 1), (0, 0));
    }

    #[test]
    fn this_process_has_used_something() {
        let (all, own) = memory_bytes();
        assert!(all >= own && own > 0);
        assert!(scheduled().ran_ns > 0);
    }
}
