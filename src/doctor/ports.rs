//! Limits of the network: ports of a source address, and entries of the connection tracker.

use super::fact::Fact;
use super::limit::{Limit, Remedy, Role, allowed, left, round_up, sysctl};
use super::machine::{Machine, Ports};
use crate::report::format::count;

/// `net.ipv4.ip_local_port_range`. A connection is identified by two addresses and two ports, so a source
/// address has one connection per port to the same destination. All connections of a server share its port.
pub(super) fn ports(machine: &Machine) -> Limit {
    Limit {
        name: "ports of a source address",
        description: machine.ports.describe(|Ports { first, last, reserved }| {
            let reserved = if reserved > 0 { format!(", {reserved} reserved") } else { String::new() };
            format!("{first} to {last}{reserved}")
        }),
        allows: allowed(machine.ports.known().map(ports_in), |role, number| {
            (role == Role::DriveBeyond).then_some(number)
        }),
        remedy: ports_remedy,
    }
}

fn ports_remedy(machine: &Machine, _: Role, connections: u64) -> Remedy {
    let widest = Ports { first: 1024, last: u16::MAX, reserved: 0 };
    let now = machine.ports.known().unwrap_or(widest);
    let mut remedy = Remedy::default();
    if now.first > widest.first || now.last < widest.last {
        let range = format!("{} {}", widest.first.min(now.first), widest.last);
        remedy.commands.push(sysctl(machine, "net.ipv4.ip_local_port_range", range));
    }
    // Reserved ports stay reserved.
    let widened = Ports { first: widest.first.min(now.first), last: widest.last, reserved: now.reserved };
    let addresses = connections.div_ceil(ports_in(widened).max(1));
    if addresses <= 1 {
        return remedy;
    }
    remedy.with_advice(format!("and spread over {addresses} addresses of this machine with --source"))
}

fn ports_in(ports: Ports) -> u64 {
    (u64::from(ports.last - ports.first) + 1).saturating_sub(ports.reserved)
}

/// `net.netfilter.nf_conntrack_max`. The kernel tracks connections only if a rule needs it; then at least one
/// connection is tracked.
pub(super) fn tracked(machine: &Machine) -> Limit {
    let (max, tracked) = (machine.tracked_max, machine.tracked);
    let tracks = tracked != Fact::Known(0);
    Limit {
        name: "tracked connections (conntrack)",
        description: max.describe(|max| match tracked {
            Fact::Known(0) => format!("{}, but nothing is tracked", count(max)),
            Fact::Known(tracked) => format!("{} ({} in use)", count(max), count(tracked)),
            Fact::Absent | Fact::Unknown => count(max),
        }),
        allows: allowed(left(max, tracked).filter(|_| tracks), |_, left| Some(left)),
        remedy: |machine, _, connections| {
            let entries = connections.saturating_add(machine.tracked.known().unwrap_or(0));
            Remedy::command(sysctl(machine, "net.netfilter.nf_conntrack_max", round_up(entries)))
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::machine;

    #[test]
    fn reserved_ports_are_not_used() {
        let reserved = ("proc/sys/net/ipv4/ip_local_reserved_ports", Some("32768-32867\n"));
        let machine = machine(&[reserved]);
        assert_eq!(ports(&machine).allows[&Role::DriveBeyond], 60_999 - 32_768 + 1 - 100);
        // The remedy widens the range, in which they stay reserved.
        let Remedy { commands, advice } = ports_remedy(&machine, Role::DriveBeyond, 64_513);
        assert_eq!(commands, ["sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\""]);
        assert!(advice.unwrap().contains("over 2 addresses"));
    }
}
