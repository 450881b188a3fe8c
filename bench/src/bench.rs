//! What every row works with: the programs, where they run, how often and how long.

use std::ffi::OsString;

use anyhow::Result;

use crate::process::{Cores, Driven, Holder, Server, drive};
use crate::programs::{Program, Programs};
use crate::report::count;

pub(crate) struct Bench {
    pub(crate) programs: Programs,
    pub(crate) cores: Cores,
    pub(crate) pairs: usize,
    pub(crate) seconds: f64,
    pub(crate) quick: bool,
}

impl Bench {
    pub(crate) fn new(pairs: u16, seconds: f64, quick: bool) -> Result<Self> {
        rlimit::increase_nofile_limit(u64::MAX)?;
        let (pairs, seconds) = if quick { (1, 0.05) } else { (pairs.into(), seconds) };
        Ok(Self { programs: Programs::build()?, cores: Cores::share_out()?, pairs, seconds, quick })
    }

    /// So many, or a tenth of it when only that it works is asked.
    pub(crate) fn many(&self, count: usize) -> usize {
        if self.quick { count.div_ceil(10) } else { count }
    }

    pub(crate) fn start(&self, program: &Program) -> Result<Server> {
        Server::start(program, &self.cores.server)
    }

    /// Starts a server, drives it with `message` for the time of a run, and ends it.
    pub(crate) fn run(&self, program: &Program, load: Load) -> Result<Driven> {
        let server = self.start(program)?;
        self.drive(server.port, load, &Lasting::Seconds(self.seconds), &[&server])
    }

    /// Drives what listens at `port` with `message`, and measures the processor time of `servers`.
    pub(crate) fn drive(
        &self,
        port: u16,
        load: Load,
        lasting: &Lasting,
        servers: &[&Server],
    ) -> Result<Driven> {
        let arguments = load.arguments(port, lasting, servers);
        drive(self.closed_loop().as_os_str(), &arguments, &self.cores.driver)
    }

    /// Opens connections that are each answered once, and holds them.
    pub(crate) fn hold(&self, port: u16, connections: usize) -> Result<Holder> {
        let load = Load { connections, in_flight: 1 };
        let arguments = load.arguments(port, &Lasting::HeldAfter { rounds: 1 }, &[]);
        Holder::start(&self.closed_loop(), &arguments, &self.cores.driver)
    }

    fn closed_loop(&self) -> OsString {
        self.programs.driver("closed_loop").into_os_string()
    }
}

/// What the closed loop does at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    /// Messages on their way on each.
    pub(crate) in_flight: usize,
}

/// How long the closed loop runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lasting {
    Seconds(f64),
    /// Until every connection has been answered so often.
    Rounds(usize),
    HeldAfter {
        rounds: usize,
    },
}

impl Load {
    fn arguments(self, port: u16, lasting: &Lasting, servers: &[&Server]) -> Vec<String> {
        let (how, number) = match lasting {
            Lasting::Seconds(seconds) => ("for", seconds.to_string()),
            Lasting::Rounds(rounds) => ("rounds", rounds.to_string()),
            Lasting::HeldAfter { rounds } => ("hold", rounds.to_string()),
        };
        let fixed =
            [port.to_string(), self.connections.to_string(), self.in_flight.to_string(), how.into(), number];
        fixed.into_iter().chain(servers.iter().map(|server| server.pid().to_string())).collect()
    }

    /// `1,000 connections, one in flight`
    pub(crate) fn to_text(self) -> String {
        let in_flight = if self.in_flight == 1 { "one".into() } else { self.in_flight.to_string() };
        format!("{} connections, {in_flight} in flight", count(self.connections))
    }
}
