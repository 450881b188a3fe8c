//! Runs that start at a time of the clock.

use std::fs;
use std::time::Duration;

use crate::common::{Clock, Signal};
use crate::running::{Running, command, real, result, run_with};
use crate::scripted::{Scripted, read_to_the_end, serve};

/// Seconds of `time` in RFC 3339 after midnight of its day.
fn second_of_day(time: &serde_json::Value) -> f64 {
    let (_, clock) = time.as_str().unwrap().trim_end_matches('Z').split_once('T').unwrap();
    clock.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
}

#[test]
fn a_run_starts_at_its_time() {
    let server = serve("message=0");
    let clock = Clock::start();
    let result = result(&format!("message={} -c 2 -d 300ms --start-at +1s", server.address("message")));
    assert!(clock.elapsed() >= Duration::from_millis(1300), "{:?}", clock.elapsed());
    let started = second_of_day(&result["run"]["started_at"]);
    let requested = second_of_day(&result["run"]["options"]["start_at"]);
    let [began, measuring] = ["began_at", "measuring_at"].map(|key| second_of_day(&result["clock"][key]));
    // Within a second also at midnight.
    let after = |later: f64, earlier: f64| (later - earlier).rem_euclid(86_400.0);
    assert!((0.99..1.01).contains(&after(requested, started)), "{result:#}");
    assert!(after(began, requested) < 60.0, "{result:#}");
    assert!(after(measuring, began) >= real(&result["connections"]["open_seconds"]) - 0.001, "{result:#}");
    server.stop_cleanly();
}

#[test]
fn a_time_that_is_over_is_refused() {
    let server = Scripted::new(|stream, _| read_to_the_end(&stream));
    for (time, line) in [
        ("2026-01-02T03:04:05.5+01:00", "--start-at 2026-01-02T02:04:05.500Z: that was "),
        ("2126-01-02T03:04:05Z", "--start-at 2126-01-02T03:04:05.000Z: it must be at most 24d away"),
    ] {
        let run = run_with(&format!("message={} --start-at {time}", server.address));
        assert!(run.line(2).contains(line), "{run:?}");
    }
    let unknown = run_with(&format!("message={} --start-at soon", server.address));
    assert_eq!(unknown.status, Some(2));
    assert!(unknown.stderr.contains("invalid value 'soon' for '--start-at <TIME|+DUR>': expected a date"));
    assert_eq!(server.accepted(), 0);
}

#[test]
fn a_signal_before_the_start_ends_the_run_with_a_line() {
    let server = Scripted::new(|stream, _| read_to_the_end(&stream));
    let folder = tempfile::tempdir().unwrap();
    let [log, report, json] = ["a.hlog", "a.html", "old.json"].map(|name| folder.path().join(name));
    fs::write(&json, "old").unwrap();
    let arguments = format!("message={} --start-at +1h", server.address);
    let mut command = command(&arguments);
    command.arg("--histogram").arg(&log).arg("--report").arg(&report).arg("--json").arg(&json);
    let load = Running::start(&mut command);
    load.wait_until_it_handles_signals();
    load.signal(Signal::INT);
    let run = load.wait();
    let line = run.line(1);
    assert!(
        line.starts_with("loopline: interrupted ") && line.contains(" min before the start at "),
        "{line}"
    );
    assert!(line.ends_with(": nothing was sent"), "{line}");
    assert_eq!((run.stdout.as_str(), server.accepted()), ("", 0));
    assert!(!log.exists() && !report.exists(), "no empty files are left");
    assert_eq!(fs::read(&json).unwrap(), b"old");
}

#[test]
fn an_output_that_cannot_be_written_is_refused_before_the_wait() {
    for option in ["--json", "--report", "--histogram"] {
        let run = run_with(&format!("message=1 --start-at +1h {option} /no/such/file"));
        assert!(run.line(1).contains("/no/such/file: cannot be written: No such file"), "{run:?}");
    }
}

#[test]
fn a_terminal_shows_when_the_run_starts() {
    let server = serve("message=0");
    let mut command = command(&format!("message={} -c 3 -d 200ms --start-at +2s", server.address("message")));
    command.env("TERM", "xterm");
    let timeout_ms = u64::try_from(crate::common::WAIT_MAX.as_millis()).ok();
    let mut terminal = rexpect::session::spawn_command(command, timeout_ms).unwrap();
    terminal.exp_string("starts in 1 s").unwrap();
    terminal.exp_string("connections  3 requested: 3 opened, 0 failed; 0 lost").unwrap();
    terminal.exp_eof().unwrap();
    server.stop_cleanly();
}
