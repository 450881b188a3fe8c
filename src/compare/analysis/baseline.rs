//! What has changed since an earlier result, and is not explained by the spread of the runs.
//!
//! The runs of two results have no pairs. The ratio of their geometric means has the interval of Welch's t test on the
//! logarithms of both. There are many measures, and a single one decides the exit status, so they share the probability
//! of an error (Bonferroni).

mod change;
mod drift;
mod stored;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

pub(crate) use self::change::{Change, Direction, times};
use self::drift::Drift;
pub(crate) use self::stored::{CellRuns, Stored};
use super::verdict::{MARGIN, Measure};
use crate::units::float;

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
    /// The least probability that all intervals of `measures` contain the true ratio, 0 to 1.
    pub confidence: f64,
    /// The probability of each interval alone, which is greater, since there are many; 0 to 1.
    pub confidence_each: f64,
    /// The scenarios that only the earlier result has.
    pub only_in_baseline: Vec<String>,
    /// The scenarios that only this result has.
    pub only_here: Vec<String>,
    /// The condition of `--fail-if`; null if not given.
    pub fail_if: Option<FailIf>,
    /// Whether that condition holds.
    pub failed: bool,
}

/// A condition under which the comparison with a baseline fails: in a scenario, the whole interval of the ratio of CPU
/// time a message is above 1 and this percentage.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(with = "String"))]
pub(crate) struct FailIf {
    percent: f64,
}

impl Changes {
    /// What has changed from `before` to `now`.
    pub(crate) fn between(before: &Stored, now: &Stored, fail_if: Option<FailIf>) -> Self {
        let (of_before, of_now) = (before.scenarios(), now.scenarios());
        let (measures, confidence_each) = measures(&of_before, &of_now);
        let only = |one: &Scenarios<'_>, other: &Scenarios<'_>| {
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
            confidence: CONFIDENCE,
            confidence_each,
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

    /// Why the condition cannot be judged; `None` if it is, or if there is none.
    pub(crate) fn not_judged(&self, is_interrupted: bool) -> Option<&'static str> {
        self.fail_if?;
        if self.measures.is_empty() {
            return Some("--fail-if: no scenario is in both results with two runs or more");
        }
        is_interrupted.then_some("--fail-if: the comparison was interrupted")
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
        lines.extend(self.intervals());
        for (what, names) in [("the baseline", &self.only_in_baseline), ("this result", &self.only_here)] {
            if !names.is_empty() {
                lines.push(format!("only in {what}: {}", names.join("; ")));
            }
        }
        lines
    }

    /// What the intervals mean; `None` if there are none.
    pub(crate) fn intervals(&self) -> Option<String> {
        let (all, each) = (self.confidence * 100.0, self.confidence_each * 100.0);
        let number = self.measures.len();
        (number > 0).then(|| {
            format!("the intervals contain all {number} ratios in {all} % of comparisons: each is one of {each:.2} %")
        })
    }

    fn in_direction(&self, direction: Direction) -> impl Iterator<Item = &Change> {
        self.measures.iter().filter(move |it| it.direction == direction)
    }
}

/// The measures of the scenarios in both, in the order of their names, and the confidence of each interval. What has
/// fewer than two runs on a side is left out.
fn measures(before: &Scenarios<'_>, now: &Scenarios<'_>) -> (Vec<Change>, f64) {
    let drifts =
        MEASURES.map(|(_, pick)| [before, now].map(|of| Drift::of(of.values().map(|runs| pick(runs)))));
    let changes = |error| -> Vec<Change> {
        let both = now.iter().filter_map(|(name, now)| Some((name, [*before.get(name)?, *now])));
        let of_scenario = both.flat_map(|(name, runs)| {
            let all = MEASURES.into_iter().zip(drifts);
            all.filter_map(move |((measure, pick), drifts)| {
                Change::of(name, measure, runs.map(pick), drifts, error)
            })
        });
        of_scenario.collect()
    };
    // How many there are does not depend on their width.
    let error_each = (1.0 - CONFIDENCE) / float(changes(1.0).len().max(1) as u64);
    (changes(error_each), 1.0 - error_each)
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

/// The runs of each scenario, by its name.
type Scenarios<'a> = BTreeMap<String, &'a CellRuns>;

/// The runs of a measure.
type Pick = fn(&CellRuns) -> &[f64];

/// What is compared, the more robust one first.
const MEASURES: [(Measure, Pick); 2] =
    [(Measure::CpuPerMessage, |runs| &runs.cpu_us_per_message), (Measure::Rate, |runs| &runs.rate)];

/// Of all intervals together.
const CONFIDENCE: f64 = 0.95;

#[cfg(test)]
mod tests;
