//! How many connections the machine allows to whom, and the name of what stops a model.

use std::path::Path;

use crate::doctor::{Machine, Role, Verdict, diagnose};
use crate::server::options::Model;

/// What `doctor` says before the comparison.
pub(crate) struct Limits {
    pub(super) verdicts: Vec<(Role, Verdict)>,
}

impl Limits {
    /// Of this machine, now.
    pub(super) fn read() -> Self {
        Self { verdicts: diagnose(&Machine::read(Path::new("/")), None).verdicts.into_iter().collect() }
    }

    /// As many connections as can be served by one of the models, and driven from here.
    pub(super) fn most(&self) -> Option<u32> {
        let served = self.allowed(Role::Serve)?.max(self.allowed(Role::ServeThreads)?);
        u32::try_from(served.min(self.allowed(Role::Drive)?)).ok()
    }

    fn allowed(&self, role: Role) -> Option<u64> {
        self.of(role)?.connections
    }

    fn of(&self, role: Role) -> Option<&Verdict> {
        self.verdicts.iter().find(|(it, _)| *it == role).map(|(_, verdict)| verdict)
    }

    /// What kept `model` from having as many connections as were asked for, in words. `limited_by` is what the
    /// generator has seen of it.
    pub(super) fn name(&self, model: Model, limited_by: &'static str) -> String {
        let binding = |role| self.of(role).and_then(|verdict| verdict.limited_by);
        let role = match model {
            Model::Loop => Role::Serve,
            Model::Threads => Role::ServeThreads,
        };
        match limited_by {
            "server_cap" => binding(role).unwrap_or("connections of the server").into(),
            "descriptors" => "descriptors of the generator".into(),
            "ports" => "ports of the generator".into(),
            other => other.replace('_', " "),
        }
    }
}
