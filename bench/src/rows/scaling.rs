//! `scaling`: one to four processes that share a port with `--reuse-port`.

use anyhow::Result;

use crate::bench::{Bench, Load, Until};
use crate::kernel::processors;
use crate::process::{Driven, Server};
use crate::programs::OURS;
use crate::report::{Cell, Section, Table, Target};
use crate::turns::{alternate, column};

const PROCESSES: [usize; 4] = [1, 2, 3, 4];

/// Less than 1, since more processes have fewer connections in a poll each.
const CPU_RATIO_MIN: f64 = 0.95;

pub(super) fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    for load in [bench.load(50, 1), bench.load(1000, 1), bench.load(10_000, 1), bench.load(50, 16)] {
        let all = alternate(bench.pairs, &PROCESSES, |processes| run(bench, load, *processes))?;
        let columns =
            ["CPU µs per message, all processes", "one's CPU / its", "messages per second", "its / one's"];
        let mut table = Table::new(load.to_text(), &columns);
        let [one_cpu, one_rate] = [column(&all[0], Driven::cpu_us), column(&all[0], Driven::rate)];
        for (processes, runs) in PROCESSES.iter().zip(&all) {
            let (cpu, rate) = (column(runs, Driven::cpu_us), column(runs, Driven::rate));
            let target = (*processes > 1).then_some(Target::AtLeast(CPU_RATIO_MIN));
            let cheaper = Cell::of_ratios(&one_cpu, &cpu).with_target(target);
            let faster = Cell::of_ratios(&rate, &one_rate);
            let name = format!("{processes} process{}", if *processes == 1 { "" } else { "es" });
            table.line(name, vec![Cell::of(cpu), cheaper, Cell::of(rate), faster]);
        }
        section.tables.push(table);
    }
    let own = processors()?.len().saturating_sub(1);
    if own < PROCESSES.len() {
        let of = if own > 1 { format!("{own} processors") } else { "one processor".into() };
        section.note(format!("the processes share {of} here: messages per second cannot grow beyond that;"));
        section.note("processor time per message should not grow either");
    }
    section.note("the driver is one thread, and the limit if the servers together are faster");
    Ok(())
}

/// Each process has a processor of its own if there are enough beside the driver's, the last.
fn run(bench: &Bench, load: Load, processes: usize) -> Result<Driven> {
    let mut cores = processors()?;
    if cores.len() > 1 {
        cores.pop();
    }
    let mut servers: Vec<Server> = Vec::new();
    for number in 0..processes {
        let endpoint = format!("message={}", servers.first().map_or(0, |first| first.port));
        let program = bench.programs.serve(OURS, &[&endpoint, "--reuse-port"]);
        servers.push(Server::start(&program, &cores[number % cores.len()].to_string())?);
    }
    let servers: Vec<&Server> = servers.iter().collect();
    bench.drive(servers[0].port, load, &Until::Seconds(bench.seconds), &servers)
}
