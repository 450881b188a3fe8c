//! What an option is over time: stages, each with a number or a ramp from one number to another.
//!
//! Lengths are whole milliseconds, so the integral of a rate over a stage is a whole number of parts of a message
//! ([`PARTS`]), and sums of stages are exact.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::units::{float, parse_duration};

/// A stage: a number, or a linear ramp from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct LoadStage {
    /// The number at its start.
    pub from: u64,
    /// The number at its end.
    pub to: u64,
    /// Its length, in seconds.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    #[cfg_attr(test, schemars(with = "f64"))]
    pub length: Duration,
}

/// The value of an option that takes a number or stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Amount {
    /// The same number all the time.
    Constant(u64),
    /// At least one stage.
    Stages(Vec<LoadStage>),
}

impl Amount {
    /// The number, if it is constant.
    pub(crate) fn constant(&self) -> Option<u64> {
        match self {
            Self::Constant(number) => Some(*number),
            Self::Stages(_) => None,
        }
    }

    /// The stages; none of a constant number.
    pub(crate) fn stages(&self) -> &[LoadStage] {
        match self {
            Self::Constant(_) => &[],
            Self::Stages(stages) => stages,
        }
    }
}

impl LoadStage {
    /// The number after `since_ns` of the stage, to the nearest whole number.
    pub(crate) fn at(&self, since_ns: u64) -> u64 {
        let length_ns = self.length_ns();
        let since_ns = u128::from(since_ns.min(length_ns));
        let change = u128::from(self.from.abs_diff(self.to)) * since_ns;
        let change = narrow((2 * change + u128::from(length_ns)) / (2 * u128::from(length_ns)));
        if self.to >= self.from { self.from + change } else { self.from - change }
    }

    /// When, in nanoseconds of the stage, [`Self::at`] changes next after `since_ns`; `None` if it does not.
    pub(crate) fn next_change(&self, since_ns: u64) -> Option<u64> {
        let length_ns = self.length_ns();
        let distance = self.from.abs_diff(self.to);
        let changed = self.from.abs_diff(self.at(since_ns));
        // The next number is the nearest one from half way to it.
        let halves = u128::from(2 * changed + 1) * u128::from(length_ns);
        (changed < distance).then(|| narrow(halves.div_ceil(u128::from(2 * distance))))
    }

    pub(crate) fn length_ns(&self) -> u64 {
        narrow(self.length.as_nanos())
    }

    /// Of a rate: the parts of messages that are due in the stage.
    pub(super) fn parts(&self) -> u64 {
        narrow(u128::from(self.from + self.to) * self.length.as_millis())
    }
}

impl fmt::Display for LoadStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to {
            write!(f, "{}", self.from)
        } else {
            write!(f, "{}..{}", self.from, self.to)
        }
    }
}

/// The sum of the lengths.
pub(crate) fn length(stages: &[LoadStage]) -> Duration {
    stages.iter().map(|stage| stage.length).sum()
}

/// The largest number.
pub(crate) fn largest(stages: &[LoadStage]) -> u64 {
    stages.iter().map(|stage| stage.from.max(stage.to)).max().unwrap_or(0)
}

/// The smallest number.
pub(crate) fn smallest(stages: &[LoadStage]) -> u64 {
    stages.iter().map(|stage| stage.from.min(stage.to)).min().unwrap_or(0)
}

/// The mean number over the time.
pub(crate) fn mean(stages: &[LoadStage]) -> f64 {
    let parts: u64 = stages.iter().map(LoadStage::parts).sum();
    float(parts) / float(PARTS) / length(stages).as_secs_f64()
}

/// Parses a number in `range`, or stages of numbers up to its end: `1000@30s,1000..5000@1m`.
///
/// # Errors
/// The reason, with the position and the text of the stage, to be printed after `invalid value '…': `.
pub(crate) fn parse_amount(text: &str, range: &RangeInclusive<u64>) -> Result<Amount, String> {
    if !text.contains(['@', ',']) && !text.contains("..") {
        let number = text.parse().ok().filter(|number| range.contains(number));
        return number.map(Amount::Constant).ok_or_else(|| {
            format!(
                "expected a whole number from {} to {}, or stages as in 1000@30s,1000..5000@1m",
                range.start(),
                range.end()
            )
        });
    }
    let mut stages = Vec::new();
    let mut position = 1;
    for part in text.split(',') {
        if stages.len() == STAGES_MAX {
            return Err(format!("at position {position}: there are more than {STAGES_MAX} stages"));
        }
        let refused = |why| format!("stage {} '{part}', at position {position}: {why}", stages.len() + 1);
        stages.push(parse_stage(part, *range.end()).map_err(refused)?);
        position += part.chars().count() + 1;
    }
    if length(&stages) > LENGTH_MAX {
        return Err("all stages together must be at most 24d".into());
    }
    if largest(&stages) == 0 {
        return Err("at least one stage must be above 0".into());
    }
    Ok(Amount::Stages(stages))
}

fn parse_stage(text: &str, number_max: u64) -> Result<LoadStage, String> {
    let (numbers, length) = text
        .split_once('@')
        .ok_or("expected a number or a ramp and a duration, as in 1000@30s or 1000..5000@1m")?;
    let (from, to) = numbers.split_once("..").unwrap_or((numbers, numbers));
    let number = |text: &str| {
        let number = text.parse().ok().filter(|number| *number <= number_max);
        number.ok_or_else(|| format!("expected a whole number from 0 to {number_max}, found '{text}'"))
    };
    let (from, to) = (number(from)?, number(to)?);
    let length = parse_duration(length).map_err(|why| format!("'{length}' after '@': {why}"))?;
    if length > STAGE_LENGTH_MAX {
        return Err("a stage must be at most 7d".into());
    }
    Ok(LoadStage { from, to, length })
}

/// Parts of a message.
pub(super) const PARTS: u64 = 2000;

/// Stages of an option.
const STAGES_MAX: usize = 1000;

/// Maximum length of a stage: what is calculated of it fits into 128 bits.
const STAGE_LENGTH_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Maximum length of all stages, as of `--duration`.
const LENGTH_MAX: Duration = crate::units::DURATION_MAX;

fn narrow(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    crate::report::record::seconds(duration, serializer)
}

#[cfg(test)]
pub(crate) fn stages(text: &str) -> Vec<LoadStage> {
    parse_amount(text, &(1..=100_000_000)).unwrap().stages().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Result<Amount, String> {
        parse_amount(text, &(1..=1_000_000))
    }

    fn stage(from: u64, to: u64, ms: u64) -> LoadStage {
        LoadStage { from, to, length: Duration::from_millis(ms) }
    }

    #[test]
    fn an_amount_is_a_number_or_stages_with_ramps() {
        assert_eq!(parsed("1000"), Ok(Amount::Constant(1000)));
        let stages = vec![stage(1000, 1000, 30_000), stage(1000, 5000, 60_000), stage(5000, 0, 250)];
        assert_eq!(parsed("1000@30s,1000..5000@1m,5000..0@250ms"), Ok(Amount::Stages(stages)));
        assert_eq!(parsed("7@2"), Ok(Amount::Stages(vec![stage(7, 7, 2000)])));
    }

    #[test]
    fn an_invalid_amount_is_refused_with_the_stage_and_its_position() {
        let why = |text: &str| parsed(text).unwrap_err();
        assert_eq!(
            why("0"),
            "expected a whole number from 1 to 1000000, or stages as in 1000@30s,1000..5000@1m"
        );
        assert_eq!(
            why("1@1s,5000,7@1s"),
            "stage 2 '5000', at position 6: expected a number or a ramp and a duration, as in 1000@30s or \
             1000..5000@1m"
        );
        assert_eq!(
            why("1..2..3@1s"),
            "stage 1 '1..2..3@1s', at position 1: expected a whole number from 0 to 1000000, found '2..3'"
        );
        assert!(why("1@1s,").contains("stage 2 '', at position 6: expected a number"));
        assert!(why("1@1s,1000001@1s").contains("found '1000001'"));
        assert!(why("1@0s").ends_with("'0s' after '@': it must be at least 1ms"));
        assert!(why("1@1s2").contains("'1s2' after '@': expected a whole number of seconds"));
        assert!(why("1@8d").ends_with("a stage must be at most 7d"));
        assert_eq!(why("1@7d,1@7d,1@7d,1@4d"), "all stages together must be at most 24d");
        assert_eq!(why("0@1s,0@2s"), "at least one stage must be above 0");
    }

    #[test]
    fn a_thousand_stages_are_accepted_and_no_more() {
        let text = |count: usize| vec!["1@1s"; count].join(",");
        assert!(parsed(&text(1000)).is_ok());
        assert_eq!(parsed(&text(1001)).unwrap_err(), "at position 5001: there are more than 1000 stages");
    }

    #[test]
    fn a_stage_has_the_nearest_whole_number_and_changes_half_way_to_the_next() {
        let up = stage(1, 3, 1000);
        let ms = 1_000_000;
        let at = |stage: LoadStage| [0, 249, 250, 749, 750, 1000, 2000].map(|since| stage.at(since * ms));
        assert_eq!(at(up), [1, 1, 2, 2, 3, 3, 3]);
        assert_eq!(at(stage(3, 1, 1000)), [3, 3, 2, 2, 1, 1, 1]);
        let changes = |stage: LoadStage| [0, 250, 750].map(|since| stage.next_change(since * ms));
        assert_eq!(changes(up), [Some(250 * ms), Some(750 * ms), None]);
        assert_eq!(changes(stage(3, 1, 1000)), [Some(250 * ms), Some(750 * ms), None]);
        assert_eq!(changes(stage(3, 3, 1000)), [None; 3]);
    }

    #[test]
    fn the_mean_is_weighted_by_time() {
        assert!((mean(&stages("1000@3s,0..1000@1s")) - 875.0).abs() < 1e-9);
    }

    #[test]
    fn the_ends_of_a_ramp_are_among_the_smallest_and_the_largest_numbers() {
        for text in ["5@1s,9..2@1s", "2..9@1s,5@1s"] {
            assert_eq!((smallest(&stages(text)), largest(&stages(text))), (2, 9), "{text}");
        }
    }

    proptest! {
        #[test]
        fn each_list_of_stages_is_read_back(
            written in prop::collection::vec((0u64..=1000, 1u64..=1000, 1u64..100_000), 1..20)
        ) {
            let expected: Vec<LoadStage> = written.iter().map(|(from, to, ms)| stage(*from, *to, *ms)).collect();
            let text: Vec<String> =
                expected.iter().map(|it| format!("{it}@{}ms", it.length.as_millis())).collect();
            prop_assert_eq!(parsed(&text.join(",")), Ok(Amount::Stages(expected)));
        }

        #[test]
        fn no_text_is_a_panic(text in "[0-9.@,msdh -]{0,40}|.{0,20}") {
            let _ = parsed(&text);
        }

        #[test]
        fn the_number_of_a_ramp_changes_at_the_times_that_it_says(
            (from, to, ms) in (0u64..50, 0u64..50, 1u64..1000)
        ) {
            let ramp = stage(from, to, ms);
            let (mut since_ns, mut number) = (0, ramp.at(0));
            prop_assert_eq!(number, from);
            while let Some(next_ns) = ramp.next_change(since_ns) {
                prop_assert_eq!(ramp.at(next_ns - 1), number);
                prop_assert_eq!(ramp.at(next_ns).abs_diff(number), 1);
                (since_ns, number) = (next_ns, ramp.at(next_ns));
            }
            prop_assert_eq!(number, to);
        }
    }
}
