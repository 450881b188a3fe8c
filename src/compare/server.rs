//! The servers of a comparison: both models of this program, and those of other commands.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(with = "String"))]
pub(crate) enum Server {
    /// This program, with one event loop for all connections.
    Loop,
    /// This program, with a thread for each connection.
    Threads,
    /// Another command.
    With(&'static With),
}

/// A command that serves `message` at a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct With {
    /// The position on the command line, which is that of the column.
    #[serde(skip)]
    position: usize,
    /// The name.
    pub name: String,
    /// The command for a shell, in which `{port}` is the port.
    pub command: String,
}

impl Server {
    /// The name, as in `serve --model` or `--with`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::Threads => "threads",
            Self::With(with) => &with.name,
        }
    }

    /// The name in a sentence.
    pub(super) fn subject(self) -> &'static str {
        match self {
            Self::Loop => "the loop",
            Self::Threads => "threads",
            Self::With(with) => &with.name,
        }
    }

    /// The subject and `verb` in its third person: `the loop needs`, `threads need`.
    pub(super) fn does(self, verb: &str) -> String {
        let ending = if self == Self::Threads { "" } else { "s" };
        format!("{} {verb}{ending}", self.subject())
    }
}

impl Serialize for Server {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl With {
    /// Numbers `all` in their order, and keeps them for the rest of the process.
    ///
    /// # Errors
    /// If two have the same name.
    pub(crate) fn list(all: Vec<Self>) -> Result<Vec<&'static Self>, String> {
        let mut names = BTreeSet::new();
        if let Some(twice) = all.iter().find(|with| !names.insert(&with.name)) {
            return Err(format!("--with {}: the name is used twice", twice.name));
        }
        let number = |(position, with)| &*Box::leak(Box::new(Self { position, ..with }));
        Ok(all.into_iter().enumerate().map(number).collect())
    }

    /// The command that serves at `port`.
    pub(super) fn at_port(&self, port: u16) -> String {
        self.command.replace(PORT, &port.to_string())
    }
}

impl FromStr for With {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((name, command)) = text.split_once('=') else {
            return Err("expected NAME='COMMAND {port}'".into());
        };
        let is_plain = |it: char| it.is_ascii_alphanumeric() || "-_.".contains(it);
        if !name.starts_with(|first: char| first.is_ascii_alphanumeric())
            || !name.chars().all(is_plain)
            || name.len() > NAME_BYTES_MAX
        {
            return Err(format!(
                "'{name}' is not a name, expected letters, digits, '-', '_' and '.', at most {NAME_BYTES_MAX}, the \
                 first a letter or digit"
            ));
        }
        if MODELS.iter().any(|model| model.name() == name) {
            return Err(format!("'{name}' is the name of a model of this program"));
        }
        if !command.contains(PORT) {
            return Err(format!("the command of '{name}' has no {PORT}"));
        }
        Ok(Self { position: 0, name: name.into(), command: command.into() })
    }
}

/// Both models, in the order of the tables.
pub(super) const MODELS: [Server; 2] = [Server::Loop, Server::Threads];

/// What the port replaces in a command.
const PORT: &str = "{port}";

/// The name is also that of pictures, and a column of the table.
const NAME_BYTES_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_a_name_and_a_port() {
        let with: With = "tokio-1.0=server --at {port} x={port}".parse().unwrap();
        assert_eq!((&with.name[..], &with.at_port(80)[..]), ("tokio-1.0", "server --at 80 x=80"));
        for (text, why) in [
            ("server {port}", "expected NAME='COMMAND {port}'"),
            ("=server {port}", "'' is not a name"),
            ("-a=server {port}", "'-a' is not a name"),
            ("a/b=server {port}", "'a/b' is not a name"),
            ("a234567890123456789012345=server {port}", "at most 24"),
            ("loop=server {port}", "'loop' is the name of a model"),
            ("threads=server {port}", "'threads' is the name of a model"),
            ("other=server PORT", "the command of 'other' has no {port}"),
        ] {
            let error = text.parse::<With>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn commands_are_in_the_order_of_the_command_line_and_have_names_of_their_own() {
        let of = |name: &str| -> With { format!("{name}=server {{port}}").parse().unwrap() };
        let list = With::list(vec![of("b"), of("a")]).unwrap();
        let mut servers: Vec<Server> = list.into_iter().map(Server::With).collect();
        servers.sort();
        assert_eq!(servers.iter().map(|it| it.name()).collect::<Vec<_>>(), ["b", "a"]);
        let claims = [Server::Loop, Server::Threads, servers[0]].map(|it| it.does("need"));
        assert_eq!(claims, ["the loop needs", "threads need", "b needs"]);
        assert!(servers[0] > Server::Threads && Server::Loop < Server::Threads);
        assert_eq!(With::list(vec![of("a"), of("a")]), Err("--with a: the name is used twice".into()));
    }
}
