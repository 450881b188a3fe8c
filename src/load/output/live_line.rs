//! The progress line on a terminal, updated once a second.
//!
//! It is drawn on calls only, without a thread. A terminal that is closed or stopped (Ctrl-S) misses lines: a
//! run never waits for it. The line has no colors.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::load::stats::summary::Second;
use crate::report::format;
use crate::report::terminal::progress_target;
use crate::units::float;

/// The line, on standard error. It is cleared when this is dropped.
pub(crate) struct LiveLine {
    /// `None` if standard error is not a terminal.
    bar: Option<ProgressBar>,
    /// What is before the numbers: the step of a search.
    prefix: String,
    asked: u64,
    duration: Duration,
    is_driving: bool,
    /// Since sending started.
    elapsed_seconds: f64,
    errors: u64,
}

impl LiveLine {
    /// The line of a run that opens `asked` connections and then sends messages for `duration`. Nothing is
    /// shown unless standard error `is_terminal`.
    pub(crate) fn new(is_terminal: bool, asked: u64, duration: Duration) -> Self {
        let bar = is_terminal.then(|| {
            let bar = ProgressBar::with_draw_target(Some(asked), progress_target());
            bar.with_style(style(OPENING))
        });
        Self {
            bar,
            prefix: String::new(),
            asked,
            duration,
            is_driving: false,
            elapsed_seconds: 0.0,
            errors: 0,
        }
    }

    /// The same line, with `prefix` before its numbers.
    pub(crate) fn with_prefix(mut self, prefix: String) -> Self {
        self.prefix = prefix;
        self
    }

    /// Shows when the run starts.
    pub(crate) fn waiting(&mut self, left: Duration) {
        self.draw(|bar| {
            bar.set_style(style("{wide_msg}"));
            bar.set_message(waiting_text(left));
        });
    }

    /// The run starts.
    pub(crate) fn began(&mut self) {
        self.draw(|bar| bar.set_style(style(OPENING)));
    }

    /// Shows how many connections are open.
    pub(crate) fn opening(&mut self, opened: u64, elapsed_seconds: f64) {
        self.draw(|bar| {
            bar.set_position(opened);
            bar.set_message(self.prefix.clone() + &opening_text(opened, self.asked, elapsed_seconds));
        });
    }

    /// Sending starts.
    pub(crate) fn driving(&mut self) {
        self.is_driving = true;
    }

    /// A second of the opening or of the sending is over.
    pub(crate) fn second(&mut self, second: &Second) {
        self.errors += second.errors;
        if !self.is_driving {
            return;
        }
        // Outstanding replies arrive after the duration.
        self.elapsed_seconds =
            (self.elapsed_seconds + second.length_seconds).min(self.duration.as_secs_f64());
        self.draw(|bar| {
            bar.set_style(style("{wide_msg}"));
            let text = second_text(second, self.elapsed_seconds, self.duration, self.errors);
            bar.set_message(self.prefix.clone() + &text);
        });
    }

    fn draw(&self, change: impl Fn(&ProgressBar)) {
        self.bar.iter().for_each(change);
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        self.draw(ProgressBar::finish_and_clear);
    }
}

/// The next whole second, so that the line ends with `1 s`.
fn waiting_text(left: Duration) -> String {
    format!("starts in {}", format::time_us(left.as_secs_f64().ceil() * 1e6))
}

fn opening_text(opened: u64, asked: u64, elapsed_seconds: f64) -> String {
    let rate = float(opened) / elapsed_seconds;
    let left_us = float(asked.saturating_sub(opened)) / rate * 1e6;
    format!(
        "{} of {}, {}, {} left",
        format::count(opened),
        format::count(asked),
        format::rate(rate),
        format::optional(Some(left_us), format::time_us), // infinite while none is open
    )
}

fn second_text(second: &Second, elapsed_seconds: f64, duration: Duration, errors: u64) -> String {
    let rate = float(second.answered) / second.length_seconds;
    let lag = second.lag_us.p99.map(|lag| format!(", lag {}", format::time_us(lag)));
    format!(
        "{}/{} s, {} open, {}, p50 {}, p99 {}, errors {}{}",
        tenths(elapsed_seconds),
        tenths(duration.as_secs_f64()),
        format::count(second.open),
        format::rate(rate),
        format::optional(second.response_us.p50, format::time_us),
        format::optional(second.response_us.p99, format::time_us),
        format::count(errors),
        lag.unwrap_or_default(),
    )
}

/// Rounded to tenths.
fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are valid").progress_chars("=> ")
}

/// The line while connections are opened.
const OPENING: &str = "opening [{bar:16}] {wide_msg}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::stats::latency::Percentiles;

    fn a_second() -> Second {
        Second {
            length_seconds: 1.0,
            open: 10_000,
            answered: 123_456,
            errors: 2,
            response_us: Percentiles { p50: Some(870.4), p99: Some(1240.0), max: Some(7200.0) },
            ..Second::default()
        }
    }

    #[test]
    fn the_line_of_the_opening_has_the_remaining_time() {
        let line = opening_text(4000, 10_000, 0.5);
        assert_eq!(line, "4,000 of 10,000, 8,000/s, 750 ms left");
        assert_eq!(opening_text(0, 10, 1.0), "0 of 10, 0/s, – left");
        assert_eq!(opening_text(0, 10, 0.0), "0 of 10, –, – left");
        assert_eq!(opening_text(10, 10, 1.0), "10 of 10, 10/s, 0 µs left");
    }

    #[test]
    fn the_line_before_the_start_has_whole_seconds() {
        let lines = [12_001, 12_000, 1, 90_000].map(|ms| waiting_text(Duration::from_millis(ms)));
        assert_eq!(lines, ["starts in 13 s", "starts in 12 s", "starts in 1 s", "starts in 90 s"]);
    }

    #[test]
    fn the_line_of_a_closed_loop_has_no_lag() {
        let line = second_text(&a_second(), 12.0, Duration::from_secs(30), 3);
        assert_eq!(line, "12/30 s, 10,000 open, 123,456/s, p50 870 µs, p99 1.24 ms, errors 3");
    }

    #[test]
    fn the_line_of_an_open_loop_has_the_lag() {
        let lag_us = Percentiles { p99: Some(12.0), ..Percentiles::default() };
        let line = second_text(&Second { lag_us, ..a_second() }, 1.0, Duration::from_millis(1500), 0);
        assert!(line.starts_with("1/1.5 s, "), "{line}");
        assert!(line.ends_with(", errors 0, lag 12 µs"), "{line}");
    }

    #[test]
    fn a_line_fits_a_terminal_of_eighty_columns() {
        let lag_us = Percentiles { p99: Some(1240.0), ..Percentiles::default() };
        let second = Second { lag_us, ..a_second() };
        let line = second_text(&second, 12.0, Duration::from_secs(30), 3);
        assert!(line.chars().count() < 80, "{line}");
    }

    #[test]
    fn without_a_terminal_there_is_no_line() {
        let mut live = LiveLine::new(false, 10, Duration::from_secs(1));
        live.opening(5, 1.0);
        live.driving();
        live.second(&a_second());
        assert!(live.bar.is_none());
    }

    #[test]
    fn errors_count_from_the_start_and_time_from_the_first_message() {
        let second = |live: &mut LiveLine| {
            live.second(&Second { length_seconds: 1.5, ..a_second() });
            (live.elapsed_seconds.to_string(), live.errors)
        };
        let mut live = LiveLine::new(false, 10, Duration::from_secs(2));
        assert_eq!(second(&mut live), ("0".into(), 2));
        live.driving();
        assert_eq!(second(&mut live), ("1.5".into(), 4));
        assert_eq!(second(&mut live), ("2".into(), 6));
    }
}
