//! The diagnosis as text: a table of the limits, and what follows from them.

use std::fmt::{self, Display, Formatter};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::diagnosis::{Diagnosis, LimitLift, Verdict};
use super::limit::Role;
use super::memory::ConnectionBytes;
use crate::report::format::count;

impl Display for Diagnosis {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for line in self.limits().lines() {
            writeln!(f, "{}", line.trim_end())?;
        }
        writeln!(f, "\nat once")?;
        for burst in &self.bursts {
            writeln!(f, "  {}: {}", burst.name, burst.says)?;
            burst.command.iter().try_for_each(|command| writeln!(f, "    {command}"))?;
        }
        writeln!(f, "\nbytes of memory an idle connection takes, of the kernel's and of the process's")?;
        for role in [Role::Serve, Role::ServeThreads, Role::Drive] {
            if let Some(ConnectionBytes { kernel, user }) = self.bytes_per_connection.get(&role) {
                writeln!(f, "  {}: {} and {}", role.short_name(), count(*kernel), count(*user))?;
            }
        }
        writeln!(f, "\n{NOTES}")?;
        if let Some(processors) = self.processors {
            writeln!(
                f,
                "Processors: {processors}. A process uses one; with --reuse-port several share a port."
            )?;
        }
        writeln!(f)?;
        for (role, verdict) in &self.verdicts {
            writeln!(f, "{}: {}", role.name(), verdict.in_words(self.asked))?;
        }
        self.say_lifts(f)
    }
}

const NOTES: &str = "\
At start the soft limit of descriptors is raised to the hard one. With both ends on this machine, they share
its memory and its open files.";

impl Diagnosis {
    /// Without lines, so that it is the same on a terminal and in a pipe.
    fn limits(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        let roles = Role::ALL.map(|role| role.short_name().to_owned());
        table.set_header(["limit".into(), "this machine".into()].into_iter().chain(roles));
        for limit in &self.limits {
            let allows = |role| limit.allows.get(&role).map_or_else(|| "-".into(), |number| count(*number));
            let numbers = Role::ALL.map(allows);
            table.add_row([limit.name.into(), limit.says.clone()].into_iter().chain(numbers));
        }
        for column in table.column_iter_mut() {
            let is_number = column.index >= 2;
            column.set_padding((0, 2));
            column.set_cell_alignment(if is_number { CellAlignment::Right } else { CellAlignment::Left });
        }
        table.to_string()
    }

    /// What lifts a limit for several roles is said once.
    fn say_lifts(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut lifts: Vec<(&LimitLift, Vec<&str>)> = Vec::new();
        for (role, verdict) in &self.verdicts {
            for lift in &verdict.lifts {
                // Nobody asked for a number, so one is enough.
                let same = |one: &LimitLift| {
                    one.limit == lift.limit && (self.asked.is_none() || one.lift == lift.lift)
                };
                match lifts.iter_mut().find(|(one, _)| same(one)) {
                    Some((_, roles)) => roles.push(role.short_name()),
                    None => lifts.push((lift, vec![role.short_name()])),
                }
            }
        }
        for (LimitLift { limit, target, lift, .. }, roles) in lifts {
            writeln!(f, "\nto lift {limit} to {} connections ({}):", count(*target), roles.join(", "))?;
            lift.commands.iter().try_for_each(|command| writeln!(f, "  {command}"))?;
            lift.advice.iter().try_for_each(|advice| writeln!(f, "  ({advice})"))?;
        }
        Ok(())
    }
}

impl Verdict {
    fn in_words(&self, asked: Option<u64>) -> String {
        let (Some(connections), Some(limit)) = (self.connections, self.limited_by) else {
            return "unknown".into();
        };
        let most = count(connections);
        match (asked.map(count), self.fits) {
            (Some(asked), Some(true)) => format!("yes, {asked} fit; at most {most} ({limit})"),
            (Some(asked), _) => format!("no, {asked} do not fit; at most {most} ({limit})"),
            (None, _) => format!("{most} connections ({limit})"),
        }
    }
}
