//! `generator-…`: throughput, connections, schedule lag and memory of `loopline load`.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::bench::{Bench, Until};
use crate::kernel::{descriptors, own_bytes};
use crate::process::{Process, drive, output, wait_until};
use crate::programs::{BARE_C, OURS};
use crate::report::{Cell, Section, Table, Target, count};
use crate::stats::{Spread, slope};
use crate::turns::{alternate, column};

pub(super) fn rate(bench: &Bench, section: &mut Section) -> Result<()> {
    // A run ends with all connections in flight, so it is longer, to make that a small part.
    let seconds = 4.0 * bench.seconds;
    let warm_up = format!("{}ms", (bench.seconds * 1000.0).round());
    let columns = ["bare C driver, messages per second", "loopline load", "load / bare C"];
    let mut table = Table::new("closed loop on the bare C server", &columns);
    for (connections, in_flight) in [(50, 1), (1000, 1), (10_000, 1), (50, 16), (50, 64)] {
        let load = bench.load(connections, in_flight);
        let drivers = [BARE_C, OURS];
        let all = alternate(bench.pairs, &drivers, |driver| {
            let server = bench.start(&bench.programs.bare_c())?;
            if *driver == BARE_C {
                return Ok(bench.drive(server.port, load, &Until::Seconds(seconds), &[])?.rate());
            }
            let (connections, in_flight) = (load.connections.to_string(), load.in_flight.to_string());
            let arguments = ["-c", &connections, "--pipeline", &in_flight, "--warmup", &warm_up];
            number(&run(bench, server.port, seconds, &arguments)?, "/messages/rate")
        })?;
        let ratio = Cell::of_ratios(&all[1], &all[0]).with_target(Some(Target::AtLeast(0.97)));
        table.line(load.to_text(), vec![Cell::of(all[0].clone()), Cell::of(all[1].clone()), ratio]);
    }
    section.tables.push(table);
    Ok(())
}

pub(super) fn churn(bench: &Bench, section: &mut Section) -> Result<()> {
    // A run of `load` includes its start.
    let seconds = 4.0 * bench.seconds;
    for in_flight in [50, 1000] {
        let in_flight = bench.load(in_flight, 1).connections;
        let subjects = [Churn::ByBareC, Churn::ByLoad, Churn::OfOurs, Churn::ByMinimum];
        let all = alternate(bench.pairs, &subjects, |subject| subject.run(bench, in_flight, seconds))?;
        let [rates, cpu] =
            [0, 1].map(|index| all.iter().map(|runs| column(runs, |run| run[index])).collect::<Vec<_>>());
        let columns = [
            "connections per second",
            "CPU µs per connection",
            "bare C driver's CPU / its",
            "CPU of loopline serve / its",
        ];
        let title = format!("a message per connection, {} connections at a time", count(in_flight));
        let mut table = Table::new(title, &columns);
        for (index, subject) in subjects.into_iter().enumerate() {
            // What a processor can drive, by what a processor can serve.
            let target = matches!(subject, Churn::ByLoad).then_some(Target::AtLeast(1.5));
            table.line(
                subject.name(),
                vec![
                    Cell::of(rates[index].clone()),
                    Cell::of(cpu[index].clone()),
                    Cell::of_ratios(&cpu[0], &cpu[index]),
                    Cell::of_ratios(&cpu[2], &cpu[index]).with_target(target),
                ],
            );
        }
        section.tables.push(table);
    }
    section.note("the drivers run on the bare C server, and loopline serve with the bare C driver;");
    section.note("on loopback, the kernel does a part of the server's work in the calls of the driver:");
    section.note("no driver can be much better than five blocking calls");
    Ok(())
}

/// A run with a connection per message, and the process whose time is measured.
#[derive(Debug, Clone, Copy)]
enum Churn {
    ByBareC,
    ByLoad,
    /// `loopline serve`, driven by the bare C driver.
    OfOurs,
    /// The fewest system calls of a client.
    ByMinimum,
}

impl Churn {
    fn name(self) -> &'static str {
        match self {
            Self::ByBareC => "bare C driver",
            Self::ByLoad => "loopline load",
            Self::OfOurs => "loopline serve",
            Self::ByMinimum => "bare C, five calls",
        }
    }

    /// Connections per second, and processor time per connection in microseconds.
    fn run(self, bench: &Bench, in_flight: usize, seconds: f64) -> Result<[f64; 2]> {
        let is_ours = matches!(self, Self::OfOurs);
        let program = if is_ours { bench.programs.ours() } else { bench.programs.bare_c() };
        let server = bench.start(&program)?;
        if matches!(self, Self::ByLoad) {
            let in_flight = in_flight.to_string();
            let result = run(bench, server.port, seconds, &["-c", &in_flight, "--one-shot"])?;
            let cpu_us = number(&result, "/generator/cpu_seconds")? * 1e6;
            return Ok([
                number(&result, "/messages/rate")?,
                cpu_us / number(&result, "/messages/acknowledged")?,
            ]);
        }
        // The driver takes 0 for itself.
        let measured = if is_ours { server.pid() } else { 0 };
        let arguments =
            [server.port.to_string(), in_flight.to_string(), seconds.to_string(), measured.to_string()];
        let is_minimum = matches!(self, Self::ByMinimum);
        let name = if is_minimum { "one_shot_minimum" } else { "one_shot" };
        let driven = drive(bench.programs.driver(name).as_os_str(), &arguments, &bench.cores.driver)?;
        Ok([driven.rate(), driven.cpu_us()])
    }
}

pub(super) fn lag(bench: &Bench, section: &mut Section) -> Result<()> {
    // For p99.9, a run needs enough messages.
    let seconds = bench.seconds.max(0.5);
    let subjects = ["only a clock", "loopline load"];
    let all = alternate(bench.pairs, &subjects, |subject| {
        if *subject == subjects[0] {
            let arguments = [LAG_RATE.to_string(), seconds.to_string()];
            let text = output(bench.programs.driver("clock").as_os_str(), &arguments, &bench.cores.driver)?;
            return text.split_whitespace().map(|number| Ok(number.parse()?)).collect();
        }
        let server = bench.start(&bench.programs.ours())?;
        // The driver has a processor of its own, which `load` cannot know.
        let rate = LAG_RATE.to_string();
        let result = run(bench, server.port, seconds, &["-r", &rate, "--spin", "on", "--warmup", "200ms"])?;
        ["p50", "p99", "p99_9", "max"]
            .iter()
            .map(|name| number(&result, &format!("/schedule_lag_us/{name}")))
            .collect::<Result<Vec<f64>>>()
    })?;
    let (clock, load) = (&all[0], &all[1]);
    let title = "50,000 messages per second, µs from due to sent";
    let mut table = Table::new(title, &["p50", "p99", "p99.9", "max"]);
    table.line(subjects[0], cells(clock));
    table.line(subjects[1], cells(load));
    // The target assumes an idle processor, so it counts the pairs in which the clock was on time.
    let idle = clock.iter().zip(load).filter(|(clock, _)| clock[2] <= ON_TIME_US);
    let idle: Vec<Vec<f64>> = idle.map(|(_, load)| load.clone()).collect();
    let (pairs, all) = (idle.len(), load.len());
    section.note(format!("in {pairs} of {all} pairs, p99.9 of the clock was at most {ON_TIME_US} µs"));
    if idle.is_empty() {
        section.note("the processor was never idle, so the target is not checked");
    } else {
        let mut cells = cells(&idle);
        cells[2] = cells[2].with_target(Some(Target::AtMost(100.0)));
        table.line("loopline load, in those", cells);
    }
    section.tables.push(table);
    section.note("only a clock: a loop that only reads the clock; its lag is caused by the machine");
    Ok(())
}

fn cells(runs: &[Vec<f64>]) -> Vec<Cell> {
    (0..4).map(|index| Cell::of(runs.iter().map(|run| run[index]))).collect()
}

/// The largest p99.9 of the clock on an idle processor, in microseconds.
const ON_TIME_US: f64 = 50.0;

/// Messages per second of the schedule.
const LAG_RATE: u32 = 50_000;

pub(super) fn memory(bench: &Bench, section: &mut Section) -> Result<()> {
    // With fewer connections, tables grow within the heap, and reused holes would make the slope too small.
    let (few, many) = (bench.scaled(6000), bench.scaled(18_000));
    let mut points = Vec::new();
    for connections in [few, many] {
        // The size of the histogram depends on the longest wait, so the median of some runs is used.
        let runs = (0..bench.pairs.min(5)).map(|_| own_bytes_holding(bench, connections));
        let runs = Spread::of(runs.collect::<Result<Vec<f64>>>()?).context("no runs")?;
        #[expect(clippy::cast_precision_loss, reason = "connections are some thousands")]
        points.push((connections as f64, runs.median));
    }
    let mut table = Table::new(
        format!("slope from {} to {} connections", count(few), count(many)),
        &["bytes per connection"],
    );
    let cell = Cell::of([slope(points[0], points[1])]);
    table.line("loopline load", vec![cell.with_target(Some(Target::AtMost(48.0)))]);
    section.tables.push(table);
    Ok(())
}

/// Memory of `load` with `connections` open, a few of which had replies.
fn own_bytes_holding(bench: &Bench, connections: usize) -> Result<f64> {
    let server = bench.start(&bench.programs.bare_c())?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(bench.programs.loopline());
    command.arg("load").arg(format!("message={}", server.port)).args(["-c", &connections.to_string()]);
    command.args(["-r", "100", "-d", "1h"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let load = Process(command.spawn()?);
    // If the server has all connections, the generator has them too.
    wait_until("all connections are open", || {
        descriptors(server.pid()).is_ok_and(|open| open > connections)
    })?;
    std::thread::sleep(std::time::Duration::from_millis(300));
    own_bytes(load.0.id())
}

/// The result of `loopline load` as JSON.
fn run(bench: &Bench, port: u16, seconds: f64, arguments: &[&str]) -> Result<Value> {
    let (endpoint, duration) = (format!("message={port}"), format!("{}ms", (seconds * 1000.0).round()));
    let fixed = ["load", &endpoint, "-d", &duration, "--json", "-"];
    let arguments: Vec<String> = fixed.iter().chain(arguments).map(ToString::to_string).collect();
    let text = output(bench.programs.loopline().as_os_str(), &arguments, &bench.cores.driver)?;
    serde_json::from_str(&text).context("the output of load is not JSON")
}

fn number(result: &Value, pointer: &str) -> Result<f64> {
    result
        .pointer(pointer)
        .and_then(Value::as_f64)
        .with_context(|| format!("the result of load has no {pointer}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_pointer() {
        let result = serde_json::json!({"messages": {"rate": 12.5}, "why_invalid": null});
        assert!((number(&result, "/messages/rate").unwrap() - 12.5).abs() < 1e-9);
        assert!(number(&result, "/why_invalid").is_err() && number(&result, "/rate").is_err());
    }
}
