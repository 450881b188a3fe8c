//! `tail`: the latency of normal peers, undisturbed and beside peers that are not.

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::process::{Server, output};
use crate::programs::{OURS, Program};
use crate::report::{Cell, Section, Table, Target, count};
use crate::turns::{alternate, column};

/// The others of each run: what they do, and how many they are.
const DISTURBANCES: [(&str, usize); 5] =
    [("none", 0), ("pipeline", 50), ("pipeline", 1000), ("megabyte", 4000), ("silent", 200)];

/// The 99th percentile of normal peers, in microseconds.
pub(super) const P99_MAX: f64 = 10_000.0;

pub(super) fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    let programs = [bench.programs.bare_c(), bench.programs.ours()];
    // A run measures at least a second: the others need it to fill their connections.
    let seconds = if bench.quick { 0.2 } else { bench.seconds.max(1.0) };
    for (kind, others) in DISTURBANCES {
        let others = if others > 50 { bench.scaled(others) } else { others };
        let all = alternate(bench.pairs.min(RUNS_MAX), &programs, |program| {
            run(bench, program, seconds, kind, others)
        })?;
        let title = match kind {
            "pipeline" => format!("beside {} that pipeline", count(others)),
            "megabyte" => format!("beside {} that send 1 MiB", count(others)),
            "silent" => format!("beside {} that never read", count(others)),
            _ => "undisturbed".into(),
        };
        let columns = ["p50, µs", "p99, µs", "max, µs", "replies"];
        let mut table = Table::new(format!("100 connections, a message each 10 ms, {title}"), &columns);
        for (program, runs) in programs.iter().zip(&all) {
            let target = (program.name == OURS).then_some(Target::AtMost(P99_MAX));
            let cells = [0, 1, 2, 3].map(|index| Cell::of(column(runs, |run| run[index])));
            let [p50, p99, max, replies] = cells;
            table.line(program.name, vec![p50, p99.with_target(target), max, replies]);
        }
        section.tables.push(table);
    }
    section.note("the driver's processor is shared with the others, which have the lowest priority");
    Ok(())
}

/// Runs of a second or more.
const RUNS_MAX: usize = 5;

fn run(bench: &Bench, program: &Program, seconds: f64, kind: &str, others: usize) -> Result<[f64; 4]> {
    drive(bench, &bench.start(program)?, seconds, kind, others)
}

/// p50, p99, the longest latency, and the number of replies.
pub(super) fn drive(
    bench: &Bench,
    server: &Server,
    seconds: f64,
    kind: &str,
    others: usize,
) -> Result<[f64; 4]> {
    let arguments = [server.port.to_string(), seconds.to_string(), kind.into(), others.to_string()];
    let text = output(bench.programs.driver("tail").as_os_str(), &arguments, &bench.cores.driver)?;
    parse(&text).with_context(|| format!("unexpected output of the driver: {text:?}"))
}

fn parse(text: &str) -> Option<[f64; 4]> {
    let mut words = text.split_whitespace();
    let mut number = |name| if words.next()? == name { words.next()?.parse().ok() } else { None };
    let replies = number("replies")?;
    Some([number("p50")?, number("p99")?, number("max")?, replies])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_the_driver_is_read() {
        assert_eq!(parse("replies 9900 p50 40 p99 95 max 812\n"), Some([40.0, 95.0, 812.0, 9900.0]));
        assert_eq!(parse("replies 9900 p50 40"), None);
    }
}
