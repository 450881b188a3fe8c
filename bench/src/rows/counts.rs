//! `instructions` and `allocations`: counted by valgrind, as the slope between a short and a long run.

use anyhow::Result;

use crate::bench::{Bench, Load};
use crate::programs::Program;
use crate::report::{Cell, Section, Table, Target};
use crate::stats::slope;
use crate::tools::{self, Counted};

const LOAD: Load = Load { connections: 50, in_flight: 1 };

pub(super) fn instructions(bench: &Bench, section: &mut Section) -> Result<()> {
    if !tools::is_available("valgrind", section) {
        return Ok(());
    }
    let (programs, counted) = (&bench.programs, Counted::Instructions);
    let without = [programs.bare_c_for_any(), programs.ours()];
    count(bench, section, counted, "without a journal", &without, 500.0)?;
    let file = programs.journal();
    let with = [programs.bare_c_recording_for_any(&file), programs.ours_recording(&file, "written")];
    count(bench, section, counted, "with a journal in a file", &with, 700.0)?;
    std::fs::remove_file(file)?;
    section.note("both are built for a generic processor: valgrind lacks some instructions of newer ones");
    Ok(())
}

pub(super) fn allocations(bench: &Bench, section: &mut Section) -> Result<()> {
    if !tools::is_available("valgrind", section) {
        return Ok(());
    }
    count(bench, section, Counted::Allocations, "without a journal", &[bench.programs.ours()], 0.0)
}

/// The last of `programs` is loopline, which has a target.
fn count(
    bench: &Bench,
    section: &mut Section,
    counted: Counted,
    title: &str,
    programs: &[Program],
    target: f64,
) -> Result<()> {
    let rounds = [20, bench.scaled(400) + 20];
    let title =
        format!("{title}, {}, slope from {} to {} messages on each", LOAD.to_text(), rounds[0], rounds[1]);
    let mut table = Table::new(title, &["per message"]);
    for (index, program) in programs.iter().enumerate() {
        let mut points = Vec::new();
        for rounds in rounds {
            #[expect(clippy::cast_precision_loss, reason = "messages are some thousands")]
            let messages = (rounds * LOAD.connections) as f64;
            points.push((messages, counted.of(bench, program, LOAD, rounds)?));
        }
        let target = (index == programs.len() - 1).then_some(Target::AtMost(target));
        table.line(program.name, vec![Cell::of([slope(points[0], points[1])]).with_target(target)]);
    }
    section.tables.push(table);
    Ok(())
}
