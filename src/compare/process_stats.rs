//! What the kernel says of a server while it runs.

use std::fs;

use nix::time::ClockId;
use nix::unistd::Pid;

/// A server at a moment. What the kernel did not tell is `None`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gauge {
    /// Its own memory, in bytes (`RssAnon`).
    pub(super) user_bytes: Option<f64>,
    pub(super) threads: Option<f64>,
    pub(super) switches: Switches,
    /// Kernel stacks of all processes, in bytes.
    pub(super) kernel_stack_bytes: Option<f64>,
    /// Small objects of the kernel, sockets above all, of all processes, in bytes.
    pub(super) slab_bytes: Option<f64>,
}

/// Context switches of all threads that there are.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Switches {
    pub(super) voluntary: f64,
    pub(super) involuntary: f64,
}

impl Gauge {
    /// The server `pid` now. Its threads are looked at one by one.
    pub(super) fn of(pid: u32) -> Self {
        let status = read(&format!("/proc/{pid}/status"));
        let memory = read("/proc/meminfo");
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let mut switches = Switches::default();
        for task in tasks {
            // A thread may be gone by now.
            let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
            switches.voluntary += field(&status, "voluntary_ctxt_switches").unwrap_or(0.0);
            switches.involuntary += field(&status, "nonvoluntary_ctxt_switches").unwrap_or(0.0);
        }
        let kib = |text: &str, name: &str| field(text, name).map(|kib| kib * 1024.0);
        Self {
            user_bytes: kib(&status, "RssAnon"),
            threads: field(&status, "Threads"),
            switches,
            kernel_stack_bytes: kib(&memory, "KernelStack"),
            slab_bytes: kib(&memory, "Slab"),
        }
    }
}

/// Processor time that `pid` has used, threads that have ended included, in microseconds.
pub(super) fn cpu_us(pid: u32) -> Option<f64> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
    let time = clock.now().ok()?;
    #[expect(clippy::cast_precision_loss, reason = "it is far below 2^52 seconds")]
    let us = time.tv_sec() as f64 * 1e6 + time.tv_nsec() as f64 / 1e3;
    Some(us)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The number behind `name:` at the beginning of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let status = "Threads:\t7\nnonvoluntary_ctxt_switches:\t3\nvoluntary_ctxt_switches:\t12\n";
        assert_eq!(field(status, "Threads"), Some(7.0));
        assert_eq!(field(status, "voluntary_ctxt_switches"), Some(12.0));
        assert_eq!(field(status, "Thread"), None);
    }

    #[test]
    fn a_process_that_runs_has_used_something() {
        let own = std::process::id();
        let gauge = Gauge::of(own);
        assert!(gauge.user_bytes.unwrap() > 0.0 && gauge.threads.unwrap() >= 1.0);
        assert!(gauge.kernel_stack_bytes.unwrap() > 0.0 && gauge.slab_bytes.unwrap() > 0.0);
        assert!(cpu_us(own).unwrap() > 0.0);
    }

    #[test]
    fn of_a_process_that_is_gone_nothing_is_known() {
        let gauge = Gauge::of(u32::MAX);
        assert!(gauge.user_bytes.is_none() && gauge.threads.is_none());
        assert_eq!(gauge.switches, Switches::default());
        assert_eq!(cpu_us(u32::MAX), None);
    }
}
