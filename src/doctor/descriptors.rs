//! Limits of descriptors: of one process, and of the whole system.

use std::collections::BTreeMap;

use super::limit::{Limit, Remedy, Role, allowed, left, round_up, sysctl};
use super::machine::Machine;
use super::text::limit_of;
use crate::limits::Limits;
use crate::net::fd_limit::{needed_for_driving, needed_for_serving, room_for_driving, room_for_serving};
use crate::report::format::count;
use crate::service;

/// `RLIMIT_NOFILE`. The hard limit counts, since server and generator raise the soft limit to it. `fs.nr_open`
/// also counts: it may have been lowered below the hard limit later.
pub(super) fn of_a_process(machine: &Machine) -> Limit {
    let raisable = machine.descriptors_raisable.known().unwrap_or(u64::MAX);
    Limit {
        name: "descriptors of a process",
        description: machine
            .descriptors
            .describe(|limit| format!("soft {}, hard {}", limit_of(limit.soft), limit_of(limit.hard))),
        allows: connections_for(machine.descriptors.known().map(|limit| limit.hard.min(raisable))),
        remedy: process_remedy,
    }
}

fn process_remedy(machine: &Machine, role: Role, connections: u64) -> Remedy {
    let exact = needed(role, connections);
    let raisable = machine.descriptors_raisable.known().unwrap_or(u64::MAX);
    let mut commands = Vec::new();
    let needed = if exact > raisable {
        commands.push(sysctl(machine, "fs.nr_open", round_up(exact)));
        round_up(exact)
    } else {
        round_up(exact).min(raisable)
    };
    commands.push(if machine.is_root || machine.raises_limits {
        format!("ulimit -n {needed}")
    } else {
        format!("sudo prlimit --pid $$ --nofile={needed}:{needed}")
    });
    let advice = if machine.is_root && !machine.raises_limits {
        "fails here without CAP_SYS_RESOURCE: run it where this container or shell is started".into()
    } else {
        format!("in the shell that starts loopline; in a systemd unit: LimitNOFILE={needed}")
    };
    Remedy { commands, advice: Some(advice) }
}

/// `fs.file-max`. Privileged processes may exceed it, but then no other process could open a file.
pub(super) fn of_the_system(machine: &Machine) -> Limit {
    let in_use = || machine.files.describe(|files| format!(" ({} in use)", count(files)));
    Limit {
        name: "open files of the system",
        description: machine.files_max.describe(|max| limit_of(max) + &in_use()),
        allows: connections_for(left(machine.files_max, machine.files)),
        remedy: |machine, role, connections| {
            let files = needed(role, connections).saturating_add(machine.files.known().unwrap_or(0));
            Remedy::command(sysctl(machine, "fs.file-max", round_up(files)))
        },
    }
}

fn connections_for(descriptors: Option<u64>) -> BTreeMap<Role, u64> {
    allowed(descriptors, |role, descriptors| {
        Some(match role {
            Role::Serve | Role::ServeThreads => {
                room_for_serving(descriptors, service::ALL.len(), refusals_max()).connections as u64
            }
            Role::Drive | Role::DriveBeyond => room_for_driving(descriptors),
        })
    })
}

fn needed(role: Role, connections: u64) -> u64 {
    match role {
        Role::Serve | Role::ServeThreads => {
            needed_for_serving(connections, service::ALL.len(), refusals_max())
        }
        Role::Drive | Role::DriveBeyond => needed_for_driving(connections),
    }
}

fn refusals_max() -> usize {
    Limits::default().refusals_max
}
