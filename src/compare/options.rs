//! The options of `compare`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::analysis::baseline::FailIf;
use super::analysis::verdict::Looks;
use super::server::{MODELS, Server, With};
use crate::report::record::seconds;
use crate::service::{Definition, message};

/// The options of a comparison. As JSON, the keys are the names on the command line, with their unit.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct CompareOptions {
    /// Workloads.
    #[serde(rename = "workload")]
    pub workloads: Vec<Workload>,
    /// Numbers of connections; `max` is the most that this machine can serve and drive.
    pub connections: Vec<Count>,
    /// Measured time of each run, in seconds.
    #[serde(rename = "duration_seconds", serialize_with = "seconds")]
    #[cfg_attr(test, schemars(with = "f64"))]
    pub duration: Duration,
    /// Time before that in which messages are sent but not measured, in seconds.
    #[serde(rename = "warmup_seconds", serialize_with = "seconds")]
    #[cfg_attr(test, schemars(with = "f64"))]
    pub warmup: Duration,
    /// Runs of each model in each scenario of the closed loop.
    pub repeats: u32,
    /// Runs of each model in each scenario of the open loop.
    pub open_repeats: u32,
    /// Messages per second in the open loop; null: half the rate of the slowest server in the closed loop.
    pub rate: Option<u64>,
    /// Number of processors for the server; null: all but the generator's.
    pub server_cores: Option<usize>,
    /// Time limit of the whole comparison, in seconds: what does not fit is not measured; null: none.
    #[serde(rename = "budget_seconds", serialize_with = "optional_seconds")]
    #[cfg_attr(test, schemars(with = "Option<f64>"))]
    pub budget: Option<Duration>,
    /// Time until which scenarios that are not decided get more pairs of runs, in seconds; null: they get none.
    #[serde(rename = "more_pairs_until_seconds", serialize_with = "optional_seconds")]
    #[cfg_attr(test, schemars(with = "Option<f64>"))]
    pub more_pairs_until: Option<Duration>,
    /// An earlier result to compare with; null: none.
    pub baseline: Option<PathBuf>,
    /// The condition under which that fails; null: none.
    pub fail_if: Option<FailIf>,
    /// The commands of the further servers.
    pub with: Vec<&'static With>,
    /// The service, which is on TCP and keeps the stream open.
    #[serde(skip)]
    pub service: &'static Definition,
    /// The program that serves, which is this one.
    #[serde(skip)]
    pub program: PathBuf,
}

impl CompareOptions {
    /// The defaults.
    #[must_use]
    pub(crate) fn full(program: PathBuf) -> Self {
        Self {
            workloads: Workload::ALL.to_vec(),
            connections: [1, 10, 100, 1000, 10_000]
                .map(Count::UpTo)
                .into_iter()
                .chain([Count::Max])
                .collect(),
            duration: Duration::from_millis(500),
            warmup: Duration::from_millis(150),
            repeats: 3,
            open_repeats: 3,
            rate: None,
            server_cores: None,
            budget: Some(FULL_TIME),
            more_pairs_until: Some(FULL_TIME),
            baseline: None,
            fail_if: None,
            with: Vec::new(),
            service: &message::DEFINITION,
            program,
        }
    }

    /// The defaults of `--quick`: fewer connections, fewer and shorter runs.
    #[must_use]
    pub(crate) fn quick(program: PathBuf) -> Self {
        Self {
            connections: [1, 10, 100, 1000].map(Count::UpTo).to_vec(),
            duration: Duration::from_millis(150),
            warmup: Duration::from_millis(50),
            repeats: 2,
            open_repeats: 1,
            budget: Some(QUICK_TIME),
            more_pairs_until: Some(QUICK_TIME),
            ..Self::full(program)
        }
    }
}

impl CompareOptions {
    /// The servers that are compared, the loop first.
    pub(super) fn servers(&self) -> Vec<Server> {
        MODELS.into_iter().chain(self.with.iter().copied().map(Server::With)).collect()
    }

    /// At which numbers of pairs there is a verdict.
    pub(super) fn looks(&self) -> Looks {
        match self.more_pairs_until {
            Some(_) => Looks::Repeated { planned: self.repeats as usize },
            None => Looks::Once,
        }
    }
}

/// The time of a comparison with the default options, at most.
const FULL_TIME: Duration = Duration::from_secs(9 * 60);

/// The same with `--quick`.
const QUICK_TIME: Duration = Duration::from_secs(60);

/// A number of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Count {
    /// The most that this machine can serve and drive.
    Max,
    /// This number.
    #[serde(untagged)]
    Exactly(u32),
    /// This number, if the machine can serve and drive as many.
    #[serde(untagged)]
    UpTo(u32),
}

#[expect(clippy::ref_option, reason = "serde calls it with a reference to the field")]
fn optional_seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => seconds(time, serializer),
        None => serializer.serialize_none(),
    }
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// All connections send.
    AllActive,
    /// One connection in a hundred sends, the others are idle.
    FewActive,
    /// Connect, one message, close, and again.
    Churn,
    /// All connections send messages of 64 KiB.
    LargeBodies,
    /// All connections send, with 16 messages in flight.
    Pipelined,
}

impl Workload {
    /// All workloads.
    pub(crate) const ALL: [Self; 5] =
        [Self::AllActive, Self::FewActive, Self::Churn, Self::LargeBodies, Self::Pipelined];

    /// The name, as in `--workload`.
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

    /// The description for tables and pages.
    #[must_use]
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::AllActive => "all connections active",
            Self::FewActive => "one connection in a hundred active, the others idle",
            Self::Churn => "a connection for each message",
            Self::LargeBodies => "messages of 64 KiB",
            Self::Pipelined => "16 messages in flight on each connection",
        }
    }

    /// Whether the workload measures the server with this number of connections, and not the memory of the
    /// generator or ports in `TIME_WAIT`.
    pub(super) fn allows(self, connections: u32) -> bool {
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
    fn a_count_is_a_number_or_max() {
        assert_eq!("10".parse(), Ok(Count::Exactly(10)));
        assert_eq!("max".parse(), Ok(Count::Max));
        assert!("0".parse::<Count>().is_err() && "many".parse::<Count>().is_err());
    }

    #[test]
    fn workloads_are_parsed_from_their_names() {
        for workload in Workload::ALL {
            assert_eq!(workload.name().parse(), Ok(workload));
        }
        assert!("idle".parse::<Workload>().unwrap_err().contains("expected one of all-active, few-active"));
    }
}
