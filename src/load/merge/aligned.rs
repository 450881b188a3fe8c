//! Seconds of several generators on one axis of time.
//!
//! A generator's seconds are counted from its own start. They are moved by the difference of its start to that of the
//! first, by the clocks of their hosts and rounded to whole seconds. So each of its seconds stays whole and is in one
//! second of the sum, and generators that started up to half a second apart are shown as if they had started together.
//!
//! ```text
//! a, from 12:00:00.0   │ 1 │ 2 │ 3 │ 4 │
//! b, from 12:00:00.4   │ 1 │ 2 │ 3 │ 4 │
//! c, from 12:00:01.7           │ 1 │ 2 │ 3 │ 4 │
//! ```

use std::collections::BTreeMap;

use serde::Serialize;

use super::generator::Generator;
use crate::report::utc_time::UtcTime;

/// A second of one or more generators.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct AlignedSecond {
    /// Seconds from the start of the first generator to the end of this second.
    pub at_seconds: u64,
    /// Number of generators that ran in it.
    pub generators: u64,
    /// Connections open at its end. Histogram logs do not have them.
    pub open: u64,
    /// Connections opened in it.
    pub opened: u64,
    /// Messages sent in it. Histogram logs do not have them.
    pub sent: u64,
    /// Messages answered correctly in it.
    pub answered: u64,
    /// Connections that could not be opened or were lost, and messages that failed, in it. Histogram logs do not have
    /// them.
    pub errors: u64,
    /// The largest response time, in microseconds; null without samples. Percentiles of seconds cannot be added.
    pub response_max_us: Option<f64>,
    /// Whether counts of connections are known.
    #[serde(skip)]
    pub has_counts: bool,
    /// The largest p99 of a generator, in microseconds.
    #[serde(skip)]
    pub p99_us: Option<f64>,
}

/// The seconds of each of `generators`. Those in which it had no interval are left out.
pub(super) fn aligned(generators: &[Generator]) -> Vec<Vec<AlignedSecond>> {
    let first = generators.iter().filter_map(|generator| generator.began_at).min();
    generators.iter().map(|generator| moved(generator, first)).collect()
}

/// The seconds of `generator`, when the first of all began at `first`.
fn moved(generator: &Generator, first: Option<UtcTime>) -> Vec<AlignedSecond> {
    let began_at = generator.began_at.or(first);
    let after = began_at.zip(first).map_or(0.0, |(began, first)| began.since(first).as_secs_f64());
    let later = whole(after.round());
    let mut found: BTreeMap<u64, AlignedSecond> = BTreeMap::new();
    for second in &generator.seconds {
        let middle = second.at_seconds - second.length_seconds / 2.0;
        let at_seconds = whole(middle.floor()).saturating_add(later).saturating_add(1);
        let into = found.entry(at_seconds).or_insert(AlignedSecond {
            at_seconds,
            generators: 1,
            ..AlignedSecond::default()
        });
        into.add_counts(second.opened, second.sent, second.answered, second.errors);
        into.open = second.open;
        into.has_counts = generator.result.is_some();
        into.response_max_us = larger(into.response_max_us, second.response_us.max);
        into.p99_us = larger(into.p99_us, second.response_us.p99);
    }
    found.into_values().collect()
}

/// The sums of the seconds of several generators.
pub(crate) fn sum(of: &[Vec<AlignedSecond>]) -> Vec<AlignedSecond> {
    let mut sums: BTreeMap<u64, AlignedSecond> = BTreeMap::new();
    for second in of.iter().flatten() {
        let at_seconds = second.at_seconds;
        let into = sums.entry(at_seconds).or_insert(AlignedSecond { at_seconds, ..AlignedSecond::default() });
        into.has_counts |= second.has_counts;
        into.generators = into.generators.saturating_add(second.generators);
        into.open = into.open.saturating_add(second.open);
        into.add_counts(second.opened, second.sent, second.answered, second.errors);
        into.response_max_us = larger(into.response_max_us, second.response_max_us);
        into.p99_us = larger(into.p99_us, second.p99_us);
    }
    sums.into_values().collect()
}

impl AlignedSecond {
    fn add_counts(&mut self, opened: u64, sent: u64, answered: u64, errors: u64) {
        self.opened = self.opened.saturating_add(opened);
        self.sent = self.sent.saturating_add(sent);
        self.answered = self.answered.saturating_add(answered);
        self.errors = self.errors.saturating_add(errors);
    }
}

fn larger(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::max)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
fn whole(seconds: f64) -> u64 {
    seconds as u64
}
