//! The rows of the benchmark.

use anyhow::Result;

use crate::bench::Bench;
use crate::report::Section;

mod counts;
mod cpu;
mod generator;
mod memory;
mod scaling;
mod sizes;
mod storm;
mod syscalls;
mod udp;

/// A part of the benchmark that can be run alone.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    measure: fn(&Bench, &mut Section) -> Result<()>,
}

impl Row {
    /// Measures the row. An error becomes a line of the section.
    pub(crate) fn run(&self, bench: &Bench) -> Section {
        let mut section = Section::new(self.name, self.about);
        if let Err(error) = (self.measure)(bench, &mut section) {
            section.failures.push(format!("{error:#}"));
        }
        section
    }
}

/// All rows.
pub(crate) static ROWS: &[Row] = &[
    Row { name: "memory", about: "memory of the server per idle connection", measure: memory::measure },
    Row { name: "syscalls", about: "system calls of the server per message", measure: syscalls::measure },
    Row {
        name: "instructions",
        about: "instructions of the server per message, without the kernel",
        measure: counts::instructions,
    },
    Row { name: "allocations", about: "allocations of the server per message", measure: counts::allocations },
    Row {
        name: "cpu-50",
        about: "processor time per message, messages per second: 50 connections",
        measure: cpu::few,
    },
    Row { name: "cpu-1000", about: "the same with 1,000 connections", measure: cpu::more },
    Row { name: "cpu-10000", about: "the same with 10,000 connections", measure: cpu::many },
    Row {
        name: "cpu-50x16",
        about: "the same with 50 connections and 16 messages in flight on each",
        measure: cpu::pipelined,
    },
    Row {
        name: "growth",
        about: "processor time per message: 10,000 connections against 50",
        measure: cpu::growth,
    },
    Row { name: "udp", about: "datagrams answered per second", measure: udp::measure },
    Row { name: "storm", about: "19,000 connections opened at the same time", measure: storm::measure },
    Row { name: "generator-rate", about: "messages per second of `load`", measure: generator::rate },
    Row { name: "generator-lag", about: "how late `load` sends on a schedule", measure: generator::lag },
    Row { name: "generator-memory", about: "memory of `load` per connection", measure: generator::memory },
    Row { name: "sizes", about: "size on disk and memory at start, of both builds", measure: sizes::measure },
    Row { name: "scaling", about: "one process against two that share a port", measure: scaling::measure },
];

/// The list of rows for `--help`.
pub(crate) fn list() -> String {
    ROWS.iter().fold("Rows:\n".to_owned(), |list, row| list + &format!("  {:17} {}\n", row.name, row.about))
}
