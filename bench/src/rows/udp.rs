//! `udp`: `month` against the bare server, with one datagram per call and with batches.

use anyhow::Result;

use crate::bench::Bench;
use crate::process::{Driven, drive};
use crate::programs::{OURS, Program};
use crate::report::{Cell, Section, Table, Target};
use crate::turns::{alternate, column};

/// One address, and all addresses of the machine.
const ADDRESSES: [&str; 2] = ["127.0.0.1", "0.0.0.0"];

pub(super) fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    for address in ADDRESSES {
        let endpoint = format!("month={address}:0");
        let programs = [
            bench.programs.bare_udp("bare C, one by one", "1", address),
            // By default, the replies of an endpoint that is not on loopback are limited.
            bench.programs.serve(OURS, &[&endpoint, "--udp-replies", "off"]),
            bench.programs.bare_udp("bare C, batches of 64", "64", address),
        ];
        let all = alternate(bench.pairs, &programs, |program| run(bench, program))?;
        let columns = ["answers per second", "its / one by one's", "CPU µs per answer", "one by one's / its"];
        let title = format!("bound to {address}, 16 sockets, 16 in flight on each");
        let mut table = Table::new(title, &columns);
        let (reference_rate, reference_cpu) =
            (column(&all[0], Driven::rate), column(&all[0], Driven::cpu_us));
        for (program, runs) in programs.iter().zip(&all) {
            let (rate, cpu) = (column(runs, Driven::rate), column(runs, Driven::cpu_us));
            let target = (program.name == OURS).then_some(Target::AtLeast(1.35));
            let more = Cell::of_ratios(&rate, &reference_rate).with_target(target);
            let cheaper = Cell::of_ratios(&reference_cpu, &cpu);
            table.line(program.name, vec![Cell::of(rate), more, Cell::of(cpu), cheaper]);
        }
        section.tables.push(table);
    }
    section.note("bound to 0.0.0.0, bare C answers from the address that the route selects, loopline from that which was asked");
    Ok(())
}

fn run(bench: &Bench, program: &Program) -> Result<Driven> {
    let server = bench.start(program)?;
    let seconds = bench.seconds.to_string();
    let arguments = [server.port.to_string(), "16".into(), "16".into(), seconds, server.pid().to_string()];
    drive(bench.programs.driver("udp_driver").as_os_str(), &arguments, &bench.cores.driver)
}
