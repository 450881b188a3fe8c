//! A log that cannot hurt: `simple_logger` with a guard before it.
//!
//! By itself it panics when standard error is gone, and waits when standard error is a pipe that nobody
//! reads. Here such a line is dropped instead, and counted into the next one that gets through.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use log::{LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;
use tz::UtcDateTime;

use crate::report::color;
use crate::report::stderr::takes_a_line;

/// A pipe that is ready takes this many bytes without waiting (`PIPE_BUF`); a longer line is cut.
const LINE_BYTES_MAX: usize = 4096;

/// Of a line, what time, level and module may take.
const PREFIX_BYTES: usize = 96;

/// Begins to log lines of `level` and above to standard error.
pub(crate) fn start(level: LevelFilter) {
    let colors = color::are_wanted(&std::io::stderr());
    let inner = SimpleLogger::new().with_level(level).with_colors(colors);
    // A second start keeps the first logger, which is as good.
    if log::set_boxed_logger(Box::new(Guarded {
        inner,
        dropped: AtomicU64::new(0),
        one_at_a_time: Mutex::new(()),
    }))
    .is_ok()
    {
        log::set_max_level(level);
    }
}

/// Says on standard error why the process ends, whatever the level of the log.
pub(crate) fn last_words(error: &str) {
    if takes_a_line() {
        // Nobody is left to tell if even this fails.
        let _ = writeln!(std::io::stderr(), "loopline: {error}");
    }
}

struct Guarded {
    inner: SimpleLogger,
    dropped: AtomicU64,
    /// Whoever has asked whether a line is taken writes it before another asks.
    one_at_a_time: Mutex<()>,
}

impl Log for Guarded {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.inner.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let _one = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        if !takes_a_line() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut line = record.args().to_string();
        match self.dropped.swap(0, Ordering::Relaxed) {
            0 => {}
            dropped => line.insert_str(0, &format!("({dropped} lines before this one were dropped) ")),
        }
        while line.len() > LINE_BYTES_MAX - PREFIX_BYTES {
            line.pop();
        }
        let write = || {
            // The place and the moment go into the brackets that simple_logger puts the place into.
            let target = format!("{} {}", utc(), record.target());
            let mut dated = Record::builder();
            dated.level(record.level()).target(&target);
            self.inner.log(&dated.args(format_args!("{line}")).build());
        };
        // What is left to go wrong, such as a full disk, makes it panic: silently, and only here.
        if catch_unwind(AssertUnwindSafe(write)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

#[expect(clippy::disallowed_methods, reason = "a log tells when")]
fn utc() -> String {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
    let milliseconds = since_epoch.subsec_millis();
    match UtcDateTime::from_timespec(seconds, milliseconds * 1_000_000) {
        Ok(utc) => utc.to_string().replace("000000Z", "Z"),
        Err(_) => String::from("?"),
    }
}
