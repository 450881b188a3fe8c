//! Memory, threads, context switches and processor time of a server, from `/proc`.

use nix::time::ClockId;
use nix::unistd::Pid;
use procfs::process::Process;
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
    /// Reads the statistics of `pid`, and of each of its threads.
    pub(super) fn read(pid: u32) -> Self {
        let process = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok());
        let status = process.as_ref().and_then(|process| process.status().ok());
        let memory = Meminfo::current().ok();
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
            kernel_stack_bytes: memory.as_ref().and_then(|memory| memory.kernel_stack).map(float),
            slab_bytes: memory.map(|memory| float(memory.slab)),
        }
    }
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
        let stats = ProcessStats::read(own);
        assert!(stats.user_bytes.unwrap() > 0.0 && stats.threads.unwrap() >= 1.0);
        assert!(stats.kernel_stack_bytes.unwrap() > 0.0 && stats.slab_bytes.unwrap() > 0.0);
        assert!(cpu_us(own).unwrap() > 0.0);
    }

    #[test]
    fn a_process_that_has_ended_has_no_statistics() {
        let stats = ProcessStats::read(u32::MAX);
        assert!(stats.user_bytes.is_none() && stats.threads.is_none());
        assert_eq!(stats.switches, Switches::default());
        assert_eq!(cpu_us(u32::MAX), None);
    }
}
