//! `broadcast`: a chat room in which each line is sent to all members, against the bare one.

use anyhow::Result;

use crate::bench::{Bench, Load, Until};
use crate::process::Driven;
use crate::programs::{OURS, Program};
use crate::report::{Cell, Section, Table, Target, count};
use crate::stats::slope;
use crate::tools::{self, Counted};
use crate::turns::{alternate, column};

const MEMBERS: usize = 10_000;

/// Enough for a slope of the work per copy, which does not depend on them.
const MEMBERS_COUNTED: usize = 1000;

/// Those who are there from the beginning to the end of a count: with them, a room does not announce who comes and goes.
const MEMBERS_HELD: usize = 100;

/// Lines that are sent together.
const LINES: [usize; 2] = [1, 16];

/// Lines of the short and of the long run that give a slope.
const LINES_COUNTED: [usize; 2] = [32, 192];

pub(super) fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    let chat = bench.programs.build_chat()?;
    for in_flight in LINES {
        // With one line, both bare rooms do the same.
        let bare_rooms = if in_flight == 1 { 1 } else { 2 };
        let and_chat = |bare: [Program; 2]| {
            let bare = bare.into_iter().take(bare_rooms);
            bare.chain([chat.clone()]).collect::<Vec<_>>()
        };
        let programs = and_chat(bench.programs.bare_broadcast());
        let for_valgrind = and_chat(bench.programs.bare_broadcast_for_any());
        let load = Load { connections: bench.scaled(MEMBERS), in_flight };
        times(bench, section, &programs, load)?;
        let load = Load { connections: bench.scaled(MEMBERS_COUNTED), in_flight };
        if tools::is_available("valgrind", section) {
            valgrind(bench, section, &for_valgrind, load)?;
        }
        if tools::is_available("strace", section) {
            calls(bench, section, &programs, load)?;
        }
    }
    section.note("the room is examples/chat.rs, which has a thread for its terminal: the C library spends 31 instructions more on a call");
    Ok(())
}

fn to_text(load: Load) -> String {
    let lines = if load.in_flight == 1 { "a line".into() } else { format!("{} lines", load.in_flight) };
    format!("{lines} at a time to {} members", count(load.connections))
}

fn times(bench: &Bench, section: &mut Section, programs: &[Program], load: Load) -> Result<()> {
    let all = alternate(bench.pairs, programs, |program| {
        let server = bench.start(program)?;
        bench.broadcast(server.port, load, &Until::Seconds(bench.seconds), &[&server])
    })?;
    let columns = ["CPU µs per copy", "bare C's CPU / its", "copies per second", "its / bare C's"];
    let mut table = Table::new(to_text(load), &columns);
    let (bare_cpu, bare_rate) = (column(&all[0], Driven::cpu_us), column(&all[0], Driven::rate));
    for (program, runs) in programs.iter().zip(&all) {
        let (cpu, rate) = (column(runs, Driven::cpu_us), column(runs, Driven::rate));
        let target = (program.name == OURS).then_some(Target::AtLeast(0.97));
        let cheaper = Cell::of_ratios(&bare_cpu, &cpu).with_target(target);
        let faster = Cell::of_ratios(&rate, &bare_rate);
        table.line(program.name, vec![Cell::of(cpu), cheaper, Cell::of(rate), faster]);
    }
    section.tables.push(table);
    Ok(())
}

fn valgrind(bench: &Bench, section: &mut Section, programs: &[Program], load: Load) -> Result<()> {
    let title = format!("{}, without the kernel", to_text(load));
    let mut table = Table::new(title, &["instructions per copy", "allocations per copy"]);
    for program in programs {
        let mut line = Vec::new();
        for counted in [Counted::Instructions, Counted::Allocations] {
            // The bare room allocates nothing.
            if program.name != OURS && matches!(counted, Counted::Allocations) {
                line.push(Cell::of([0.0]));
                continue;
            }
            let mut points = Vec::new();
            for lines in LINES_COUNTED {
                let mut held = None;
                let drive = |port| {
                    held = Some(bench.hold_members(port, MEMBERS_HELD)?);
                    bench.broadcast(port, load, &Until::Rounds(lines / load.in_flight), &[])
                };
                let work = counted.while_driven(bench, program, drive)?;
                #[expect(clippy::cast_precision_loss, reason = "copies are some hundred thousand")]
                let copies = (lines * (load.connections + MEMBERS_HELD)) as f64;
                points.push((copies, work));
            }
            line.push(Cell::of([slope(points[0], points[1])]));
        }
        table.line(program.name, line);
    }
    section.tables.push(table);
    Ok(())
}

fn calls(bench: &Bench, section: &mut Section, programs: &[Program], load: Load) -> Result<()> {
    let mut table = Table::new(to_text(load), &["system calls per copy"]);
    #[expect(clippy::cast_precision_loss, reason = "members are some thousand")]
    let with_held = (load.connections + MEMBERS_HELD) as f64 / load.connections as f64;
    for program in programs {
        let server = bench.start(program)?;
        let _held = bench.hold_members(server.port, MEMBERS_HELD)?;
        let calls = super::syscalls::calls_per_message(bench, &server, LINES_COUNTED, |lines| {
            let mut driven =
                bench.broadcast(server.port, load, &Until::Rounds(lines / load.in_flight), &[])?;
            driven.messages *= with_held;
            Ok(driven)
        })?;
        #[expect(clippy::cast_precision_loss, reason = "lines are few")]
        let target = (program.name == OURS).then_some(Target::AtMost(1.01 / load.in_flight as f64));
        table.line(program.name, vec![Cell::of([calls.values().sum()]).with_target(target)]);
    }
    section.tables.push(table);
    Ok(())
}
