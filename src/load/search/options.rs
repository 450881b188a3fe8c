//! The options of a search, and which of them can be combined.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::load::options::LoadOptions;
use crate::load::stats::threshold::Threshold;
use crate::report::record::seconds;

/// What is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Quantity {
    /// The largest rate of an open loop, in messages per second.
    Rate,
    /// The largest number of connections.
    Connections,
}

/// The options of a search. As JSON, the keys are the names on the command line, beside those of the first step.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct SearchOptions {
    /// What is searched for.
    pub find: Quantity,
    /// The conditions of `--until`, none of which may hold.
    #[serde(serialize_with = "as_text")]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub until: Vec<Threshold>,
    /// How long each step sends messages, or holds connections, in seconds.
    #[serde(rename = "step_seconds", serialize_with = "seconds")]
    #[cfg_attr(test, schemars(with = "f64"))]
    pub step: Duration,
    /// The options of the first step.
    #[serde(flatten)]
    pub first: LoadOptions,
}

impl SearchOptions {
    /// A search that begins with the rate or the connections of `first`.
    pub(crate) fn new(find: Quantity, until: Vec<Threshold>, step: Duration, first: LoadOptions) -> Self {
        let has_rate = first.rate.is_some() || !first.rate_stages.is_empty();
        let rate = if find == Quantity::Rate && !has_rate { Some(RATE_START) } else { first.rate };
        Self { find, until, step, first: LoadOptions { rate, duration: step, ..first } }
    }

    /// The number that the search begins with.
    pub(crate) fn start(&self) -> u64 {
        match self.find {
            Quantity::Rate => self.first.rate.unwrap_or_default(),
            Quantity::Connections => self.first.connections.into(),
        }
    }

    /// The smallest number to try.
    pub(crate) fn min(&self) -> u64 {
        let idle = u64::from(self.first.heartbeat.is_some());
        match self.find {
            Quantity::Rate => 1,
            Quantity::Connections => (u64::from(self.first.active.unwrap_or(0)) + idle).max(1),
        }
    }

    /// The options of a step with `value`.
    pub(crate) fn at(&self, value: u64) -> LoadOptions {
        let step = LoadOptions { awaits_close: true, ..self.first.clone() };
        match self.find {
            Quantity::Rate => LoadOptions { rate: Some(value), ..step },
            Quantity::Connections => {
                LoadOptions { connections: u32::try_from(value).unwrap_or(u32::MAX), ..step }
            }
        }
    }

    /// Checks that the options can be combined, except for what each run checks.
    ///
    /// # Errors
    /// One line that names those that cannot.
    pub(crate) fn check(&self) -> Result<(), String> {
        let refuse = |line: &str| Err(line.to_owned());
        let first = &self.first;
        let stages = [&first.rate_stages, &first.active_stages, &first.open_rate_stages];
        if stages.iter().any(|stages| !stages.is_empty()) {
            return refuse("--find: stages of --rate, --active and --open-rate do not apply");
        }
        if self.step < STEP_MIN {
            return refuse("--step must be at least 100ms");
        }
        match self.find {
            Quantity::Rate if first.target.is_hold() => {
                return refuse("hold sends nothing: --find rate requires a service, tcp= or udp=");
            }
            Quantity::Rate if self.until.is_empty() => {
                return refuse("--find rate requires --until, as in --until 'p99>5ms'");
            }
            Quantity::Connections if first.one_shot => {
                return refuse("each message has its own connection: --find connections does not apply");
            }
            Quantity::Rate | Quantity::Connections => {}
        }
        let model = first.load_model();
        for until in &self.until {
            let refused = |why| format!("--until {until}: {} is not measured: {why}", until.metric());
            until.check_measured(model, first.target.is_datagrams()).map_err(refused)?;
        }
        Ok(())
    }

    /// Whether nothing that the search looks at depends on the speed of the generator.
    pub(crate) fn is_of_server(&self) -> bool {
        self.find == Quantity::Connections && self.until.iter().all(Threshold::is_of_server)
    }
}

fn as_text<S: Serializer>(until: &[Threshold], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(until.iter().map(ToString::to_string))
}

/// The rate that a search begins with by default.
pub(crate) const RATE_START: u64 = 1000;

/// The largest number to try, as of the options.
pub(crate) const MAX: u64 = 100_000_000;

/// Shorter steps measure little.
const STEP_MIN: Duration = Duration::from_millis(100);
