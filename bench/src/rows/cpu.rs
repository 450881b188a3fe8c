//! `cpu-…` and `growth`: processor time per message and messages per second of all servers.

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::process::Driven;
use crate::programs::{BARE_C, OURS};
use crate::report::{Cell, Section, Table, Target, count};
use crate::turns::{alternate, alternate_each, column};

/// Compares all servers; the load is that of [`Bench::load`].
pub(super) fn compare(
    bench: &Bench,
    section: &mut Section,
    connections: usize,
    in_flight: usize,
) -> Result<()> {
    let load = bench.load(connections, in_flight);
    let (programs, left_out) = bench.programs.message_servers();
    section.left_out.extend(left_out);
    let mut all = Vec::new();
    let each = alternate_each(bench.pairs, &programs, |program| bench.run(program, load));
    for (program, runs) in programs.iter().zip(each) {
        match runs {
            Ok(runs) => all.push((program.name, column(&runs, Driven::cpu_us), column(&runs, Driven::rate))),
            Err(error) => section.failures.push(format!("{}: {error:#}", program.name)),
        }
    }
    let of = |name| {
        all.iter().find(|(each, ..)| *each == name).with_context(|| format!("{name} was not measured"))
    };
    let ((_, bare, _), (_, _, ours)) = (of(BARE_C)?, of(OURS)?);
    let columns = ["CPU µs per message", "bare C's CPU / its", "messages per second", "ours / its"];
    let mut table = Table::new(load.to_text(), &columns);
    for (name, cpu, rate) in &all {
        let (is_bare, is_ours) = (*name == BARE_C, *name == OURS);
        let cheaper = Cell::of_ratios(bare, cpu).with_target(is_ours.then_some(Target::AtLeast(1.0)));
        // The target is to be faster than every server except the bare one.
        let faster =
            Cell::of_ratios(ours, rate).with_target((!is_bare && !is_ours).then_some(Target::AtLeast(1.0)));
        table.line(*name, vec![Cell::of(cpu.clone()), cheaper, Cell::of(rate.clone()), faster]);
    }
    section.tables.push(table);
    Ok(())
}

pub(super) fn growth(bench: &Bench, section: &mut Section) -> Result<()> {
    let [few, many] = [50, 10_000].map(|connections| bench.load(connections, 1));
    let programs = [bench.programs.bare_c(), bench.programs.ours()];
    let subjects: Vec<_> = programs.iter().flat_map(|program| [(program, few), (program, many)]).collect();
    let all = alternate(bench.pairs, &subjects, |(program, load)| {
        bench.run(program, *load).map(|run| run.cpu_us())
    })?;
    let titles = [few, many].map(|load| format!("{} connections, CPU µs", count(load.connections)));
    let mut table = Table::new("one in flight", &[&titles[0], &titles[1], "second / first"]);
    for (program, runs) in programs.iter().zip(all.chunks(2)) {
        let target = (program.name == OURS).then_some(Target::AtMost(1.8));
        let ratio = Cell::of_ratios(&runs[1], &runs[0]).with_target(target);
        table.line(program.name, vec![Cell::of(runs[0].clone()), Cell::of(runs[1].clone()), ratio]);
    }
    section.tables.push(table);
    Ok(())
}
