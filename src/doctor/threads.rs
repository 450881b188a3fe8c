//! Limits that only `serve --model threads` meets: tasks and memory maps.

use std::path::Path;

use super::cgroup::Group;
use super::fact::Fact;
use super::limit::{Limit, Need, Remedy, Role, allowed, left, round_up, sysctl};
use super::machine::{Machine, ProcessLimit};
use super::memory::group_remedy;
use super::text::limit_of;
use crate::limits::Limits;
use crate::report::format::count;

/// The threads of `serve --model threads` that serve no connection, those that refuse one, and a few for other
/// commands of the user.
const TASKS: Need = Need { base: 16 + REFUSALS, per_connection: 1 };

/// Connections that are refused at the same time, as in [`crate::limits::Limits`]; each has a thread.
const REFUSALS: u64 = 64;

/// A thread maps its stack and a guard page, and both again for its signal stack. Measured: 4.0 lines of
/// `/proc/PID/maps` per connection, and about 60 without connections. A thread that starts without a free map
/// aborts the process, so the base is larger than that.
const MAPS: Need = Need { base: 160 + 4 * REFUSALS, per_connection: 4 };

/// The limits of threads on this machine.
pub(super) fn all(machine: &Machine) -> [Limit; 4] {
    [maps(machine), tasks_of_the_system(machine), tasks_of_the_user(machine), tasks_of_the_group(machine)]
}

/// Lowers `limits` to the number of threads that this machine allows, and returns the line to log if that lowers
/// the number of connections. Beyond some of these limits a thread does not fail to start, it aborts the
/// process.
pub(crate) fn fit(limits: &mut Limits) -> Option<String> {
    fit_on(&Machine::read(Path::new("/")), limits)
}

fn fit_on(machine: &Machine, limits: &mut Limits) -> Option<String> {
    let lowest = all(machine).into_iter().filter_map(|limit| {
        let room = limit.allows.get(&Role::ServeThreads).copied()?;
        Some((usize::try_from(room).unwrap_or(usize::MAX).max(1), limit))
    });
    let (room, limit) = lowest.min_by_key(|(room, _)| *room)?;
    if room >= limits.connections_max {
        return None;
    }
    limits.connections_max = room;
    Some(format!(
        "--model threads: at most {room} connections, each needs a thread (limited by {}: {}; 'loopline doctor' \
         shows how to raise the limit)",
        limit.name, limit.description
    ))
}

/// `kernel.threads-max` or `kernel.pid_max`, whichever is lower.
fn tasks_of_the_system(machine: &Machine) -> Limit {
    let known = [machine.threads_max, machine.pid_max].into_iter().filter_map(Fact::known).min();
    let lower = known.map_or(machine.threads_max, Fact::Known);
    let tasks = left(lower, machine.tasks);
    Limit {
        name: "tasks of the system",
        description: lower.describe(|max| {
            count(max) + &machine.tasks.describe(|tasks| format!(" ({} in use)", count(tasks)))
        }),
        allows: for_threads(tasks, TASKS),
        remedy: |machine, _, connections| {
            let tasks = TASKS.of(connections).saturating_add(machine.tasks.known().unwrap_or(0));
            let settings = [("kernel.threads-max", machine.threads_max), ("kernel.pid_max", machine.pid_max)];
            let low = settings.into_iter().filter(|(_, max)| max.known().is_some_and(|max| max < tasks));
            let commands = low.map(|(name, _)| sysctl(machine, name, round_up(tasks))).collect();
            Remedy { commands, advice: None }
        },
    }
}

/// `RLIMIT_NPROC`, which counts all tasks of a user and does not apply to root.
fn tasks_of_the_user(machine: &Machine) -> Limit {
    let holds = !machine.is_root;
    Limit {
        name: "tasks of the user",
        description: machine.user_tasks.describe(|ProcessLimit { soft, .. }| {
            limit_of(soft) + if holds { "" } else { ", does not apply to root" }
        }),
        allows: for_threads(machine.user_tasks.known().filter(|_| holds).map(|limit| limit.soft), TASKS),
        remedy: |machine, _, connections| {
            let tasks = round_up(TASKS.of(connections));
            let hard = machine.user_tasks.known().map_or(0, |limit| limit.hard);
            let command = if tasks <= hard {
                format!("ulimit -u {tasks}")
            } else {
                format!("sudo prlimit --pid $$ --nproc={tasks}:{tasks}")
            };
            Remedy::command(command).with_advice(format!("in a systemd unit: LimitNPROC={tasks}"))
        },
    }
}

/// `pids.max`, which is `TasksMax=` of a systemd unit.
fn tasks_of_the_group(machine: &Machine) -> Limit {
    let group = machine.tasks_group.as_known();
    Limit {
        name: "tasks of the control group",
        description: match &machine.tasks_group {
            Fact::Known(group) => format!("{} ({} in use)", count(group.max), count(group.used)),
            Fact::Absent => "no limit".into(),
            Fact::Unknown => "unknown".into(),
        },
        allows: for_threads(group.map(Group::left), TASKS),
        remedy: |machine, _, connections| {
            group_remedy(machine, machine.tasks_group.as_known(), TASKS.of(connections))
        },
    }
}

/// `vm.max_map_count`, usually the lowest limit.
fn maps(machine: &Machine) -> Limit {
    Limit {
        name: "memory maps of a process",
        description: machine
            .maps_max
            .describe(|max| format!("{} (a thread needs {})", count(max), MAPS.per_connection)),
        allows: for_threads(machine.maps_max.known(), MAPS),
        remedy: |machine, _, connections| {
            Remedy::command(sysctl(machine, "vm.max_map_count", round_up(MAPS.of(connections))))
        },
    }
}

fn for_threads(available: Option<u64>, need: Need) -> std::collections::BTreeMap<Role, u64> {
    allowed(available, |role, available| (role == Role::ServeThreads).then(|| need.connections(available)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::machine;

    #[test]
    fn the_refusals_equal_the_limit_of_the_server() {
        assert_eq!(REFUSALS, Limits::default().refusals_max as u64);
    }

    #[test]
    fn the_connections_are_lowered_to_the_possible_threads() {
        let low = machine(&[("proc/sys/vm/max_map_count", Some("65530\n"))]);
        let mut limits = Limits { connections_max: 19_899, ..Limits::default() };
        let line = fit_on(&low, &mut limits).unwrap();
        assert_eq!(limits.connections_max, 16_278);
        assert!(
            line.contains("16278 connections") && line.contains("memory maps of a process: 65,530"),
            "{line}"
        );
        assert_eq!(fit_on(&low, &mut limits), None, "already fitted");
        let mut few = Limits { connections_max: 100, ..Limits::default() };
        assert_eq!(fit_on(&low, &mut few), None);
        assert_eq!(few.connections_max, 100);
    }
}
