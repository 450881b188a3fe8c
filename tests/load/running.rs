//! Running `load`, and its result.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, kill_process};
use serde_json::Value;

use crate::common::{Signal, eventually, loopline, loopline_after};
use crate::schema;

/// `loopline load` with `arguments`.
pub(crate) fn command(arguments: &str) -> Command {
    let mut command = loopline();
    command.arg("load").args(arguments.split_whitespace());
    command
}

/// The same, started by a shell after `script`.
pub(crate) fn command_after(script: &str, arguments: &str) -> Command {
    let mut shell = loopline_after(script);
    shell.arg("load").args(arguments.split_whitespace());
    shell
}

/// A run in progress. It is killed when this is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) outputs: Option<[JoinHandle<String>; 2]>,
}

/// The end of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let stderr = child.stderr.take().unwrap();
        Self { child, outputs: Some([collect(stdout), collect(stderr)]) }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Waits until SIGINT is handled. While a handler is being installed, a signal of its kind is lost; that of SIGTERM
    /// is installed next.
    pub(crate) fn wait_until_it_handles_signals(&self) {
        let path = format!("/proc/{}/status", self.child.id());
        eventually("signals are handled", || {
            let status = fs::read_to_string(&path).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap();
            let terminate = 1 << (Signal::TERM.as_raw() - 1);
            (u64::from_str_radix(caught, 16).unwrap() & terminate != 0).then_some(())
        });
    }

    pub(crate) fn wait(mut self) -> Run {
        let status = eventually("the run ends", || self.child.try_wait().unwrap());
        let [stdout, stderr] = self.outputs.take().unwrap().map(|output| output.join().unwrap());
        Run { status: status.code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    })
}

pub(crate) fn run(command: &mut Command) -> Run {
    Running::start(command).wait()
}

pub(crate) fn run_with(arguments: &str) -> Run {
    run(&mut command(arguments))
}

/// The result of a run with `arguments` that succeeded without a message.
pub(crate) fn result(arguments: &str) -> Value {
    run(&mut command(&format!("{arguments} --json -{}", drain_timeout(arguments)))).result(0)
}

/// The result of a run with `arguments` that failed because of the server, which it reports in one line.
pub(crate) fn failed_result(arguments: &str) -> Value {
    let run = run_with(&format!("{arguments} --json -{}", drain_timeout(arguments)));
    assert!(run.line(4).contains(": failed: "), "{run:?}");
    run.result(4)
}

/// A long drain timeout, unless `arguments` have one: on a busy machine, replies may be slow.
fn drain_timeout(arguments: &str) -> &'static str {
    if arguments.contains("--drain-timeout") { "" } else { " --drain-timeout 20s" }
}

impl Run {
    /// The result as JSON of a run with this exit status, with its sums checked.
    pub(crate) fn result(&self, status: i32) -> Value {
        assert_eq!(self.status, Some(status), "{self:?}");
        if status == 0 {
            assert_eq!(self.stderr, "", "{}", self.stdout);
        }
        let result: Value = serde_json::from_str(&self.stdout).expect("standard output is JSON");
        assert_adds_up(&result);
        result
    }

    /// The one error line of a run with this exit status.
    pub(crate) fn line(&self, status: i32) -> &str {
        assert_eq!((self.status, self.stderr.lines().count()), (Some(status), 1), "{self:?}");
        self.stderr.trim_end()
    }
}

/// Asserts the sums of messages and datagrams, and that all keys are documented.
pub(crate) fn assert_adds_up(result: &Value) {
    schema::assert_is("LoadRecord", result);
    let messages = &result["messages"];
    let became = number(&messages["acknowledged"]) + number(&messages["failed"]);
    assert_eq!(number(&messages["sent"]), became + number(&messages["unanswered"]), "{result:#}");
    if let Some(datagrams) = result.get("datagrams") {
        let became = number(&datagrams["answered"]) + number(&datagrams["late"]);
        assert_eq!(number(&datagrams["sent"]), became + number(&datagrams["lost"]), "{result:#}");
        assert_eq!(datagrams["sent"], messages["sent"], "{result:#}");
    }
    let latency = &result["latency_us"];
    assert_eq!(latency["response"]["count"], latency["service"]["count"], "{result:#}");
    // Messages that are in flight at the end of a warm-up are acknowledged later, and their times do not count.
    let is_all = result["run"]["options"]["warmup_seconds"] == 0.0;
    let heartbeats = result.pointer("/heartbeats/latency_us/count").map_or(0, number);
    let timed = number(&latency["response"]["count"]) + heartbeats;
    let acknowledged = number(&messages["acknowledged"]);
    assert!(timed == acknowledged || !is_all && timed < acknowledged, "{result:#}");
    let connections = &result["connections"];
    assert!(number(&connections["lost"]) <= number(&connections["opened"]), "{result:#}");
    assert_eq!(result["valid"], result["why_invalid"].is_null(), "{result:#}");
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a count: {value}"))
}

pub(crate) fn real(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("a number: {value}"))
}

pub(crate) fn count(result: &Value, of: &str) -> u64 {
    number(result.pointer(&format!("/{of}")).unwrap_or_else(|| panic!("{of}: {result:#}")))
}

/// Asserts counts by their paths, as in `messages/sent`.
#[track_caller]
pub(crate) fn assert_counts(result: &Value, expected: &[(&str, u64)]) {
    for (of, expected) in expected {
        assert_eq!(count(result, of), *expected, "{of}: {result:#}");
    }
}

/// Asserts how many messages were due. A generator that did not run for a while reports those that it could not
/// send in time.
#[track_caller]
pub(crate) fn assert_due(result: &Value, due: u64) {
    let (sent, never_sent) = (count(result, "messages/sent"), count(result, "messages/never_sent"));
    assert_eq!(sent + never_sent, due, "{result:#}");
}

/// The count of the failures with this reason, and the description of the first.
pub(crate) fn failure(result: &Value, reason: &str) -> (u64, String) {
    let failures = result["failures"].as_array().unwrap();
    let failure = failures.iter().find(|failure| failure["reason"] == reason);
    let failure = failure.unwrap_or_else(|| panic!("no failure '{reason}': {result:#}"));
    (number(&failure["count"]), failure["first"].as_str().unwrap().into())
}
