//! Memory, threads, context switches and processor time of a server, from `/proc`.

use nix::time::ClockId;
use nix::unistd::Pid;
use procfs::process::{Process, all_processes};
use procfs::{Current, Meminfo};

use crate::units::float;

/// A server at a moment. A value that cannot be read is `None`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ProcessStats {
    /// Its own memory, in bytes (`RssAnon`).
    pub(super) user_bytes: Option<f64>,
    pub(super) threads: Option<f64>,
    pub(super) switches: Switches,
    /// Kernel stacks of all processes, in bytes.
    pub(super) kernel_stack_bytes: Option<f64>,
    /// Slab memory of the kernel, sockets above all, of all processes, in bytes.
    pub(super) slab_bytes: Option<f64>,
}

/// Context switches, summed over the threads that exist.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Switches {
    pub(super) voluntary: f64,
    pub(super) involuntary: f64,
}

impl ProcessStats {
    /// Reads the statistics of `pids` together, and of each of their threads.
    pub(super) fn read(pids: &[u32]) -> Self {
        let memory = Meminfo::current().ok();
        let all: Vec<Self> = pids.iter().map(|pid| Self::of_process(*pid)).collect();
        let switches = |of: fn(&Switches) -> f64| all.iter().map(|it| of(&it.switches)).sum();
        Self {
            user_bytes: sum(all.iter().map(|it| it.user_bytes)),
            threads: sum(all.iter().map(|it| it.threads)),
            switches: Switches {
                voluntary: switches(|it| it.voluntary),
                involuntary: switches(|it| it.involuntary),
            },
            kernel_stack_bytes: memory.as_ref().and_then(|memory| memory.kernel_stack).map(float),
            slab_bytes: memory.map(|memory| float(memory.slab)),
        }
    }

    /// What is known of one process.
    fn of_process(pid: u32) -> Self {
        let process = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok());
        let status = process.as_ref().and_then(|process| process.status().ok());
        let mut switches = Switches::default();
        let tasks = process.as_ref().and_then(|process| process.tasks().ok()).into_iter().flatten();
        // A thread may end in between.
        for status in tasks.filter_map(|task| task.ok()?.status().ok()) {
            switches.voluntary += float(status.voluntary_ctxt_switches.unwrap_or(0));
            switches.involuntary += float(status.nonvoluntary_ctxt_switches.unwrap_or(0));
        }
        Self {
            user_bytes: status.as_ref().and_then(|status| Some(float(status.rssanon? * 1024))),
            threads: status.map(|status| float(status.threads)),
            switches,
            ..Self::default()
        }
    }
}

/// The processes of a server.
#[derive(Debug, Clone, Copy)]
pub(super) enum Processes {
    /// This one.
    Server(u32),
    /// All of this process group but its leader.
    Group(u32),
}

impl Processes {
    /// Those that exist now.
    pub(super) fn now(self) -> Vec<u32> {
        match self {
            Self::Server(pid) => vec![pid],
            Self::Group(group) => members(group),
        }
    }
}

fn members(group: u32) -> Vec<u32> {
    let processes = all_processes().into_iter().flatten().filter_map(Result::ok);
    let is_member = |process: &Process| {
        let of = process.stat().ok().and_then(|stat| u32::try_from(stat.pgrp).ok());
        of == Some(group) && process.pid().unsigned_abs() != group
    };
    processes.filter(is_member).map(|process| process.pid().unsigned_abs()).collect()
}

/// Processor time of `pids` together; `None` if one of them has ended.
pub(super) fn cpu_us_of(pids: &[u32]) -> Option<f64> {
    sum(pids.iter().map(|pid| cpu_us(*pid)))
}

/// The sum; `None` if a value is not known, or there is none.
fn sum(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    values.reduce(|one, other| Some(one? + other?))?
}

/// Processor time of `pid`, including threads that have ended, in microseconds.
pub(super) fn cpu_us(pid: u32) -> Option<f64> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
    let time = clock.now().ok()?;
    #[expect(clippy::cast_precision_loss, reason = "it is far below 2^52 seconds")]
    let us = time.tv_sec() as f64 * 1e6 + time.tv_nsec() as f64 / 1e3;
    Some(us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_uses_memory_and_processor_time() {
        let own = std::process::id();
        let stats = ProcessStats::read(&[own]);
        assert!(stats.user_bytes.unwrap() > 0.0 && stats.threads.unwrap() >= 1.0);
        assert!(stats.kernel_stack_bytes.unwrap() > 0.0 && stats.slab_bytes.unwrap() > 0.0);
        assert!(cpu_us(own).unwrap() > 0.0);
    }

    #[test]
    fn a_process_that_has_ended_has_no_statistics() {
        let stats = ProcessStats::read(&[u32::MAX]);
        assert!(stats.user_bytes.is_none() && stats.threads.is_none());
        assert_eq!(stats.switches, Switches::default());
        assert_eq!(cpu_us(u32::MAX), None);
        assert_eq!(cpu_us_of(&[std::process::id(), u32::MAX]), None, "the sum of all or none");
        assert_eq!(cpu_us_of(&[]), None);
    }

    #[test]
    fn processes_are_counted_together() {
        let own = std::process::id();
        let [once, twice] = [&[own][..], &[own, own]].map(|pids| ProcessStats::read(pids).threads.unwrap());
        assert!(twice >= once + 1.0, "{once} {twice}");
        assert!(cpu_us_of(&[own, own]).unwrap() > cpu_us(own).unwrap());
    }
}
