//! How many connections this machine allows each model and the generator, and the name of the limit.

use std::collections::BTreeMap;
use std::path::Path;

use crate::compare::server::Server;
use crate::doctor::{Capacity, Machine, Role, diagnose};
use crate::load::error_kind::OpenLimit;
use crate::report::format;

/// The capacities that `doctor` finds before the comparison.
pub(crate) struct Capacities {
    pub(super) by_role: BTreeMap<Role, Capacity>,
}

impl Capacities {
    /// Reads the limits of this machine.
    pub(super) fn read() -> Self {
        Self { by_role: diagnose(&Machine::read(Path::new("/")), None).capacities }
    }

    /// The most connections that one of the models can serve and that can be driven from here.
    pub(super) fn connections_max(&self) -> Option<u32> {
        let connections = |role| self.by_role.get(&role)?.connections;
        let served = connections(Role::Serve)?.max(connections(Role::ServeThreads)?);
        u32::try_from(served.min(connections(Role::Drive)?)).ok()
    }

    /// Why `asked` connections are too many.
    pub(super) fn excess(&self, asked: u32) -> String {
        let most = self.connections_max().unwrap_or_default();
        let mut by = self.by_role.values().filter(|capacity| capacity.connections == Some(most.into()));
        let limit = by.find_map(|capacity| capacity.limited_by);
        let limit = limit.map_or_else(String::new, |limit| format!(" ({limit})"));
        format!(
            "--connections {asked}: at most {} on this machine{limit}; `loopline doctor` shows how to raise it",
            format::count(most.into())
        )
    }

    /// The name of the limit that kept `server` from having more connections. `limit` is what the generator saw.
    pub(super) fn limit_name(&self, server: Server, limit: OpenLimit) -> String {
        let role = match server {
            Server::Loop => Some(Role::Serve),
            Server::Threads => Some(Role::ServeThreads),
            Server::With(_) => None,
        };
        match limit {
            OpenLimit::ServerCap => {
                let binding = role.and_then(|role| self.by_role.get(&role)?.limited_by);
                binding.unwrap_or("connections of the server").into()
            }
            OpenLimit::Descriptors | OpenLimit::Ports => format!("{limit} of the generator"),
            OpenLimit::Source
            | OpenLimit::Memory
            | OpenLimit::Refused
            | OpenLimit::Backlog
            | OpenLimit::Unreachable => limit.to_string(),
        }
    }
}
