//! `storm`: all connections are started before any is served.

use anyhow::Result;

use crate::bench::Bench;
use crate::kernel::{backlog_max, listen_overflows};
use crate::process::{Driven, drive};
use crate::programs::{OURS, Program};
use crate::report::{Cell, Section, Table, Target, count};
use crate::turns::{alternate, column};

/// Many machines allow a process 20,000 descriptors, and the driver needs one per connection.
const CONNECTIONS: usize = 19_000;

pub(super) fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    let connections = bench.scaled(CONNECTIONS);
    let programs = [bench.programs.bare_c(), bench.programs.ours()];
    let all = alternate(bench.pairs, &programs, |program| run(bench, program, connections))?;
    let columns = ["connections per second", "its / bare C's", "CPU µs per connection", "listen overflows"];
    let title = format!("{} at once, each opened, answered once and closed", count(connections));
    let mut table = Table::new(title, &columns);
    let bare = column(&all[0], |(run, _)| run.rate());
    for (program, runs) in programs.iter().zip(&all) {
        let target = |target| (program.name == OURS).then_some(target);
        let rate = column(runs, |(run, _)| run.rate());
        let more = Cell::of_ratios(&rate, &bare).with_target(target(Target::AtLeast(0.95)));
        let cpu = Cell::of(column(runs, |(run, _)| run.cpu_us()));
        let overflows =
            Cell::of(column(runs, |(_, overflows)| *overflows)).with_target(target(Target::AtMost(0.0)));
        table.line(program.name, vec![Cell::of(rate), more, cpu, overflows]);
    }
    section.tables.push(table);
    section.note(format!("both ask for a backlog of 4096; net.core.somaxconn allows {}", backlog_max()));
    section.note("overflows are counted for the whole machine during the run");
    Ok(())
}

fn run(bench: &Bench, program: &Program, connections: usize) -> Result<(Driven, f64)> {
    let server = bench.start(program)?;
    let before = listen_overflows()?;
    let arguments = [server.port.to_string(), connections.to_string(), server.pid().to_string()];
    let driven = drive(bench.programs.driver("storm").as_os_str(), &arguments, &bench.cores.driver)?;
    Ok((driven, listen_overflows()? - before))
}
