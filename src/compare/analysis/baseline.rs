//! What has changed since an earlier result, and is not explained by the spread of the runs.
//!
//! The runs of two results have no pairs. The ratio of their geometric means has the interval of Welch's t test on the
//! logarithms of both.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::verdict::{MARGIN, Measure, quantile_once};
use crate::report::format;
use crate::report::record::SCHEMA;
use crate::units::float;

/// A result of `compare` as it was written.
#[derive(Debug, Deserialize)]
pub(crate) struct Stored {
    schema: u32,
    command: String,
    loopline: String,
    run: StoredRun,
    machine: BTreeMap<String, Value>,
    cells: Vec<StoredCell>,
    #[serde(default)]
    further: Vec<StoredFurther>,
}

#[derive(Debug, Deserialize)]
struct StoredRun {
    started_at: String,
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

/// What has changed since an earlier result.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Changes {
    /// When the earlier comparison began.
    pub started_at: String,
    /// What differs besides the measurements: machine, version and options, as sentences.
    pub differences: Vec<String>,
    /// The scenarios in both results, each with the ratio of a measure.
    pub measures: Vec<Change>,
    /// The scenarios that only the earlier result has.
    pub only_in_baseline: Vec<String>,
    /// The scenarios that only this result has.
    pub only_here: Vec<String>,
    /// The condition of `--fail-if`; null if not given.
    pub fail_if: Option<FailIf>,
    /// Whether that condition holds.
    pub failed: bool,
}

/// A measure in a scenario, now and before.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Change {
    /// The workload, the connections, the server and the load.
    pub scenario: String,
    /// What is compared.
    pub measure: Measure,
    /// The value now, divided by the value before: of the geometric means of the runs.
    pub ratio: f64,
    /// Lower end of the 95 % interval of the ratio.
    pub low: f64,
    /// Upper end of that interval.
    pub high: f64,
    /// Number of runs now.
    pub runs: usize,
    /// Number of runs before.
    pub baseline_runs: usize,
    /// What follows from the interval.
    pub direction: Direction,
}

/// What follows from the interval of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// Better, by 3 % or more: less CPU time, or more messages.
    Better,
    /// Worse, by 3 % or more.
    Worse,
    /// The difference is smaller than 3 %.
    Same,
    /// The interval is too wide.
    Undecided,
}

/// A condition under which the comparison with a baseline fails: in a scenario, the whole interval of the ratio of CPU
/// time a message is above 1 and this percentage.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(with = "String"))]
pub(crate) struct FailIf {
    percent: f64,
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
    fn scenarios(&self) -> BTreeMap<String, &CellRuns> {
        let is_rate_given = self.run.options.get("rate").is_some_and(|rate| !rate.is_null());
        let cells = self.cells.iter().chain(self.further.iter().flat_map(|it| &it.cells));
        let is_comparable = |cell: &&StoredCell| cell.load == "closed" || is_rate_given;
        let named = cells.filter(is_comparable).map(|cell| (cell.name(), &cell.runs));
        named.collect()
    }

    /// What differs besides the measurements.
    fn differences(&self, before: &Self) -> Vec<String> {
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

impl Changes {
    /// What has changed from `before` to `now`.
    pub(crate) fn between(before: &Stored, now: &Stored, fail_if: Option<FailIf>) -> Self {
        let (of_before, of_now) = (before.scenarios(), now.scenarios());
        let both = of_now.iter().filter_map(|(name, now)| Some((name, *of_before.get(name)?, *now)));
        let measures: Vec<Change> = both.flat_map(|(name, before, now)| changes(name, before, now)).collect();
        let only = |one: &BTreeMap<String, &CellRuns>, other: &BTreeMap<String, &CellRuns>| {
            one.keys().filter(|name| !other.contains_key(*name)).cloned().collect()
        };
        Self {
            started_at: before.run.started_at.clone(),
            differences: now.differences(before),
            only_in_baseline: only(&of_before, &of_now),
            only_here: only(&of_now, &of_before),
            fail_if,
            failed: fail_if.is_some_and(|fail_if| measures.iter().any(|it| fail_if.holds(it))),
            measures,
        }
    }

    /// Why the comparison fails, if the condition holds.
    pub(crate) fn failure(&self) -> Option<String> {
        let fail_if = self.fail_if?;
        let mut slower = self.measures.iter().filter(|it| fail_if.holds(it));
        let first = slower.next()?;
        let others = match slower.count() {
            0 => String::new(),
            others => format!(", and in {others} more"),
        };
        Some(format!("{fail_if}: {first}{others}"))
    }

    /// The lines of the text, the differences first.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("compared with the baseline of {}", self.started_at)];
        lines.extend(self.differences.iter().cloned());
        for direction in [Direction::Worse, Direction::Better] {
            lines.extend(self.in_direction(direction).map(|it| format!("{}: {it}", direction.name())));
        }
        let number = |direction| self.in_direction(direction).count();
        lines.push(format!(
            "of {} measures in both: {} worse, {} better, {} the same within {:.0} %, {} not decided",
            self.measures.len(),
            number(Direction::Worse),
            number(Direction::Better),
            number(Direction::Same),
            (MARGIN - 1.0) * 100.0,
            number(Direction::Undecided),
        ));
        for (what, names) in [("the baseline", &self.only_in_baseline), ("this result", &self.only_here)] {
            if !names.is_empty() {
                lines.push(format!("only in {what}: {}", names.join("; ")));
            }
        }
        lines
    }

    fn in_direction(&self, direction: Direction) -> impl Iterator<Item = &Change> {
        self.measures.iter().filter(move |it| it.direction == direction)
    }
}

/// Both measures of a scenario; one with fewer than two runs on a side is left out.
fn changes(scenario: &str, before: &CellRuns, now: &CellRuns) -> Vec<Change> {
    let measures = [
        (Measure::CpuPerMessage, &before.cpu_us_per_message[..], &now.cpu_us_per_message[..]),
        (Measure::Rate, &before.rate[..], &now.rate[..]),
    ];
    let change =
        |(measure, before, now): (Measure, &[f64], &[f64])| Change::of(scenario, measure, before, now);
    measures.into_iter().filter_map(change).collect()
}

impl Change {
    fn of(scenario: &str, measure: Measure, before: &[f64], now: &[f64]) -> Option<Self> {
        let ((mean_before, error_before), (mean_now, error_now)) = (mean_log(before)?, mean_log(now)?);
        let error = error_before + error_now;
        let part = |error: f64, runs: &[f64]| error.powi(2) / (float(runs.len() as u64) - 1.0);
        // Welch and Satterthwaite, rounded down.
        let degrees = error.powi(2) / (part(error_before, before) + part(error_now, now));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most the number of runs"
        )]
        let degrees = if degrees.is_finite() { (degrees as usize).max(1) } else { 1 };
        let (mean, half) = (mean_now - mean_before, quantile_once(degrees) * error.sqrt());
        let (low, high) = (mean - half, mean + half);
        let margin = MARGIN.ln();
        let is_less_better = measure == Measure::CpuPerMessage;
        let direction = match (low >= margin, high <= -margin) {
            (true, _) if is_less_better => Direction::Worse,
            (_, true) if !is_less_better => Direction::Worse,
            (true, _) | (_, true) => Direction::Better,
            _ if low >= -margin && high <= margin => Direction::Same,
            _ => Direction::Undecided,
        };
        Some(Self {
            scenario: scenario.into(),
            measure,
            ratio: mean.exp(),
            low: low.exp(),
            high: high.exp(),
            runs: now.len(),
            baseline_runs: before.len(),
            direction,
        })
    }
}

/// The mean of the logarithms, and its squared standard error; `None` with fewer than two runs, or one without a value.
fn mean_log(runs: &[f64]) -> Option<(f64, f64)> {
    let n = float(runs.len() as u64);
    let logs: Option<Vec<f64>> =
        runs.iter().map(|run| Some(run.ln()).filter(|log| log.is_finite())).collect();
    let logs = logs.filter(|logs| logs.len() >= 2)?;
    let mean = logs.iter().sum::<f64>() / n;
    let squares: f64 = logs.iter().map(|log| (log - mean).powi(2)).sum();
    Some((mean, squares / (n - 1.0) / n))
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [ratio, low, high] = [self.ratio, self.low, self.high].map(format::number);
        let Self { scenario, runs, baseline_runs, .. } = self;
        let measure = self.measure.name();
        write!(
            f,
            "{scenario}: {measure} is {ratio} times that of the baseline (95 % interval {low} to {high}, {runs} runs \
             against {baseline_runs})"
        )
    }
}

impl Direction {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Same => "the same",
            Self::Undecided => "not decided",
        }
    }
}

impl FailIf {
    fn holds(self, change: &Change) -> bool {
        change.measure == Measure::CpuPerMessage && change.low > 1.0 + self.percent / 100.0
    }
}

impl FromStr for FailIf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.strip_prefix("slower").map(str::trim_start).and_then(|it| it.strip_prefix('>'));
        let percent = percent.and_then(|it| it.trim().strip_suffix('%')).map(str::trim_end);
        let percent = percent.filter(|it| it.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
        let percent =
            percent.and_then(|it| it.parse().ok()).filter(|percent| (0.0..=1000.0).contains(percent));
        percent
            .map(|percent| Self { percent })
            .ok_or_else(|| "expected 'slower>N%', with N from 0 to 1000".into())
    }
}

impl fmt::Display for FailIf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slower>{}%", self.percent)
    }
}

impl Serialize for FailIf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests;
