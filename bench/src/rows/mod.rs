//! The rows of the benchmark.

use anyhow::Result;

use crate::bench::Bench;
use crate::report::Section;

mod attack;
mod broadcast;
mod counts;
mod cpu;
mod generator;
mod journal;
mod large;
mod memory;
mod scaling;
mod sizes;
mod storm;
mod syscalls;
mod tail;
mod udp;
mod uring;

/// A part of the benchmark that can be run alone.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    measure: Measure,
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

type Measure = fn(&Bench, &mut Section) -> Result<()>;

const fn row(name: &'static str, about: &'static str, measure: Measure) -> Row {
    Row { name, about, measure }
}

/// All rows.
pub(crate) static ROWS: &[Row] = &[
    row("memory", "memory of the server per idle connection", memory::measure),
    row("syscalls", "system calls of the server per message", syscalls::measure),
    row("instructions", "instructions of the server per message, without the kernel", counts::instructions),
    row("allocations", "allocations of the server per message", counts::allocations),
    row("cpu-50", "processor time per message, messages per second: 50 connections", |bench, section| {
        cpu::compare(bench, section, 50, 1)
    }),
    row("cpu-1000", "the same with 1,000 connections", |bench, section| {
        cpu::compare(bench, section, 1000, 1)
    }),
    row("cpu-10000", "the same with 10,000 connections", |bench, section| {
        cpu::compare(bench, section, 10_000, 1)
    }),
    row("cpu-50x16", "the same with 50 connections and 16 messages in flight on each", |bench, section| {
        cpu::compare(bench, section, 50, 16)
    }),
    row("growth", "processor time per message: 10,000 connections against 50", cpu::growth),
    row(
        "journal-50x1",
        "processor time per message with a journal in a file: 50 connections",
        |bench, section| journal::written(bench, section, 50, 1),
    ),
    row("journal-1000x1", "the same with 1,000 connections", |bench, section| {
        journal::written(bench, section, 1000, 1)
    }),
    row(
        "journal-50x16",
        "the same with 50 connections and 16 messages in flight on each",
        |bench, section| journal::written(bench, section, 50, 16),
    ),
    row(
        "synced-50x1",
        "messages per second with a journal that is synced: 50 connections",
        |bench, section| journal::synced(bench, section, 50, 1),
    ),
    row("synced-1000x1", "the same with 1,000 connections", |bench, section| {
        journal::synced(bench, section, 1000, 1)
    }),
    row(
        "synced-50x16",
        "the same with 50 connections and 16 messages in flight on each",
        |bench, section| journal::synced(bench, section, 50, 16),
    ),
    row("large-64k", "processor time per byte with bodies of 64 KiB", |bench, section| {
        large::compare(bench, section, 64)
    }),
    row("large-1m", "the same with bodies of 1 MiB", |bench, section| large::compare(bench, section, 1024)),
    row("curve", "processor time per byte by the size of the body, from 1 KiB to 4 MiB", large::curve),
    row("uring", "processor time per message, beside a bare io_uring", uring::measure),
    row(
        "tail",
        "latency of 100 normal connections beside ones that are idle, drip, pipeline, send much or never read",
        tail::measure,
    ),
    row(
        "attack",
        "latency of 100 normal connections, and memory, beside thousands of hostile ones",
        attack::measure,
    ),
    row(
        "broadcast",
        "work of a chat room per copy of a line that 10,000 members receive",
        broadcast::measure,
    ),
    row("udp", "datagrams answered per second", udp::measure),
    row("storm", "19,000 connections opened at the same time", storm::measure),
    row("generator-rate", "messages per second of `load`", generator::rate),
    row("generator-churn", "connections per second of `load --one-shot`", generator::churn),
    row("generator-lag", "how late `load` sends on a schedule", generator::lag),
    row("generator-memory", "memory of `load` per connection", generator::memory),
    row("sizes", "size on disk and memory at start, of both builds", sizes::measure),
    row("scaling", "one to four processes that share a port", scaling::measure),
];

/// The list of rows for `--help`.
pub(crate) fn list() -> String {
    ROWS.iter().fold("Rows:\n".to_owned(), |list, row| list + &format!("  {:17} {}\n", row.name, row.about))
}
