//! What a connection takes of the network besides memory: a port of its source, and an entry where
//! connections are tracked.

use super::fact::Fact;
use super::limit::{Lift, Limit, Role, allowed, left, round_up, sysctl};
use super::machine::{Machine, Ports};
use crate::report::format::count;

/// `net.ipv4.ip_local_port_range`. A connection is its two addresses and its two ports, so to one
/// destination each source address has so many. Serving takes none: all connections share the server's port.
pub(super) fn ports(machine: &Machine) -> Limit {
    Limit {
        name: "ports of a source address",
        says: machine.ports.describe(|Ports { first, last, reserved }| {
            let reserved = if reserved > 0 { format!(", {reserved} reserved") } else { String::new() };
            format!("{first} to {last}{reserved}")
        }),
        allows: allowed(machine.ports.known().map(number_of), |role, number| {
            (role == Role::DriveBeyond).then_some(number)
        }),
        lift,
    }
}

fn lift(machine: &Machine, _: Role, connections: u64) -> Lift {
    let widest = Ports { first: 1024, last: u16::MAX, reserved: 0 };
    let now = machine.ports.known().unwrap_or(widest);
    let mut lift = Lift::default();
    if now.first > widest.first || now.last < widest.last {
        let range = format!("{} {}", widest.first.min(now.first), widest.last);
        lift.commands.push(sysctl(machine, "net.ipv4.ip_local_port_range", range));
    }
    // What is reserved stays so.
    let widened = Ports { first: widest.first.min(now.first), last: widest.last, reserved: now.reserved };
    let addresses = connections.div_ceil(number_of(widened).max(1));
    if addresses <= 1 {
        return lift;
    }
    lift.advice(format!("and spread over {addresses} addresses of this machine with --source"))
}

fn number_of(ports: Ports) -> u64 {
    (u64::from(ports.last - ports.first) + 1).saturating_sub(ports.reserved)
}

/// `net.netfilter.nf_conntrack_max`. A kernel can have it without tracking anything: only rules that ask
/// for it switch it on, and then at least the connection of whoever looks is tracked.
pub(super) fn tracked(machine: &Machine) -> Limit {
    let (max, tracked) = (machine.tracked_max, machine.tracked);
    let tracks = tracked != Fact::Known(0);
    Limit {
        name: "tracked connections (conntrack)",
        says: max.describe(|max| match tracked {
            Fact::Known(0) => format!("{}, but nothing is tracked", count(max)),
            Fact::Known(tracked) => format!("{}, {} in use", count(max), count(tracked)),
            Fact::Absent | Fact::Unknown => count(max),
        }),
        allows: allowed(left(max, tracked).filter(|_| tracks), |_, left| Some(left)),
        lift: |machine, _, connections| {
            let entries = connections.saturating_add(machine.tracked.known().unwrap_or(0));
            Lift::by(sysctl(machine, "net.netfilter.nf_conntrack_max", round_up(entries)))
        },
    }
}
