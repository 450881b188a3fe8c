//! `large-…` and `curve`: processor time by the size of the body.

use anyhow::Result;

use crate::bench::Bench;
use crate::process::{Driven, drive};
use crate::programs::{OURS, OURS_THREADS, Program};
use crate::report::{Cell, Section, Table, Target};
use crate::turns::{alternate, column};

const CONNECTIONS: [usize; 3] = [1, 10, 100];

/// The connections of the curve.
const CURVE_CONNECTIONS: usize = 10;

const KIB: usize = 1024;

/// Sizes of the curve in KiB, close to each other where they exceed the shared read buffer of loopline (64 KiB).
const CURVE_KIB: [usize; 12] = [1, 4, 16, 32, 60, 64, 68, 96, 128, 256, 1024, 4096];

/// Compares the servers with bodies of `body_kib` KiB.
pub(super) fn compare(bench: &Bench, section: &mut Section, body_kib: usize) -> Result<()> {
    let programs = programs(bench);
    for connections in CONNECTIONS {
        let all =
            alternate(bench.pairs, &programs, |program| run(bench, program, connections, body_kib * KIB))?;
        let columns = ["CPU ns per KiB", "bare C's CPU / its", "its CPU / loopline's", "MiB per second"];
        let plural = if connections == 1 { "" } else { "s" };
        let mut table =
            Table::new(format!("{connections} connection{plural}, bodies of {body_kib} KiB"), &columns);
        let [bare, ours] = [0, 1].map(|index| column(&all[index], |run| cpu_ns_per_kib(run, body_kib)));
        for (program, runs) in programs.iter().zip(&all) {
            let target = |name, bound| (program.name == name).then_some(Target::AtLeast(bound));
            let cpu = column(runs, |run| cpu_ns_per_kib(run, body_kib));
            let of_bare = Cell::of_ratios(&bare, &cpu).with_target(target(OURS, 0.95));
            let of_ours = Cell::of_ratios(&cpu, &ours).with_target(target(OURS_THREADS, 1.0));
            let rate = Cell::of(column(runs, |run| run.rate() * kib(body_kib) / 1024.0));
            table.line(program.name, vec![Cell::of(cpu), of_bare, of_ours, rate]);
        }
        section.tables.push(table);
    }
    section.note("bare C keeps a buffer of the size of a frame for each connection");
    Ok(())
}

/// Shows how the cost of a byte depends on the size.
pub(super) fn curve(bench: &Bench, section: &mut Section) -> Result<()> {
    let [bare, ours, threads, _] = programs(bench);
    let programs = [bare, ours, threads];
    let columns: Vec<String> = programs
        .iter()
        .map(|program| format!("{}, CPU ns per KiB", program.name))
        .chain(["bare C's CPU / loopline's".into()])
        .collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new(format!("{CURVE_CONNECTIONS} connections"), &columns);
    for body_kib in CURVE_KIB {
        let run = |program: &Program| run(bench, program, CURVE_CONNECTIONS, body_kib * KIB);
        let all: Vec<_> = alternate(bench.pairs, &programs, run)?
            .iter()
            .map(|runs| column(runs, |run| cpu_ns_per_kib(run, body_kib)))
            .collect();
        let ratio = Cell::of_ratios(&all[0], &all[1]);
        let cells = all.iter().map(|cpu| Cell::of(cpu.iter().copied())).chain([ratio]).collect();
        table.line(format!("{body_kib} KiB"), cells);
    }
    section.tables.push(table);
    Ok(())
}

/// Bare C, loopline, its threads, and bare C with `SO_RCVLOWAT`.
fn programs(bench: &Bench) -> [Program; 4] {
    let arguments = ["message=0", "--max-message", "4MiB"];
    let threads = [&arguments[..], &["--model", "threads"]].concat();
    let [bare, bare_with_low_water] = bench.programs.bare_c_for_large_bodies();
    let [ours, threads] =
        [bench.programs.serve(OURS, &arguments), bench.programs.serve(OURS_THREADS, &threads)];
    [bare, ours, threads, bare_with_low_water]
}

fn run(bench: &Bench, program: &Program, connections: usize, body_bytes: usize) -> Result<Driven> {
    let server = bench.start(program)?;
    let numbers = [server.port.into(), connections, body_bytes].map(|number| number.to_string());
    let mut arguments = numbers.to_vec();
    arguments.extend([bench.seconds.to_string(), server.pid().to_string()]);
    drive(bench.programs.driver("large_driver").as_os_str(), &arguments, &bench.cores.driver)
}

fn cpu_ns_per_kib(run: &Driven, body_kib: usize) -> f64 {
    run.cpu_us() * 1000.0 / kib(body_kib)
}

#[expect(clippy::cast_precision_loss, reason = "sizes are some thousands")]
fn kib(kib: usize) -> f64 {
    kib as f64
}
