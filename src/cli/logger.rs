//! The log of the full build: level, time, module and message on standard error.
//!
//! A line is dropped if it cannot be written at once. The number of dropped lines is reported with the next one.

use std::fmt::Display;
use std::io::Write;

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::cli::lines::append_line;
use crate::net::stderr;
use crate::report::terminal;
use crate::report::utc_time::UtcTime;

/// Starts to log lines of `level` and above to standard error.
pub(crate) fn init(level: LevelFilter) {
    let logger = Logger { has_colors: terminal::supports_color(&std::io::stderr()) };
    stderr::open();
    // It fails if a logger is set already, which then stays.
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(level);
    }
}

struct Logger {
    has_colors: bool,
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        stderr::lock().write_with(|dropped, line| self.append_line(record, &UtcTime::now(), dropped, line));
    }

    fn flush(&self) {}
}

impl Logger {
    fn append_line(&self, record: &Record<'_>, time: &impl Display, dropped: u64, line: &mut Vec<u8>) {
        let _ = match (self.has_colors, color(record.level())) {
            (true, Some(color)) => write!(line, "\x1b[{color}m{:<5}\x1b[0m", record.level()),
            _ => write!(line, "{:<5}", record.level()),
        };
        let _ = write!(line, " [{time} {}] ", record.target());
        if dropped > 0 {
            let _ = write!(line, "({dropped} lines before this one were dropped) ");
        }
        append_line(record.args(), line);
        line.push(b'\n');
    }
}

/// The code of a color in a terminal; `None`: its usual color.
fn color(level: Level) -> Option<u8> {
    match level {
        Level::Error => Some(31),
        Level::Warn => Some(33),
        Level::Info => Some(36),
        Level::Debug => Some(35),
        Level::Trace => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_level_time_module_and_the_number_of_dropped_lines() {
        let line = |has_colors, dropped| {
            let record =
                Record::builder().level(Level::Info).target("module").args(format_args!("ready")).build();
            let mut line = Vec::new();
            Logger { has_colors }.append_line(&record, &"time", dropped, &mut line);
            String::from_utf8(line).unwrap()
        };
        assert_eq!(line(false, 0), "INFO  [time module] ready\n");
        assert_eq!(line(true, 0), "\x1b[36mINFO \x1b[0m [time module] ready\n");
        assert_eq!(line(false, 2), "INFO  [time module] (2 lines before this one were dropped) ready\n");
    }
}
