//! The log of the full build: `simple_logger`, made safe against a broken standard error.
//!
//! `simple_logger` panics when standard error is closed and blocks when it is a full pipe. This logger drops
//! such a line instead, and reports the number of dropped lines with the next one.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::report::terminal::{self, is_stderr_writable};
use crate::report::utc_time::UtcTime;
use log::{LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;

/// A pipe that is ready accepts this many bytes without blocking (`PIPE_BUF`); longer lines are truncated.
const LINE_BYTES_MAX: usize = 4096;

/// Bytes reserved in a line for the time, the level and the module.
const PREFIX_BYTES: usize = 96;

/// Starts to log lines of `level` and above to standard error.
pub(crate) fn init(level: LevelFilter) {
    let colors = terminal::supports_color(&std::io::stderr());
    let inner = SimpleLogger::new().with_level(level).with_colors(colors);
    let logger = GuardedLogger { inner, dropped_lines: AtomicU64::new(0), write_lock: Mutex::new(()) };
    // It fails if a logger is set already, which then stays.
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(level);
    }
}

/// Prints an error message to standard error, whatever the level of the log.
pub(crate) fn print_error(error: &str) {
    if is_stderr_writable() {
        // If this fails, there is nowhere to report it.
        let _ = writeln!(std::io::stderr(), "loopline: {error}");
    }
}

struct GuardedLogger {
    inner: SimpleLogger,
    dropped_lines: AtomicU64,
    /// Held from the check that standard error is writable to the write, so that the check still holds.
    write_lock: Mutex<()>,
}

impl Log for GuardedLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.inner.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let _guard = self.write_lock.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_stderr_writable() {
            self.dropped_lines.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut line = record.args().to_string();
        match self.dropped_lines.swap(0, Ordering::Relaxed) {
            0 => {}
            dropped => line.insert_str(0, &format!("({dropped} lines before this one were dropped) ")),
        }
        while line.len() > LINE_BYTES_MAX - PREFIX_BYTES {
            line.pop();
        }
        let write = || {
            // simple_logger prints the target in brackets: time and module go there together.
            let target = format!("{} {}", UtcTime::now(), record.target());
            let mut dated = Record::builder();
            dated.level(record.level()).target(&target);
            self.inner.log(&dated.args(format_args!("{line}")).build());
        };
        // simple_logger panics on the remaining errors, such as a full disk. The panic ends here.
        if catch_unwind(AssertUnwindSafe(write)).is_err() {
            self.dropped_lines.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}
