//! The diagnosis as text: a table of the limits, the capacities, and how to raise them.

use std::fmt::{self, Display, Formatter};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::diagnosis::{Capacity, Diagnosis, LimitRemedy};
use super::limit::Role;
use super::memory::ConnectionBytes;
use crate::report::format::count;

impl Display for Diagnosis {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for line in self.limits().lines() {
            writeln!(f, "{}", line.trim_end())?;
        }
        writeln!(f, "\nlimits on simultaneous activity")?;
        for limit in &self.burst_limits {
            writeln!(f, "  {}: {}", limit.name, limit.description)?;
            limit.command.iter().try_for_each(|command| writeln!(f, "    {command}"))?;
        }
        writeln!(f, "\nmemory of an idle connection, in bytes")?;
        for role in [Role::Serve, Role::ServeThreads, Role::Drive] {
            if let Some(ConnectionBytes { kernel, user }) = self.bytes_per_connection.get(&role) {
                writeln!(
                    f,
                    "  {}: {} in the kernel, {} in the process",
                    role.short_name(),
                    count(*kernel),
                    count(*user)
                )?;
            }
        }
        writeln!(f, "\n{NOTES}")?;
        if let Some(processors) = self.processors {
            writeln!(
                f,
                "Processors: {processors}. A process uses one; with --reuse-port, several processes share a port."
            )?;
        }
        writeln!(f)?;
        for (role, capacity) in &self.capacities {
            writeln!(f, "{}: {}", role.name(), capacity.sentence(self.asked))?;
        }
        self.write_remedies(f)
    }
}

const NOTES: &str = "\
The columns of the table are the connections that a limit allows: serve (the event loop), threads (serve --model
threads), drive (a load generator, on loopback), drive remote (the same, to one remote address and port).
The soft limit of descriptors is raised to the hard limit at startup. A server and a load generator on the same
machine share its memory and its open files.";

impl Diagnosis {
    /// The table of limits, without borders, so that it is the same on a terminal and in a pipe.
    fn limits(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        let roles = Role::ALL.map(|role| role.short_name().to_owned());
        table.set_header(["limit".into(), "this machine".into()].into_iter().chain(roles));
        for limit in &self.limits {
            let allows = |role| limit.allows.get(&role).map_or_else(|| "-".into(), |number| count(*number));
            let numbers = Role::ALL.map(allows);
            table.add_row([limit.name.into(), limit.description.clone()].into_iter().chain(numbers));
        }
        for column in table.column_iter_mut() {
            let is_number = column.index >= 2;
            column.set_padding((0, 2));
            column.set_cell_alignment(if is_number { CellAlignment::Right } else { CellAlignment::Left });
        }
        table.to_string()
    }

    /// A remedy that several roles share is written once.
    fn write_remedies(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut remedies: Vec<(&LimitRemedy, Vec<&str>)> = Vec::new();
        for (role, capacity) in &self.capacities {
            for remedy in &capacity.remedies {
                let same = |one: &LimitRemedy| {
                    one.limit == remedy.limit && (self.asked.is_none() || one.remedy == remedy.remedy)
                };
                match remedies.iter_mut().find(|(one, _)| same(one)) {
                    Some((_, roles)) => roles.push(role.short_name()),
                    None => remedies.push((remedy, vec![role.short_name()])),
                }
            }
        }
        if self.asked.is_none() && !remedies.is_empty() {
            writeln!(
                f,
                "\nexamples of raising the lowest limits; --connections N prints the commands for N connections"
            )?;
        }
        for (LimitRemedy { limit, target, remedy, .. }, roles) in remedies {
            writeln!(f, "\nto raise {limit} to {} connections ({}):", count(*target), roles.join(", "))?;
            remedy.commands.iter().try_for_each(|command| writeln!(f, "  {command}"))?;
            remedy.advice.iter().try_for_each(|advice| writeln!(f, "  ({advice})"))?;
        }
        Ok(())
    }
}

impl Capacity {
    fn sentence(&self, asked: Option<u64>) -> String {
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
