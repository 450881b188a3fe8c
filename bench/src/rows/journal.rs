//! `journal-…` and `synced-…`: `message` with its journal in a file, against the bare server that writes the same lines.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};

use crate::bench::{Bench, Load};
use crate::process::{Driven, output};
use crate::programs::{OURS, Program};
use crate::report::{Cell, Section, Table, Target};
use crate::turns::{alternate, column};

/// Processor time per message if acknowledgements wait for the write.
pub(super) fn written(
    bench: &Bench,
    section: &mut Section,
    connections: usize,
    in_flight: usize,
) -> Result<()> {
    let (load, programs) = (bench.load(connections, in_flight), &bench.programs);
    let file = programs.journal();
    note_file_system(bench, section, &file)?;
    let without = [programs.bare_c(), programs.ours()];
    let with = [programs.bare_c_recording(&file, false), programs.ours_recording(&file, "written")];
    let subjects: Vec<&Program> = without.iter().chain(&with).collect();
    let all = alternate(bench.pairs, &subjects, |program| run(bench, program, load, &file))?;
    let (without_runs, with_runs) = all.split_at(without.len());
    let columns =
        ["CPU µs per message", "bare C's CPU / its", "CPU without a journal / with", "messages per second"];
    let mut table = Table::new(format!("{}, a file and --ack written", load.to_text()), &columns);
    let bare = column(&with_runs[0], Driven::cpu_us);
    for ((program, runs), without) in with.iter().zip(with_runs).zip(without_runs) {
        let target = |bound| (program.name == OURS).then_some(Target::AtLeast(bound));
        let (cpu, without) = (column(runs, Driven::cpu_us), column(without, Driven::cpu_us));
        let cheaper = Cell::of_ratios(&bare, &cpu).with_target(target(0.97));
        // With a message per visit, most of the time of both is the kernel's.
        let kept = Cell::of_ratios(&without, &cpu).with_target(target(0.85).filter(|_| in_flight > 1));
        table.line(program.name, vec![Cell::of(cpu), cheaper, kept, Cell::of(column(runs, Driven::rate))]);
    }
    section.tables.push(table);
    Ok(())
}

/// Messages per second if acknowledgements wait for `fdatasync`.
pub(super) fn synced(
    bench: &Bench,
    section: &mut Section,
    connections: usize,
    in_flight: usize,
) -> Result<()> {
    let (load, programs) = (bench.load(connections, in_flight), &bench.programs);
    let file = programs.journal();
    let kind = note_file_system(bench, section, &file)?;
    if IN_MEMORY.contains(&kind.as_str()) {
        section.left_out.push(format!("the whole row: {} is on {kind}, which has no disk", file.display()));
        return Ok(());
    }
    let subjects = [programs.bare_c_recording(&file, true), programs.ours_recording(&file, "synced")];
    let all = alternate(bench.pairs, &subjects, |program| run(bench, program, load, &file))?;
    let columns = ["messages per second", "its / bare C's", "CPU µs per message"];
    let mut table = Table::new(format!("{}, a file and --ack synced", load.to_text()), &columns);
    let bare = column(&all[0], Driven::rate);
    for (program, runs) in subjects.iter().zip(&all) {
        let rate = column(runs, Driven::rate);
        let target = (program.name == OURS).then_some(Target::AtLeast(0.95));
        let faster = Cell::of_ratios(&rate, &bare).with_target(target);
        table.line(program.name, vec![Cell::of(rate), faster, Cell::of(column(runs, Driven::cpu_us))]);
    }
    section.tables.push(table);
    Ok(())
}

/// File systems without a disk, as `df` calls them.
const IN_MEMORY: [&str; 2] = ["tmpfs", "ramfs"];

/// Each run begins without a file, so that it does not write to the pages of another.
fn run(bench: &Bench, program: &Program, load: Load, file: &Path) -> Result<Driven> {
    let driven = bench.run(program, load);
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| file.display().to_string())
        }
        _ => driven,
    }
}

/// Adds a note on the file system of `file`, and returns its type.
fn note_file_system(bench: &Bench, section: &mut Section, file: &Path) -> Result<String> {
    let folder = file.parent().context("the journal has no folder")?;
    let arguments = ["--output=fstype,source".into(), folder.display().to_string()];
    let text = output("df".as_ref(), &arguments, &bench.cores.driver)?;
    let (kind, source) = text
        .lines()
        .nth(1)
        .and_then(|line| line.split_once(' '))
        .with_context(|| format!("unexpected output of df: {text:?}"))?;
    section.note(format!("the journal is on {kind}, {}", source.trim()));
    Ok(kind.to_owned())
}
