//! `attack`: the latency of normal peers, and the memory of the server, beside peers that make it store bytes.

use anyhow::Result;

use super::tail;
use crate::bench::Bench;
use crate::kernel::{resident_bytes, resident_bytes_max};
use crate::process::wait_until;
use crate::programs::{OURS, Program};
use crate::report::{Cell, Section, Table, Target, count};
use crate::turns::{alternate, column};

/// What the others do, as the driver and as the table call it; the first line is without others.
const ATTACKS: [(&str, &str); 5] = [
    ("none", "undisturbed"),
    ("unfinished", "900 kB of a frame of 1 MiB"),
    ("silent", "pipelining without reading"),
    ("header", "ten bytes of a header"),
    ("announced", "a header of 1 MiB and nothing else"),
];

/// The memory budget, in MiB.
const BUDGET_MIB: u32 = 64;

/// The budget and a tenth, in KiB.
const RESIDENT_KIB_MAX: f64 = BUDGET_MIB as f64 * 1024.0 * 1.1;

/// Attackers of the loop. A thread each would need more memory than the budget.
const ATTACKERS: usize = 15_000;
const ATTACKERS_OF_THREADS: usize = 1500;

/// With a higher p99 without others, in microseconds, the machine is too busy to judge a latency.
const QUIET_P99_MAX: f64 = 1000.0;

pub(super) fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    let budget = format!("{BUDGET_MIB}MiB");
    let arguments = ["message=0", "--max-memory", &budget];
    let threads = [&arguments[..], &["--model", "threads"]].concat();
    let programs = [
        (bench.programs.serve(OURS, &arguments), ATTACKERS),
        (bench.programs.serve("loopline --model threads", &threads), ATTACKERS_OF_THREADS),
    ];
    for (program, attackers) in &programs {
        // A short run has a few hundred.
        let attackers = if bench.quick { attackers / 50 } else { *attackers };
        // With threads, the budget bounds the bytes that wait, and neither their stacks nor what the allocator keeps.
        let resident_kib_max = (program.name == OURS).then_some(Target::AtMost(RESIDENT_KIB_MAX));
        section.tables.push(measure_program(bench, program, attackers, resident_kib_max)?);
    }
    section.note("the others share the driver's processor, and have it when the driver does not want it");
    section.note(
        "where the buffers of all exceed net.ipv4.tcp_mem, the kernel drops packets of all connections",
    );
    section.note(format!("p99 has no target if it is over {QUIET_P99_MAX} µs without others"));
    Ok(())
}

fn measure_program(
    bench: &Bench,
    program: &Program,
    attackers: usize,
    resident_kib_max: Option<Target>,
) -> Result<Table> {
    // Attackers need some seconds to send what the network takes.
    let seconds = if bench.quick { 0.2 } else { bench.seconds.max(5.0) };
    let all = alternate(bench.pairs.min(RUNS_MAX), &ATTACKS, |(kind, _)| {
        run(bench, program, seconds, kind, attackers)
    })?;
    let title = format!("{}: {}, beside {}", program.name, tail::LOAD, count(attackers));
    let columns =
        ["p50, µs", "p99, µs", "max, µs", "replies per second", "most resident, KiB", "after it, KiB"];
    let mut table = Table::new(title, &columns);
    let mut is_quiet = true;
    for ((kind, name), runs) in ATTACKS.iter().zip(&all) {
        let [p50, p99, max, replies, most, after] =
            [0, 1, 2, 3, 4, 5].map(|index| Cell::of(column(runs, |run| run[index])));
        if *kind == "none" {
            is_quiet = p99.spread.median <= QUIET_P99_MAX;
        }
        let p99 = p99.with_target(is_quiet.then_some(Target::AtMost(tail::P99_MAX)));
        let most = most.with_target(resident_kib_max);
        table.line(*name, vec![p50, p99, max, replies, most, after]);
    }
    Ok(table)
}

/// Runs of five seconds or more.
const RUNS_MAX: usize = 3;

/// Latencies and replies per second, the most resident memory, and that after the peers have left.
fn run(bench: &Bench, program: &Program, seconds: f64, kind: &str, attackers: usize) -> Result<[f64; 6]> {
    let server = bench.start(program)?;
    let kib = |bytes: Result<f64>| bytes.map(|bytes| bytes / 1024.0);
    let before = kib(resident_bytes(server.pid()))?;
    let latency = tail::drive(bench, &server, seconds, kind, attackers)?;
    let most = kib(resident_bytes_max(server.pid()))?;
    let is_returned = || kib(resident_bytes(server.pid())).is_ok_and(|now| now < before + RETURNED_KIB);
    // What is not returned by then is in the result.
    let _ = wait_until("the memory is returned", is_returned);
    let after = kib(resident_bytes(server.pid()))?;
    let tail::Latency { p50, p99, max, replies_per_second, .. } = latency;
    Ok([p50, p99, max, replies_per_second, most, after])
}

/// More than a server without connections keeps of what it has used.
const RETURNED_KIB: f64 = 4096.0;
