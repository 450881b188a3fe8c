//! What only threads need: tasks and memory maps. They bound `serve --model threads`.

use std::path::Path;

use super::fact::Fact;
use super::limit::{Lift, Limit, Need, Role, allowed, left, round_up, sysctl};
use super::machine::{Machine, ProcessLimit};
use super::memory::lift_group;
use crate::doctor::cgroup::Group;
use crate::doctor::text::limit_of;
use crate::limits::Limits;
use crate::report::format::count;

/// The threads of `serve --model threads` that serve no connection, those that only tell a peer that the server
/// is full, and some for the commands around it.
const TASKS: Need = Need { base: 16 + REFUSALS, each: 1 };

/// Peers that are being refused at once, as [`crate::limits::Limits`] has it; each has a thread too.
const REFUSALS: u64 = 64;

/// A thread maps its stack and a page that guards it, and the same once more for the handler of overflows.
/// Measured: 4.0 lines of `/proc/PID/maps` a connection, and about 60 before the first. When they run out,
/// the thread that begins cannot run and takes the process with it, so this limit has some more room.
const MAPS: Need = Need { base: 160 + 4 * REFUSALS, each: 4 };

/// What bounds threads here and now, whatever descriptors and memory allow.
pub(super) fn all(machine: &Machine) -> [Limit; 4] {
    [maps(machine), tasks_of_the_system(machine), tasks_of_the_user(machine), tasks_of_the_group(machine)]
}

/// Fits `limits` to the threads that there can be; returns the line to tell the user when that is fewer than the
/// connections there would be otherwise. Beyond some of these limits a thread does not fail to start, it takes
/// the process with it, so they must not be met.
pub(crate) fn fit(limits: &mut Limits) -> Option<String> {
    fit_on(&Machine::read(Path::new("/")), limits)
}

fn fit_on(machine: &Machine, limits: &mut Limits) -> Option<String> {
    let narrowest = all(machine).into_iter().filter_map(|limit| {
        let room = limit.allows.get(&Role::ServeThreads).copied()?;
        Some((usize::try_from(room).unwrap_or(usize::MAX).max(1), limit))
    });
    let (room, limit) = narrowest.min_by_key(|(room, _)| *room)?;
    if room >= limits.connections_max {
        return None;
    }
    limits.connections_max = room;
    Some(format!(
        "--model threads: {room} connections will be served at once, each needs a thread (limited by {}: {}; \
         'loopline doctor' says what lifts it)",
        limit.name, limit.says
    ))
}

/// `kernel.threads-max` and `kernel.pid_max`, whichever is narrower.
fn tasks_of_the_system(machine: &Machine) -> Limit {
    let known = [machine.threads_max, machine.pid_max].into_iter().filter_map(Fact::known).min();
    let narrower = known.map_or(machine.threads_max, Fact::Known);
    let tasks = left(narrower, machine.tasks);
    Limit {
        name: "tasks of the system",
        says: narrower.describe(|max| {
            count(max) + &machine.tasks.describe(|tasks| format!(", {} in use", count(tasks)))
        }),
        allows: for_threads(tasks, TASKS),
        lift: |machine, _, connections| {
            let tasks = TASKS.of(connections).saturating_add(machine.tasks.known().unwrap_or(0));
            let settings = [("kernel.threads-max", machine.threads_max), ("kernel.pid_max", machine.pid_max)];
            let narrow = settings.into_iter().filter(|(_, max)| max.known().is_some_and(|max| max < tasks));
            let commands = narrow.map(|(name, _)| sysctl(machine, name, round_up(tasks))).collect();
            Lift { commands, advice: None }
        },
    }
}

/// `RLIMIT_NPROC`, which counts all tasks of a user and does not hold for root.
fn tasks_of_the_user(machine: &Machine) -> Limit {
    let holds = !machine.is_root;
    Limit {
        name: "tasks of the user",
        says: machine.user_tasks.describe(|ProcessLimit { soft, .. }| {
            limit_of(soft) + if holds { "" } else { ", but not for root" }
        }),
        allows: for_threads(machine.user_tasks.known().filter(|_| holds).map(|limit| limit.soft), TASKS),
        lift: |machine, _, connections| {
            let tasks = round_up(TASKS.of(connections));
            let hard = machine.user_tasks.known().map_or(0, |limit| limit.hard);
            let command = if tasks <= hard {
                format!("ulimit -u {tasks}")
            } else {
                format!("sudo prlimit --pid $$ --nproc={tasks}:{tasks}")
            };
            Lift::by(command).advice(format!("in a unit of systemd LimitNPROC={tasks}"))
        },
    }
}

/// `pids.max`, which is `TasksMax=` of a unit of systemd.
fn tasks_of_the_group(machine: &Machine) -> Limit {
    let group = machine.tasks_group.as_known();
    Limit {
        name: "tasks of the control group",
        says: match &machine.tasks_group {
            Fact::Known(group) => format!("{}, {} in use", count(group.max), count(group.used)),
            Fact::Absent => "no limit".into(),
            Fact::Unknown => "unknown".into(),
        },
        allows: for_threads(group.map(Group::left), TASKS),
        lift: |machine, _, connections| {
            lift_group(machine, machine.tasks_group.as_known(), TASKS.of(connections))
        },
    }
}

/// `vm.max_map_count`, commonly the first to bind.
fn maps(machine: &Machine) -> Limit {
    Limit {
        name: "memory maps of a process",
        says: machine.maps_max.describe(|max| format!("{}, {} a thread", count(max), MAPS.each)),
        allows: for_threads(machine.maps_max.known(), MAPS),
        lift: |machine, _, connections| {
            Lift::by(sysctl(machine, "vm.max_map_count", round_up(MAPS.of(connections))))
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
    fn refusals_are_as_many_as_the_server_has() {
        assert_eq!(REFUSALS, Limits::default().refusals_max as u64);
    }

    #[test]
    fn a_server_with_threads_takes_no_more_connections_than_it_can_have_threads() {
        let narrow = machine(&[("proc/sys/vm/max_map_count", Some("65530\n"))]);
        let mut limits = Limits { connections_max: 19_899, ..Limits::default() };
        let told = fit_on(&narrow, &mut limits).unwrap();
        assert_eq!(limits.connections_max, 16_278);
        assert!(
            told.contains("16278 connections") && told.contains("memory maps of a process: 65,530"),
            "{told}"
        );
        assert_eq!(fit_on(&narrow, &mut limits), None, "they fit now");
        let mut few = Limits { connections_max: 100, ..Limits::default() };
        assert_eq!(fit_on(&narrow, &mut few), None);
        assert_eq!(few.connections_max, 100);
    }
}
