//! What all rows share: the programs, their processors, the number and the length of runs.

use std::ffi::OsString;

use anyhow::Result;

use crate::process::{Cores, Driven, Process, Server, drive, hold};
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
        Ok(Self { programs: Programs::build()?, cores: Cores::assign()?, pairs, seconds, quick })
    }

    /// `count`, or a tenth of it with `--quick`.
    pub(crate) fn scaled(&self, count: usize) -> usize {
        if self.quick { count.div_ceil(10) } else { count }
    }

    /// The load of a row; more than 50 connections are [`scaled`](Self::scaled).
    pub(crate) fn load(&self, connections: usize, in_flight: usize) -> Load {
        Load { connections: if connections > 50 { self.scaled(connections) } else { connections }, in_flight }
    }

    pub(crate) fn start(&self, program: &Program) -> Result<Server> {
        Server::start(program, &self.cores.server)
    }

    /// Starts a server, drives it with `message` for the time of a run, and stops it.
    pub(crate) fn run(&self, program: &Program, load: Load) -> Result<Driven> {
        let server = self.start(program)?;
        self.drive(server.port, load, &Until::Seconds(self.seconds), &[&server])
    }

    /// Drives the server at `port` with `message`, and measures the processor time of `servers`.
    pub(crate) fn drive(&self, port: u16, load: Load, until: &Until, servers: &[&Server]) -> Result<Driven> {
        let arguments = load.arguments(port, until, servers);
        drive(self.closed_loop().as_os_str(), &arguments, &self.cores.driver)
    }

    /// Drives the chat room at `port`, in which each connection of `load` is a member and one of them sends. Messages are
    /// the copies that all members receive.
    pub(crate) fn broadcast(
        &self,
        port: u16,
        load: Load,
        until: &Until,
        servers: &[&Server],
    ) -> Result<Driven> {
        let arguments = load.arguments(port, until, servers);
        drive(self.programs.driver("broadcast").as_os_str(), &arguments, &self.cores.driver)
    }

    /// Opens connections to a chat room, publishes one line, and holds them open, as members that read nothing more.
    pub(crate) fn hold_members(&self, port: u16, connections: usize) -> Result<Process> {
        let load = Load { connections, in_flight: 1 };
        let arguments = load.arguments(port, &Until::HeldAfter { rounds: 1 }, &[]);
        hold(self.programs.driver("broadcast").as_os_str(), &arguments, &self.cores.driver)
    }

    /// Opens connections, gets one reply on each, and holds them open.
    pub(crate) fn hold(&self, port: u16, connections: usize) -> Result<Process> {
        let load = Load { connections, in_flight: 1 };
        let arguments = load.arguments(port, &Until::HeldAfter { rounds: 1 }, &[]);
        hold(&self.closed_loop(), &arguments, &self.cores.driver)
    }

    fn closed_loop(&self) -> OsString {
        self.programs.driver("closed_loop").into_os_string()
    }
}

/// The concurrency of the closed loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    /// Messages in flight on each connection.
    pub(crate) in_flight: usize,
}

/// The end of the closed loop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Seconds(f64),
    /// After this number of replies on every connection.
    Rounds(usize),
    HeldAfter {
        rounds: usize,
    },
}

impl Load {
    fn arguments(self, port: u16, until: &Until, servers: &[&Server]) -> Vec<String> {
        let (how, number) = match until {
            Until::Seconds(seconds) => ("for", seconds.to_string()),
            Until::Rounds(rounds) => ("rounds", rounds.to_string()),
            Until::HeldAfter { rounds } => ("hold", rounds.to_string()),
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
