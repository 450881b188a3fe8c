//! `scaling`: two processes that share a port with `--reuse-port`.

use anyhow::Result;

use crate::bench::{Bench, Load, Until};
use crate::kernel::processors;
use crate::process::{Driven, Server};
use crate::report::{Cell, Section, Table};
use crate::turns::{alternate, column};

const LOAD: Load = Load { connections: 50, in_flight: 1 };

pub(super) fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    let all = alternate(bench.pairs, &[1, 2], |processes| run(bench, *processes))?;
    let columns = ["messages per second", "two / one", "CPU µs per message, all processes"];
    let mut table = Table::new(LOAD.to_text(), &columns);
    let one = column(&all[0], Driven::rate);
    for (name, runs) in ["one process", "two processes"].into_iter().zip(&all) {
        let rate = column(runs, Driven::rate);
        let ratio = Cell::of_ratios(&rate, &one);
        table.line(name, vec![Cell::of(rate), ratio, Cell::of(column(runs, Driven::cpu_us))]);
    }
    section.tables.push(table);
    if processors()?.len() < 3 {
        section
            .note("two servers and the driver share two processors here: messages per second cannot grow;");
        section.note("processor time per message should not grow either");
    }
    section.note("the driver is one thread, and the limit if the servers together are faster");
    Ok(())
}

/// Each server process has its own processor; the driver has the last one.
fn run(bench: &Bench, processes: usize) -> Result<Driven> {
    let cores = processors()?;
    let mut servers: Vec<Server> = Vec::new();
    for number in 0..processes {
        let endpoint = format!("message={}", servers.first().map_or(0, |first| first.port));
        let program = bench.programs.serve("loopline", &[&endpoint, "--reuse-port"]);
        servers.push(Server::start(&program, &cores[number % cores.len()].to_string())?);
    }
    let servers: Vec<&Server> = servers.iter().collect();
    bench.drive(servers[0].port, LOAD, &Until::Seconds(bench.seconds), &servers)
}
