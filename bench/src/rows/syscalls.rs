//! `syscalls`: what `strace` counts, as the slope between two runs of different lengths.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::bench::{Bench, Lasting, Load};
use crate::kernel::descriptors;
use crate::process::{Server, wait_until};
use crate::programs::OURS;
use crate::report::{Cell, Section, Table, Target};
use crate::tools::{self, Strace};

pub(super) fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    if !tools::is_there("strace", section) {
        return Ok(());
    }
    let settings = [
        (Load { connections: bench.many(1000), in_flight: 1 }, [4, 24], 2.02),
        (Load { connections: 50, in_flight: 64 }, [10, 110], 0.04),
    ];
    let [one, deep] = settings.map(|(load, ..)| load.to_text());
    let columns = ["a connection of one message", &one, &deep];
    let mut table = Table::new("system calls: of a connection, and of a message", &columns);
    for program in [bench.programs.bare_c(), bench.programs.ours()] {
        let server = bench.start(&program)?;
        // A server that has answered has opened all that it needs for itself: from here on only connections count.
        let _held = bench.hold(server.port, 1)?;
        let (_, trace) = traced(bench, &server, &[], Load { connections: 1, in_flight: 1 }, 1)?;
        let names = tools::of_a_connection(&tools::names(&trace));
        section.note(format!("{}, a connection of one message: {}", program.name, names.join(", ")));
        #[expect(clippy::cast_precision_loss, reason = "calls are few")]
        let mut line = vec![Cell::of([names.len() as f64])];
        for (load, rounds, target) in settings {
            let calls = a_message(bench, &server, load, rounds)?;
            let target = (program.name == OURS).then_some(Target::AtMost(target));
            line.push(Cell::of([calls.values().sum()]).should_be(target));
            // What belongs to connections, or to strace, is the same in both runs but for a call or two.
            let of_messages = calls.iter().filter(|(_, calls)| calls.abs() >= 0.0001);
            let each: Vec<String> = of_messages.map(|(name, calls)| format!("{name} {calls:.4}")).collect();
            section.note(format!("{}, {}: {}", program.name, load.to_text(), each.join(", ")));
        }
        table.line(program.name, line);
    }
    section.tables.push(table);
    Ok(())
}

/// System calls of a message by name: a longer run has more of them than a shorter one, by so many messages.
fn a_message(
    bench: &Bench,
    server: &Server,
    load: Load,
    rounds: [usize; 2],
) -> Result<BTreeMap<String, f64>> {
    let [few, many] = rounds.map(|rounds| traced(bench, server, &["-c"], load, rounds));
    let ((few, before), (many, after)) = (few?, many?);
    let before = tools::calls(&before);
    let more = tools::calls(&after).into_iter().map(|(name, calls)| {
        let before = before.get(&name).copied().unwrap_or(0.0);
        (name, (calls - before) / (many - few))
    });
    Ok(more.collect())
}

/// What strace writes from before connections are opened until they are closed, and how many messages they had.
fn traced(
    bench: &Bench,
    server: &Server,
    options: &[&str],
    load: Load,
    rounds: usize,
) -> Result<(f64, String)> {
    let idle = descriptors(server.pid())?;
    let strace = Strace::attach(bench, server, options)?;
    let driven = bench.drive(server.port, load, &Lasting::Rounds(rounds), &[])?;
    wait_until("all connections are closed", || descriptors(server.pid()).is_ok_and(|open| open == idle))?;
    Ok((driven.messages, strace.detach()?))
}
