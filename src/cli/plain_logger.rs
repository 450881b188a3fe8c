//! The log of the minimal build: level and message on standard error.

use std::io::Write;

/// Starts to log lines of `level` and above.
pub(super) fn init(level: log::LevelFilter) {
    if log::set_logger(&PlainLogger).is_ok() {
        log::set_max_level(level);
    }
}

struct PlainLogger;

impl log::Log for PlainLogger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        // One write per line. If it fails, there is nowhere to report that.
        let line = format!("{:<5} {}\n", record.level(), record.args());
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}
