//! `syscalls`: counted by `strace`, as the slope between a short and a long run.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::bench::{Bench, Until};
use crate::kernel::descriptors;
use crate::process::{Driven, Server, wait_until};
use crate::programs::OURS;
use crate::report::{Cell, Section, Table, Target};
use crate::tools::{self, Strace};

pub(super) fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    if !tools::is_available("strace", section) {
        return Ok(());
    }
    let settings = [(bench.load(1000, 1), [4, 24], 2.02), (bench.load(50, 64), [10, 110], 0.04)];
    let [one, deep] = settings.map(|(load, ..)| load.to_text());
    let columns = ["one connection with one message", &one, &deep];
    let mut table = Table::new("system calls per connection, and per message", &columns);
    for program in [bench.programs.bare_c(), bench.programs.ours()] {
        let server = bench.start(&program)?;
        // After the first reply, the server has opened everything it needs for itself.
        let _held = bench.hold(server.port, 1)?;
        let one = |rounds| bench.drive(server.port, bench.load(1, 1), &Until::Rounds(rounds), &[]);
        let (_, trace) = traced(bench, &server, &[], || one(1))?;
        let names = tools::of_a_connection(&tools::names(&trace));
        section.note(format!("{}, one connection with one message: {}", program.name, names.join(", ")));
        #[expect(clippy::cast_precision_loss, reason = "calls are few")]
        let mut line = vec![Cell::of([names.len() as f64])];
        for (load, rounds, target) in settings {
            let calls = calls_per_message(bench, &server, rounds, |rounds| {
                bench.drive(server.port, load, &Until::Rounds(rounds), &[])
            })?;
            let target = (program.name == OURS).then_some(Target::AtMost(target));
            line.push(Cell::of([calls.values().sum()]).with_target(target));
            // Calls for connections and for strace are the same in both runs, except one or two.
            let of_messages = calls.iter().filter(|(_, calls)| calls.abs() >= 0.0001);
            let each: Vec<String> = of_messages.map(|(name, calls)| format!("{name} {calls:.4}")).collect();
            section.note(format!("{}, {}: {}", program.name, load.to_text(), each.join(", ")));
        }
        table.line(program.name, line);
    }
    section.tables.push(table);
    Ok(())
}

/// System calls per message by name, from the difference between a long and a short run of this number of rounds.
pub(super) fn calls_per_message(
    bench: &Bench,
    server: &Server,
    rounds: [usize; 2],
    drive: impl Fn(usize) -> Result<Driven>,
) -> Result<BTreeMap<String, f64>> {
    let [few, many] = rounds.map(|rounds| traced(bench, server, &["-c"], || drive(rounds)));
    let ((few, before), (many, after)) = (few?, many?);
    let before = tools::calls(&before);
    let more = tools::calls(&after).into_iter().map(|(name, calls)| {
        let before = before.get(&name).copied().unwrap_or(0.0);
        (name, (calls - before) / (many - few))
    });
    Ok(more.collect())
}

/// The number of messages of a run, and the output of strace from before its connections are opened until they are
/// closed.
fn traced(
    bench: &Bench,
    server: &Server,
    options: &[&str],
    drive: impl FnOnce() -> Result<Driven>,
) -> Result<(f64, String)> {
    let idle = descriptors(server.pid())?;
    let strace = Strace::attach(bench, server, options)?;
    let driven = drive()?;
    wait_until("all connections are closed", || descriptors(server.pid()).is_ok_and(|open| open == idle))?;
    Ok((driven.messages, strace.detach()?))
}
