//! A limit of the machine: its value, the connections that it allows each role, and how to raise it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fact::Fact;
use super::machine::Machine;

/// A way to use connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// `serve`, by one event loop.
    Serve,
    /// `serve --model threads`.
    ServeThreads,
    /// Opening connections to one address and port on loopback, from all of 127.0.0.0/8.
    Drive,
    /// Opening connections to one address and port elsewhere, from one source address.
    DriveBeyond,
}

impl Role {
    /// All roles.
    pub(crate) const ALL: [Self; 4] = [Self::Serve, Self::ServeThreads, Self::Drive, Self::DriveBeyond];

    /// The name in a sentence.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::ServeThreads => "serve --model threads",
            Self::Drive => "drive",
            Self::DriveBeyond => "drive a remote server, from one address",
        }
    }

    /// The name above a column.
    pub(super) fn short_name(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::ServeThreads => "threads",
            Self::Drive => "drive",
            Self::DriveBeyond => "drive remote",
        }
    }
}

/// A limit of the machine on the number of connections.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Limit {
    /// What is limited.
    pub name: &'static str,
    /// Its value on this machine, in words.
    #[serde(rename = "says")]
    pub description: String,
    /// Connections that it allows each role that it limits.
    pub allows: BTreeMap<Role, u64>,
    /// How to raise it to a number of connections of a role.
    #[serde(skip)]
    pub(super) remedy: fn(&Machine, Role, u64) -> Remedy,
}

/// How to raise a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Remedy {
    /// Commands for a shell, to be run in this order.
    pub commands: Vec<String>,
    /// What else to do; null if that is all.
    pub advice: Option<String>,
}

impl Remedy {
    pub(super) fn command(command: String) -> Self {
        Self { commands: vec![command], advice: None }
    }

    pub(super) fn with_advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// An amount that grows with the number of connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    pub(super) base: u64,
    pub(super) per_connection: u64,
}

impl Need {
    /// The connections for which `available` is enough.
    pub(super) fn connections(self, available: u64) -> u64 {
        available.saturating_sub(self.base) / self.per_connection
    }

    /// The amount for `connections`.
    pub(super) fn of(self, connections: u64) -> u64 {
        connections.saturating_mul(self.per_connection).saturating_add(self.base)
    }
}

/// The connections that `available` allows each role; `connections` returns `None` for a role without a limit.
pub(super) fn allowed(
    available: Option<u64>,
    connections: impl Fn(Role, u64) -> Option<u64>,
) -> BTreeMap<Role, u64> {
    let allowed = |available| Role::ALL.map(|role| Some((role, connections(role, available)?)));
    available.into_iter().flat_map(allowed).flatten().collect()
}

/// The unused part of a limit.
pub(super) fn left(max: Fact<u64>, used: Fact<u64>) -> Option<u64> {
    max.known().map(|max| max.saturating_sub(used.known().unwrap_or(0)))
}

/// A `sysctl -w` command, with `sudo` unless this process runs as root.
pub(super) fn sysctl(machine: &Machine, name: &str, value: impl std::fmt::Display) -> String {
    let value = value.to_string();
    let quote = if value.contains(' ') { "\"" } else { "" };
    format!("{}sysctl -w {name}={quote}{value}{quote}", sudo(machine))
}

pub(super) fn sudo(machine: &Machine) -> &'static str {
    if machine.is_root { "" } else { "sudo " }
}

/// The next power of two, as is usual for settings.
pub(super) fn round_up(number: u64) -> u64 {
    number.checked_next_power_of_two().unwrap_or(number)
}
