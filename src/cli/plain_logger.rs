//! The log of the minimal build: level and message on standard error. Lines that cannot be written at once are
//! dropped and counted.

use std::io::Write;

use crate::cli::lines::append_line;
use crate::net::stderr;

/// Starts to log lines of `level` and above.
pub(super) fn init(level: log::LevelFilter) {
    stderr::open();
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
        stderr::lock().write_with(|dropped, line| {
            let _ = write!(line, "{:<5} ", record.level());
            if dropped > 0 {
                let _ = write!(line, "({dropped} lines before this one were dropped) ");
            }
            append_line(record.args(), line);
            line.push(b'\n');
        });
    }

    fn flush(&self) {}
}
