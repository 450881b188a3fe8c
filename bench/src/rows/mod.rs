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

/// Something that can be measured by itself.
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

/// All of them.
pub(crate) static ROWS: &[Row] = &[
    Row {
        name: "memory",
        about: "own memory of a server for each idle connection",
        measure: memory::measure,
    },
    Row { name: "syscalls", about: "system calls of a server for a message", measure: syscalls::measure },
    Row {
        name: "instructions",
        about: "instructions of a server for a message, without the kernel's",
        measure: counts::instructions,
    },
    Row { name: "allocations", about: "allocations of a server for a message", measure: counts::allocations },
    Row {
        name: "cpu-50",
        about: "processor time of a message, messages a second: 50 connections",
        measure: cpu::few,
    },
    Row { name: "cpu-1000", about: "the same: 1,000 connections", measure: cpu::more },
    Row { name: "cpu-10000", about: "the same: 10,000 connections", measure: cpu::many },
    Row {
        name: "cpu-50x16",
        about: "the same: 50 connections with 16 messages in flight on each",
        measure: cpu::pipelined,
    },
    Row {
        name: "growth",
        about: "processor time of a message with many connections and few",
        measure: cpu::growth,
    },
    Row { name: "udp", about: "datagrams answered", measure: udp::measure },
    Row { name: "storm", about: "connections opened at once", measure: storm::measure },
    Row { name: "generator-rate", about: "messages a second that `load` drives", measure: generator::rate },
    Row { name: "generator-lag", about: "how late `load` sends what is due", measure: generator::lag },
    Row {
        name: "generator-memory",
        about: "own memory of `load` for each connection",
        measure: generator::memory,
    },
    Row { name: "sizes", about: "the program, and the minimal build at its start", measure: sizes::measure },
    Row { name: "scaling", about: "one process, and two that share a port", measure: scaling::measure },
];

/// The rows and what they are about, a line each.
pub(crate) fn list() -> String {
    ROWS.iter().fold("Rows:\n".to_owned(), |list, row| list + &format!("  {:17} {}\n", row.name, row.about))
}
