//! What every limit is: a fact, the connections that it allows to each role, and what lifts it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fact::Fact;
use super::machine::Machine;

/// What a machine does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// `serve`, by one event loop.
    Serve,
    /// `serve --model threads`.
    ServeThreads,
    /// Opening them to one address and port on loopback, where sources are spread over 127.0.0.0/8.
    Drive,
    /// Opening them to one address and port elsewhere, from one source address.
    DriveBeyond,
}

impl Role {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Serve, Self::ServeThreads, Self::Drive, Self::DriveBeyond];

    /// As people read it.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::ServeThreads => "serve --model threads",
            Self::Drive => "drive",
            Self::DriveBeyond => "drive beyond loopback, from one address",
        }
    }

    /// As it stands above a column.
    pub(super) fn short_name(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::ServeThreads => "threads",
            Self::Drive => "drive",
            Self::DriveBeyond => "beyond",
        }
    }
}

/// A limit of the machine, as far as it bounds how many connections there can be.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Limit {
    /// What is limited.
    pub name: &'static str,
    /// What the machine says of it.
    pub says: String,
    /// Connections that it allows to each role that it bounds.
    pub allows: BTreeMap<Role, u64>,
    /// What makes it allow so many to a role.
    #[serde(skip)]
    pub(super) lift: fn(&Machine, Role, u64) -> Lift,
}

/// What lifts a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Lift {
    /// Commands for a shell, to be run in this order.
    pub commands: Vec<String>,
    /// What else there is to do or to know.
    pub advice: Option<String>,
}

impl Lift {
    pub(super) fn by(command: String) -> Self {
        Self { commands: vec![command], advice: None }
    }

    pub(super) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// What a role needs of something: so much to begin with, and so much for each connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    pub(super) base: u64,
    pub(super) each: u64,
}

impl Need {
    /// Connections for which there is enough in `available`.
    pub(super) fn connections(self, available: u64) -> u64 {
        available.saturating_sub(self.base) / self.each
    }

    /// What so many connections take.
    pub(super) fn of(self, connections: u64) -> u64 {
        connections.saturating_mul(self.each).saturating_add(self.base)
    }
}

/// What `available` allows to each role that needs some of it.
pub(super) fn allowed(
    available: Option<u64>,
    connections: impl Fn(Role, u64) -> Option<u64>,
) -> BTreeMap<Role, u64> {
    let allowed = |available| Role::ALL.map(|role| Some((role, connections(role, available)?)));
    available.into_iter().flat_map(allowed).flatten().collect()
}

/// What is left of a limit of which some may be used already.
pub(super) fn left(max: Fact<u64>, used: Fact<u64>) -> Option<u64> {
    max.known().map(|max| max.saturating_sub(used.known().unwrap_or(0)))
}

/// `sysctl -w`, as whoever runs this may run it.
pub(super) fn sysctl(machine: &Machine, name: &str, value: impl std::fmt::Display) -> String {
    let value = value.to_string();
    let quote = if value.contains(' ') { "\"" } else { "" };
    format!("{}sysctl -w {name}={quote}{value}{quote}", sudo(machine))
}

pub(super) fn sudo(machine: &Machine) -> &'static str {
    if machine.is_root { "" } else { "sudo " }
}

/// Settings are commonly powers of two.
pub(super) fn round_up(number: u64) -> u64 {
    number.checked_next_power_of_two().unwrap_or(number)
}
