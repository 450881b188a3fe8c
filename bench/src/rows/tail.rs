//! `tail`: the latency of normal peers, undisturbed and beside peers that are not.

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::process::{Server, output};
use crate::programs::{OURS, Program};
use crate::report::{Cell, Section, Table, Target, count};
use crate::turns::{alternate_each, column};

/// The others of a run: what they do, as the driver and as a table call it, and how many they are.
struct Disturbance {
    kind: &'static str,
    others: usize,
    text: &'static str,
    target: Bound,
}

/// The target of the 99th percentile.
#[derive(Clone, Copy)]
enum Bound {
    /// 10 ms.
    Absolute,
    /// Twice that of the same server without others.
    Relative,
}

const fn beside(others: usize, kind: &'static str, text: &'static str, target: Bound) -> Disturbance {
    Disturbance { kind, others, text, target }
}

/// The first is the reference of the others.
const DISTURBANCES: [Disturbance; 7] = [
    beside(0, "none", "", Bound::Absolute),
    beside(15_000, "idle", "are idle", Bound::Relative),
    beside(15_000, "drip", "send a byte a second", Bound::Relative),
    beside(50, "pipeline", "pipeline", Bound::Absolute),
    beside(1000, "pipeline", "pipeline", Bound::Absolute),
    beside(4000, "megabyte", "send 1 MiB", Bound::Absolute),
    beside(200, "silent", "never read", Bound::Absolute),
];

/// The 99th percentile of normal peers, in microseconds.
pub(super) const P99_MAX: f64 = 10_000.0;

/// How many times the undisturbed 99th percentile it may be beside peers that do little.
const TIMES_UNDISTURBED_MAX: f64 = 2.0;

/// The load of the normal peers, for titles of tables.
pub(super) const LOAD: &str = "100 connections, 1,000 messages a second in all";

pub(super) fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    let programs = [bench.programs.bare_c(), bench.programs.ours(), bench.programs.tokio()];
    // One of a thousand is measured, and the others need a second to fill their connections.
    let seconds = if bench.quick { 0.2 } else { bench.seconds.max(4.0) };
    // All disturbances alternate, so that a run and the undisturbed one of the same number are a pair.
    let subjects: Vec<(&Disturbance, &Program)> =
        DISTURBANCES.iter().flat_map(|it| programs.iter().map(move |program| (it, program))).collect();
    let all = alternate_each(bench.pairs.min(RUNS_MAX), &subjects, |(disturbance, program)| {
        let others = disturbance.scaled(bench);
        drive(bench, &bench.start(program)?, seconds, disturbance.kind, others)
    });
    let mut undisturbed: Vec<Option<Vec<f64>>> = vec![];
    for (disturbance, outcomes) in DISTURBANCES.iter().zip(all.chunks(programs.len())) {
        let others = disturbance.scaled(bench);
        let beside = match others {
            0 => "undisturbed".to_owned(),
            _ => format!("beside {} that {}", count(others), disturbance.text),
        };
        let mut table = Table::new(format!("{LOAD}, {beside}"), &COLUMNS);
        for (index, (program, outcome)) in programs.iter().zip(outcomes).enumerate() {
            let failure = outcome.as_ref().err().map(|error| format!("{error:#}"));
            if others == 0 {
                undisturbed.push(outcome.as_ref().ok().map(|runs| column(runs, |run| run.p99)));
            }
            match (outcome, &undisturbed[index]) {
                (Ok(runs), Some(alone)) => table.line(program.name, disturbance.cells(program, runs, alone)),
                _ => table.line(format!("{}: FAILED", program.name), vec![]),
            }
            if let Some(failure) = failure {
                let failure = format!("{}, {beside}: {failure}", program.name);
                // Another server may fail: that is a result.
                let list = if program.name == OURS { &mut section.failures } else { &mut section.notes };
                list.push(failure);
            }
        }
        section.tables.push(table);
    }
    section.note("latency is the time from when a message was due; lag is how late the driver sent it");
    section.note("the others share the driver's processor, and have it when the driver does not want it");
    section
        .note("bare C takes each part of a message as one or more messages, or as none, and stores nothing");
    Ok(())
}

const COLUMNS: [&str; 7] = [
    "p50, µs",
    "p99, µs",
    "its p99 / undisturbed",
    "p99.9, µs",
    "max, µs",
    "driver's lag, p99, µs",
    "replies per second",
];

/// Runs of some seconds, of which there are many.
const RUNS_MAX: usize = 3;

impl Disturbance {
    fn scaled(&self, bench: &Bench) -> usize {
        if self.others > 50 { bench.scaled(self.others) } else { self.others }
    }

    fn cells(&self, program: &Program, runs: &[Latency], alone: &[f64]) -> Vec<Cell> {
        let cell = |value: fn(&Latency) -> f64| Cell::of(column(runs, value));
        let times = Cell::of_ratios(&column(runs, |run| run.p99), alone);
        let (p99_target, times_target) = match self.target {
            _ if program.name != OURS => (None, None),
            Bound::Absolute => (Some(Target::AtMost(P99_MAX)), None),
            Bound::Relative => (None, Some(Target::AtMost(TIMES_UNDISTURBED_MAX))),
        };
        vec![
            cell(|run| run.p50),
            cell(|run| run.p99).with_target(p99_target),
            times.with_target(times_target),
            cell(|run| run.p999),
            cell(|run| run.max),
            cell(|run| run.lag_p99),
            cell(|run| run.replies_per_second),
        ]
    }
}

/// The result of a run: latencies, and the lag of the driver, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
    pub(super) lag_p99: f64,
    pub(super) replies_per_second: f64,
}

/// Drives `server` with normal peers and `others` of a kind.
pub(super) fn drive(
    bench: &Bench,
    server: &Server,
    seconds: f64,
    kind: &str,
    others: usize,
) -> Result<Latency> {
    let arguments = [server.port.to_string(), seconds.to_string(), kind.into(), others.to_string()];
    let text = output(bench.programs.driver("tail").as_os_str(), &arguments, &bench.cores.driver)?;
    parse(&text, seconds).with_context(|| format!("unexpected output of the driver: {text:?}"))
}

fn parse(text: &str, seconds: f64) -> Option<Latency> {
    let mut words = text.split_whitespace();
    let mut number = |name| if words.next()? == name { words.next()?.parse::<f64>().ok() } else { None };
    Some(Latency {
        replies_per_second: number("replies")? / seconds,
        p50: number("p50")?,
        p99: number("p99")?,
        p999: number("p999")?,
        max: number("max")?,
        lag_p99: number("lag99")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_the_driver_is_read() {
        let latency = Latency {
            p50: 40.0,
            p99: 95.0,
            p999: 201.0,
            max: 812.0,
            lag_p99: 60.0,
            replies_per_second: 990.0,
        };
        let text = "replies 3960 p50 40 p99 95 p999 201 max 812 lag99 60\n";
        assert_eq!(parse(text, 4.0), Some(latency));
        assert_eq!(parse("replies 9900 p50 40", 4.0), None);
        assert_eq!(parse(&text.replace("p999", "p99"), 4.0), None);
    }
}
