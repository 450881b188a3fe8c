//! When, where and how a program was run, for results that are read later or elsewhere.

use std::thread::available_parallelism;

use rustix::system::uname;
use serde::Serialize;

use super::utc_time::UtcTime;

/// When, where and how the program was run.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct RunInfo {
    /// Start, in UTC (RFC 3339).
    pub started_at: UtcTime,
    /// Host name of the machine.
    pub host: String,
    /// Release of its kernel.
    pub kernel: String,
    /// Number of processors that this process may use; null if unknown.
    pub processors: Option<usize>,
    /// The program and its arguments. Bytes that are not UTF-8 are replaced.
    pub command_line: Vec<String>,
}

impl RunInfo {
    /// Of this process, which starts its work now.
    pub(crate) fn now() -> Self {
        let system = uname();
        Self {
            started_at: UtcTime::now(),
            host: system.nodename().to_string_lossy().into_owned(),
            kernel: system.release().to_string_lossy().into_owned(),
            processors: available_parallelism().ok().map(std::num::NonZero::get),
            command_line: std::env::args_os().map(|it| it.to_string_lossy().into_owned()).collect(),
        }
    }

    /// Of a made-up run, the same each time.
    #[cfg(test)]
    pub(crate) fn sample() -> Self {
        let since_epoch = std::time::Duration::from_millis(1_795_292_266_120);
        Self {
            started_at: UtcTime(std::time::UNIX_EPOCH + since_epoch),
            host: "host.example".into(),
            kernel: "6.12.0".into(),
            processors: Some(2),
            command_line: ["loopline", "load", "message", "-d", "10s"].map(str::to_owned).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_this_one() {
        let info = RunInfo::now();
        let file = |name| std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap();
        assert_eq!(info.host, file("hostname").trim_end());
        assert_eq!(info.kernel, file("osrelease").trim_end());
        assert!(info.processors > Some(0));
        assert_eq!(info.command_line[0], std::env::args().next().unwrap());
    }
}
