//! The log of the minimal build: level and message on standard error. Lines that cannot be written at once are
//! dropped and counted.

use crate::cli::lines::one_line;
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
        stderr::lock().write_with(|dropped| {
            let (level, text) = (record.level(), one_line(record.args()));
            match dropped {
                0 => format!("{level:<5} {text}\n"),
                dropped => format!("{level:<5} ({dropped} lines before this one were dropped) {text}\n"),
            }
        });
    }

    fn flush(&self) {}
}
