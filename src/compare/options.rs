//! What a user can ask of `compare`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

/// What is asked of a comparison.
#[derive(Debug, Clone)]
pub(crate) struct CompareOptions {
    /// What connections do.
    pub workloads: Vec<Workload>,
    /// With how many.
    pub connections: Vec<Count>,
    /// How long messages are measured in each run.
    pub duration: Duration,
    /// How long they are sent before that.
    pub warmup: Duration,
    /// Runs of each model in each cell.
    pub repeats: u32,
    /// Messages a second in the open loop; `None` is half of what the slower model does in the closed one.
    pub rate: Option<u64>,
    /// Processors that the server may run on; all but the generator's if `None`.
    pub server_cores: Option<usize>,
    /// When it should be over. Where it will not be, repeats are left out, but for two.
    pub budget: Option<Duration>,
    /// The program that serves: this one.
    pub program: PathBuf,
}

impl CompareOptions {
    /// The whole comparison, by `program`.
    #[must_use]
    pub(crate) fn full(program: PathBuf) -> Self {
        Self {
            workloads: Workload::ALL.to_vec(),
            connections: [1, 10, 100, 1000, 10_000]
                .map(Count::Exactly)
                .into_iter()
                .chain([Count::Max])
                .collect(),
            duration: Duration::from_millis(500),
            warmup: Duration::from_millis(150),
            repeats: 5,
            rate: None,
            server_cores: None,
            budget: Some(Duration::from_secs(510)),
            program,
        }
    }

    /// A first look in less than a minute: fewer connections, fewer and shorter runs.
    #[must_use]
    pub(crate) fn quick(program: PathBuf) -> Self {
        Self {
            connections: [1, 10, 100, 1000].map(Count::Exactly).to_vec(),
            duration: Duration::from_millis(150),
            warmup: Duration::from_millis(50),
            repeats: 2,
            budget: Some(Duration::from_secs(50)),
            ..Self::full(program)
        }
    }
}

/// A number of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    /// So many.
    Exactly(u32),
    /// As many as this machine can serve and drive.
    Max,
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().parse() {
            Ok(0) => Err("it must be at least 1".into()),
            Ok(connections) => Ok(Self::Exactly(connections)),
            Err(_) if text.trim() == "max" => Ok(Self::Max),
            Err(_) => Err(format!("'{text}' is not a number of connections, expected a whole number or max")),
        }
    }
}

/// What connections do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// All of them send.
    AllActive,
    /// One in a hundred sends, the others are idle.
    FewActive,
    /// Connect, one message, close, and again.
    Churn,
    /// All send messages of 64 KiB.
    LargeBodies,
    /// All send, with 16 messages in flight each.
    Pipelined,
}

impl Workload {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::AllActive, Self::FewActive, Self::Churn, Self::LargeBodies, Self::Pipelined];

    /// As users write it.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AllActive => "all-active",
            Self::FewActive => "few-active",
            Self::Churn => "churn",
            Self::LargeBodies => "large-bodies",
            Self::Pipelined => "pipelined",
        }
    }

    /// As people read it.
    #[must_use]
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::AllActive => "all connections active",
            Self::FewActive => "one connection in a hundred active, the others idle",
            Self::Churn => "a connection for each message",
            Self::LargeBodies => "messages of 64 KiB",
            Self::Pipelined => "16 messages in flight on each connection",
        }
    }

    /// The numbers of connections at which it is a workload of its own and does not measure something else:
    /// the generator's memory, or ports in `TIME_WAIT`.
    pub(super) fn takes(self, connections: u32) -> bool {
        match self {
            Self::AllActive => true,
            Self::FewActive => connections >= 100,
            Self::Churn | Self::LargeBodies | Self::Pipelined => connections <= 1000,
        }
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|workload| workload.name() == text.trim()).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("unknown workload '{text}', expected one of {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_numbers_or_all_there_can_be() {
        assert_eq!("10".parse(), Ok(Count::Exactly(10)));
        assert_eq!("max".parse(), Ok(Count::Max));
        assert!("0".parse::<Count>().is_err() && "many".parse::<Count>().is_err());
    }

    #[test]
    fn workloads_are_known_by_their_names() {
        for workload in Workload::ALL {
            assert_eq!(workload.name().parse(), Ok(workload));
        }
        assert!("idle".parse::<Workload>().unwrap_err().contains("expected one of all-active, few-active"));
    }
}
