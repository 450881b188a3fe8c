//! `uring`: processor time per message of the bare loops, one with epoll and one with `io_uring`.

use anyhow::Result;

use crate::bench::Bench;
use crate::process::{Driven, output};
use crate::programs::OURS;
use crate::report::{Cell, Section, Table};
use crate::turns::{alternate, column};

const LOADS: [(usize, usize); 4] = [(50, 1), (1000, 1), (10_000, 1), (50, 16)];

pub(super) fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    let Some(uring) = bench.programs.bare_uring() else {
        section.left_out.push("the whole row: liburing is not installed (Debian: liburing-dev)".into());
        return Ok(());
    };
    if let Err(error) = output(&uring.command[0], &["probe".into()], &bench.cores.server) {
        section.left_out.push(format!("the whole row: this kernel lacks a part of io_uring: {error:#}"));
        return Ok(());
    }
    let programs = [bench.programs.bare_c(), bench.programs.ours(), uring];
    for (connections, in_flight) in LOADS {
        let load = bench.load(connections, in_flight);
        let all = alternate(bench.pairs, &programs, |program| bench.run(program, load))?;
        let columns =
            ["CPU µs per message", "bare C's CPU / its", "its CPU / loopline's", "messages per second"];
        let mut table = Table::new(load.to_text(), &columns);
        let [bare, ours] = [0, 1].map(|index| column(&all[index], Driven::cpu_us));
        for (program, runs) in programs.iter().zip(&all) {
            let cpu = column(runs, Driven::cpu_us);
            let ratios = [Cell::of_ratios(&bare, &cpu), Cell::of_ratios(&cpu, &ours)];
            let [cell, rate] = [Cell::of(cpu), Cell::of(column(runs, Driven::rate))];
            table.line(program.name, vec![cell, ratios[0], ratios[1], rate]);
        }
        section.tables.push(table);
    }
    section.note(format!("bare C and {OURS} use epoll"));
    Ok(())
}
