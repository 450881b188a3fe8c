//! A result of `compare` as it was written, as far as it is compared with another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::report::format;
use crate::report::record::SCHEMA;
use crate::units::float;

/// A result of `compare` as it was written.
#[derive(Debug, Deserialize)]
pub(crate) struct Stored {
    schema: u32,
    command: String,
    loopline: String,
    pub(super) run: StoredRun,
    machine: BTreeMap<String, Value>,
    cells: Vec<StoredCell>,
    #[serde(default)]
    further: Vec<StoredFurther>,
}

#[derive(Debug, Deserialize)]
pub(super) struct StoredRun {
    pub(super) started_at: String,
    host: Value,
    options: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct StoredFurther {
    cells: Vec<StoredCell>,
}

#[derive(Debug, Deserialize)]
struct StoredCell {
    workload: String,
    connections: u32,
    model: String,
    load: String,
    offered_rate: Option<u64>,
    #[serde(default)]
    runs: CellRuns,
}

/// What each run measured, in their order. Runs that do not count are left out.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct CellRuns {
    /// CPU time of the server per message, in microseconds.
    pub cpu_us_per_message: Vec<f64>,
    /// Messages acknowledged per second.
    pub rate: Vec<f64>,
}

impl Stored {
    /// # Errors
    /// Why `text` is no result of `compare`.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(text).map_err(|error| format!("not JSON: {error}"))?;
        Self::of(value)
    }

    /// The same of a record.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub(crate) fn of(value: Value) -> Result<Self, String> {
        if value["command"].as_str().is_some_and(|command| command != "compare") {
            return Err(format!("a result of {}, not of compare", value["command"]));
        }
        let it: Self =
            serde_json::from_value(value).map_err(|error| format!("not a result of compare: {error}"))?;
        if it.schema != SCHEMA || it.command != "compare" {
            return Err(format!("a result with schema {}, expected {SCHEMA}", it.schema));
        }
        Ok(it)
    }

    /// The runs of each scenario, by its name. The rate of an open loop follows from each comparison, unless it is given;
    /// what has another rate is another scenario.
    pub(super) fn scenarios(&self) -> BTreeMap<String, &CellRuns> {
        let is_rate_given = self.run.options.get("rate").is_some_and(|rate| !rate.is_null());
        let cells = self.cells.iter().chain(self.further.iter().flat_map(|it| &it.cells));
        let is_comparable = |cell: &&StoredCell| cell.load == "closed" || is_rate_given;
        let named = cells.filter(is_comparable).map(|cell| (cell.name(), &cell.runs));
        named.collect()
    }

    /// What differs besides the measurements.
    pub(super) fn differences(&self, before: &Self) -> Vec<String> {
        let mut all = Vec::new();
        let mut machine = (before.machine.clone(), self.machine.clone());
        machine.0.insert("host".into(), before.run.host.clone());
        machine.1.insert("host".into(), self.run.host.clone());
        all.extend(difference("the machine differs", &machine.0, &machine.1));
        if self.loopline != before.loopline {
            all.push(format!("the version differs: {}, now {}", before.loopline, self.loopline));
        }
        all.extend(difference("the options differ", &before.run.options, &self.run.options));
        all
    }
}

impl StoredCell {
    fn name(&self) -> String {
        let Self { workload, connections, model, .. } = self;
        let load =
            self.offered_rate.map_or_else(String::new, |rate| format!(", at {}", format::rate(float(rate))));
        format!("{workload}, {}, {model}{load}", format::connections((*connections).into()))
    }
}

/// The keys with other values; a missing one is null.
fn difference(what: &str, before: &BTreeMap<String, Value>, now: &BTreeMap<String, Value>) -> Option<String> {
    let keys = before.keys().chain(now.keys().filter(|key| !before.contains_key(*key)));
    let value = |of: &BTreeMap<String, Value>, key: &String| of.get(key).cloned().unwrap_or_default();
    let differing = keys
        .filter(|key| !["baseline", "fail_if"].contains(&&key[..]) && value(before, key) != value(now, key))
        .map(|key| format!("{key} {}, now {}", value(before, key), value(now, key)));
    let all: Vec<String> = differing.collect();
    (!all.is_empty()).then(|| format!("{what}: {}", all.join("; ")))
}
