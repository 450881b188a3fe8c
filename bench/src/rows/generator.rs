//! `generator-…`: what `loopline load` costs, and how well it keeps its schedule.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::bench::{Bench, Lasting, Load};
use crate::kernel::{descriptors, own_bytes};
use crate::process::{output, wait_until};
use crate::programs::{BARE_C, OURS};
use crate::report::{Cell, Section, Table, Target, count};
use crate::stats::{Spread, slope};
use crate::turns::in_turn;

pub(super) fn rate(bench: &Bench, section: &mut Section) -> Result<()> {
    // A run ends with all connections in flight, which has to be little of it.
    let seconds = 4.0 * bench.seconds;
    let warm_up = format!("{}ms", (bench.seconds * 1000.0).round());
    let columns = ["bare C driver, messages a second", "loopline load", "load / bare C"];
    let mut table = Table::new("closed loop on the bare C server", &columns);
    for (connections, in_flight) in [(50, 1), (1000, 1), (10_000, 1), (50, 16), (50, 64)] {
        let load = Load {
            connections: if connections > 50 { bench.many(connections) } else { connections },
            in_flight,
        };
        let drivers = [BARE_C, OURS];
        let all = in_turn(bench.pairs, &drivers, |driver| {
            let server = bench.start(&bench.programs.bare_c())?;
            if *driver == BARE_C {
                return Ok(bench.drive(server.port, load, &Lasting::Seconds(seconds), &[])?.rate());
            }
            let (connections, in_flight) = (load.connections.to_string(), load.in_flight.to_string());
            let arguments = ["-c", &connections, "--pipeline", &in_flight, "--warmup", &warm_up];
            number(&run(bench, server.port, seconds, &arguments)?, "/messages/rate")
        });
        let all: Vec<Vec<f64>> = all.into_iter().collect::<Result<_>>()?;
        let ratio = Cell::of_ratios(&all[1], &all[0]).should_be(Some(Target::AtLeast(0.95)));
        table.line(load.to_text(), vec![Cell::of(all[0].clone()), Cell::of(all[1].clone()), ratio]);
    }
    section.tables.push(table);
    Ok(())
}

pub(super) fn lag(bench: &Bench, section: &mut Section) -> Result<()> {
    // One in a thousand has to be some.
    let seconds = bench.seconds.max(0.5);
    let subjects = ["only a clock", "loopline load"];
    let all = in_turn(bench.pairs, &subjects, |subject| {
        if *subject == subjects[0] {
            let arguments = [LAG_RATE.to_string(), seconds.to_string()];
            let text = output(bench.programs.driver("clock").as_os_str(), &arguments, &bench.cores.driver)?;
            return text.split_whitespace().map(|number| Ok(number.parse()?)).collect();
        }
        let server = bench.start(&bench.programs.ours())?;
        let rate = LAG_RATE.to_string();
        let result = run(bench, server.port, seconds, &["-r", &rate, "--warmup", "200ms"])?;
        ["p50", "p99", "p99_9", "max"]
            .iter()
            .map(|name| number(&result, &format!("/schedule_lag_us/{name}")))
            .collect::<Result<Vec<f64>>>()
    });
    let mut all = all.into_iter();
    let (clock, load) = (all.next().context("the clock")??, all.next().context("the load")??);
    let title = "50,000 messages a second, µs from due to sent";
    let mut table = Table::new(title, &["p50", "p99", "p99.9", "max"]);
    table.line(subjects[0], cells(&clock));
    table.line(subjects[1], cells(&load));
    // The target is for a processor that nobody else wants: for pairs in which the clock was on time.
    let idle = clock.iter().zip(&load).filter(|(clock, _)| clock[2] <= ON_TIME_US);
    let idle: Vec<Vec<f64>> = idle.map(|(_, load)| load.clone()).collect();
    let (pairs, all) = (idle.len(), load.len());
    section.note(format!("in {pairs} of {all} pairs the clock's own p99.9 was {ON_TIME_US} µs at most"));
    if idle.is_empty() {
        section.note("so the processor was never idle, and the target is not judged");
    } else {
        let mut cells = cells(&idle);
        cells[2] = cells[2].should_be(Some(Target::AtMost(100.0)));
        table.line("loopline load, in those", cells);
    }
    section.tables.push(table);
    section.note(
        "only a clock: a loop that does nothing but look at the clock; what it is late, the machine took",
    );
    Ok(())
}

fn cells(runs: &[Vec<f64>]) -> Vec<Cell> {
    (0..4).map(|place| Cell::of(runs.iter().map(|run| run[place]))).collect()
}

/// How late the clock alone sees one moment in a thousand on a processor that is idle, at most.
const ON_TIME_US: f64 = 50.0;

/// Messages a second of the schedule whose keeping is measured.
const LAG_RATE: u32 = 50_000;

pub(super) fn memory(bench: &Bench, section: &mut Section) -> Result<()> {
    // With fewer, tables grow within the heap, and the holes that they leave there would flatter the slope.
    let (few, many) = (bench.many(6000), bench.many(18_000));
    let mut points = Vec::new();
    for connections in [few, many] {
        // A longer wait makes a longer histogram: of some runs the median tells what connections take.
        let runs = (0..bench.pairs.min(5)).map(|_| own_bytes_holding(bench, connections));
        let runs = Spread::of(runs.collect::<Result<Vec<f64>>>()?).context("there is no run")?;
        #[expect(clippy::cast_precision_loss, reason = "connections are some thousands")]
        points.push((connections as f64, runs.median));
    }
    let mut table = Table::new(
        format!("slope from {} to {} connections", count(few), count(many)),
        &["bytes a connection"],
    );
    let cell = Cell::of([slope(points[0], points[1])]);
    table.line("loopline load", vec![cell.should_be(Some(Target::AtMost(48.0)))]);
    section.tables.push(table);
    Ok(())
}

/// Own memory of `load` with so many connections open, a few of which have been answered.
fn own_bytes_holding(bench: &Bench, connections: usize) -> Result<f64> {
    let server = bench.start(&bench.programs.bare_c())?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(bench.programs.loopline());
    command.arg("load").arg(format!("message={}", server.port)).args(["-c", &connections.to_string()]);
    command.args(["-r", "100", "-d", "1h"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let load = Ended(command.spawn()?);
    // The server has all of them, so that the generator has as well.
    wait_until("all connections are open", || {
        descriptors(server.pid()).is_ok_and(|open| open > connections)
    })?;
    std::thread::sleep(std::time::Duration::from_millis(300));
    own_bytes(load.0.id())
}

/// Ends a process with itself.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `loopline load` says of a run, as JSON.
fn run(bench: &Bench, port: u16, seconds: f64, arguments: &[&str]) -> Result<Value> {
    let (endpoint, duration) = (format!("message={port}"), format!("{}ms", (seconds * 1000.0).round()));
    let fixed = ["load", &endpoint, "-d", &duration, "--json", "-"];
    let arguments: Vec<String> = fixed.iter().chain(arguments).map(ToString::to_string).collect();
    let text = output(bench.programs.loopline().as_os_str(), &arguments, &bench.cores.driver)?;
    serde_json::from_str(&text).context("what load says is not JSON")
}

fn number(result: &Value, place: &str) -> Result<f64> {
    result.pointer(place).and_then(Value::as_f64).with_context(|| format!("load does not say {place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_place() {
        let result = serde_json::json!({"messages": {"rate": 12.5}, "why_invalid": null});
        assert!((number(&result, "/messages/rate").unwrap() - 12.5).abs() < 1e-9);
        assert!(number(&result, "/why_invalid").is_err() && number(&result, "/rate").is_err());
    }
}
