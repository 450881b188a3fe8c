//! Statistics of the kernel about a process, the network and the machine.

use std::fs;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity};

/// Resident anonymous memory of the process, in bytes, from `smaps_rollup`, which is exact; `RssAnon` is an
/// estimate on newer kernels.
pub(crate) fn own_bytes(pid: u32) -> Result<f64> {
    kib_field(&read(&format!("/proc/{pid}/smaps_rollup"))?, "Anonymous")
}

/// Resident memory of the process, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<f64> {
    kib_field(&read(&format!("/proc/{pid}/status"))?, "VmRSS")
}

/// The most resident memory that the process has had, in bytes.
pub(crate) fn resident_bytes_max(pid: u32) -> Result<f64> {
    kib_field(&read(&format!("/proc/{pid}/status"))?, "VmHWM")
}

/// Whether a tracer is attached to the process.
pub(crate) fn is_traced(pid: u32) -> bool {
    read(&format!("/proc/{pid}/status"))
        .is_ok_and(|status| field(&status, "TracerPid").is_some_and(|by| by != "0"))
}

/// The number of open descriptors of the process.
pub(crate) fn descriptors(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Connections dropped because of a full accept queue, since boot.
pub(crate) fn listen_overflows() -> Result<f64> {
    netstat(&read("/proc/net/netstat")?, "TcpExt:", "ListenOverflows")
        .context("the kernel counts no ListenOverflows")
}

/// The longest backlog of a listener.
pub(crate) fn backlog_max() -> String {
    read("/proc/sys/net/core/somaxconn").map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}

/// The processors that this process may use.
pub(crate) fn processors() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|processor| set.is_set(*processor)).collect())
}

/// A line that describes the machine.
pub(crate) fn machine() -> String {
    let cpu = read("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let memory = read("/proc/meminfo").and_then(|text| kib_field(&text, "MemTotal")).unwrap_or_default();
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = processors().map_or(0, |processors| processors.len());
    let model = model.map_or("unknown", |(_, model)| model);
    format!("Linux {}, {processors} × {model}, {:.1} GiB", release.trim(), memory / f64::from(1 << 30))
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.to_owned())
}

/// The value after `name:` at the beginning of a line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim())
}

fn kib_field(text: &str, name: &str) -> Result<f64> {
    let value = field(text, name).and_then(|value| value.strip_suffix(" kB")?.parse::<f64>().ok());
    Ok(value.with_context(|| format!("the kernel does not report {name}"))? * 1024.0)
}

/// A counter of `/proc/net/netstat`: a line of names, and below it a line of values.
fn netstat(text: &str, group: &str, name: &str) -> Option<f64> {
    let mut lines = text.lines().filter(|line| line.starts_with(group));
    let (names, values) = (lines.next()?, lines.next()?);
    let index = names.split_whitespace().position(|each| each == name)?;
    values.split_whitespace().nth(index)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "AnonHugePages:\t2048 kB\nAnonymous:   12 kB\nTracerPid:\t0\n";
        assert!((kib_field(text, "Anonymous").unwrap() - 12288.0).abs() < 1e-9);
        assert_eq!(field(text, "TracerPid"), Some("0"));
        assert!(kib_field(text, "Anon").is_err() && kib_field(text, "TracerPid").is_err());
    }

    #[test]
    fn a_counter_is_below_its_name() {
        let text = "TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 3 17\nIpExt: ListenOverflows\nIpExt: 5\n";
        assert_eq!(netstat(text, "TcpExt:", "ListenOverflows"), Some(17.0));
        assert_eq!(netstat(text, "TcpExt:", "TCPTimeouts"), None);
    }

    #[test]
    fn the_statistics_of_this_process_can_be_read() {
        let own = std::process::id();
        assert!(
            own_bytes(own).unwrap() > 0.0
                && resident_bytes(own).unwrap() > 0.0
                && resident_bytes_max(own).unwrap() > 0.0
        );
        assert!(descriptors(own).unwrap() >= 3 && !processors().unwrap().is_empty());
        assert!(!is_traced(own));
        listen_overflows().unwrap();
    }
}
