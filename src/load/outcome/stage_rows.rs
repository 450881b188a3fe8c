//! The rows of the stages.

use hdrhistogram::Histogram;

use crate::load::options::LoadOptions;
use crate::load::profile::{LoadStage, mean};
use crate::load::stats::counts::rate;
use crate::load::stats::invalid::why_not_kept_up;
use crate::load::stats::latency::{Lag, Latency};
use crate::load::stats::stages::{Setting, StageLatencies, StageRow, StageTally};
use crate::load::stats::tally::{Tally, seconds};

/// A row for each stage of `options`, also for those that were not reached.
pub(super) fn rows(options: &LoadOptions, tally: &Tally) -> Vec<StageRow> {
    let (stages, began_ns) = tally.stages();
    let opening = planned(&[("open_rate", &options.open_rate_stages)]);
    let sending = planned(&[("rate", &options.rate_stages), ("active", &options.active_stages)]);
    let offered = |number: usize| {
        let stage = options.rate_stages.get(number).copied();
        stage.map(|stage| mean(&[stage])).or(options.rate.map(crate::units::float))
    };
    let opening = opening.into_iter().map(|plan| (plan, None));
    let sending = sending.into_iter().enumerate().map(|(number, plan)| (plan, offered(number)));
    let measured = stages.all().iter().map(Some).chain(std::iter::repeat(None));
    let rows = opening.chain(sending).zip(measured);
    rows.map(|(((settings, planned_seconds), offered_rate), tally)| {
        let row = StageRow { settings, planned_seconds, offered_rate, ..StageRow::default() };
        tally.map_or_else(|| row.clone(), |tally| measured_row(row.clone(), tally, began_ns))
    })
    .collect()
}

/// Values and length of each stage of the options, whose stages have the same lengths.
fn planned(options: &[(&'static str, &[LoadStage])]) -> Vec<(Vec<Setting>, f64)> {
    let with_stages: Vec<_> = options.iter().filter(|(_, stages)| !stages.is_empty()).collect();
    let count = with_stages.first().map_or(0, |(_, stages)| stages.len());
    let stage = |number: usize| {
        let setting = |(option, stages): &&(&'static str, &[LoadStage])| Setting {
            option,
            value: stages[number].to_string(),
        };
        let length = with_stages[0].1[number].length.as_secs_f64();
        (with_stages.iter().map(setting).collect(), length)
    };
    (0..count).map(stage).collect()
}

fn measured_row(row: StageRow, tally: &StageTally, run_began_ns: u64) -> StageRow {
    if tally.measured_ns == 0 {
        return row;
    }
    let latency = |of: &Option<Histogram<u64>>| of.as_ref().map(Latency::of).unwrap_or_default();
    let (response, lag) = (latency(&tally.response), tally.lag.as_ref().map(Lag::of).unwrap_or_default());
    let percentiles = (lag.p99, response.p99);
    let (busy, never_sent) = (tally.busy.unwrap_or(0.0), tally.counts.never_sent);
    let why_invalid = why_not_kept_up(busy, tally.sent, tally.waited, never_sent, percentiles);
    StageRow {
        measured_seconds: seconds(tally.measured_ns),
        began_seconds: Some(seconds(tally.began_ns - run_began_ns)),
        opened: tally.counts.opened,
        sent: tally.sent,
        acknowledged: tally.acknowledged,
        failed: tally.counts.failed,
        never_sent,
        rate: rate(tally.counts.answered, tally.measured_ns),
        errors: tally.counts.errors(),
        latency_us: StageLatencies { response, connect: latency(&tally.connect) },
        schedule_lag_us: lag,
        busy: tally.busy,
        valid: why_invalid.is_none(),
        why_invalid,
        ..row
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::stats::counts::Counts;
    use crate::load::stats::invalid::InvalidReason;
    use crate::load::stats::times::{histogram, record};

    fn tally() -> StageTally {
        let mut lag = histogram();
        record(&mut lag, 1000, 1);
        let mut tally = StageTally::default();
        (tally.began_ns, tally.measured_ns) = (5_000_000_000, 2_000_000_000);
        (tally.sent, tally.acknowledged) = (100, 90);
        (tally.lag, tally.busy) = (Some(lag), Some(0.5));
        tally.counts =
            Counts { opened: 7, open_failed: 1, lost_idle: 2, answered: 60, failed: 4, ..Counts::default() };
        tally
    }

    #[test]
    fn a_row_has_all_that_was_counted_of_its_stage() {
        let row = measured_row(StageRow::default(), &tally(), 1_000_000_000);
        assert_eq!((row.measured_seconds, row.began_seconds), (2.0, Some(4.0)));
        assert_eq!((row.opened, row.sent, row.acknowledged, row.failed, row.errors), (7, 100, 90, 4, 7));
        assert!((row.rate - 30.0).abs() < 1e-9);
        assert_eq!((row.busy, row.schedule_lag_us.max), (Some(0.5), Some(1.0)));
        assert_eq!((row.valid, row.why_invalid), (true, None));
    }

    #[test]
    fn a_row_says_why_its_stage_is_not_valid() {
        let of = |change: fn(&mut StageTally)| {
            let mut tally = tally();
            change(&mut tally);
            let row = measured_row(StageRow::default(), &tally, 0);
            assert_eq!((row.valid, row.never_sent), (false, tally.counts.never_sent));
            row.why_invalid.unwrap()
        };
        assert_eq!(of(|it| it.busy = Some(0.96)), InvalidReason::Busy(0.96));
        assert_eq!(of(|it| it.waited = 0.2), InvalidReason::Waited(0.2));
        assert_eq!(of(|it| it.counts.never_sent = 8), InvalidReason::NeverSent(8));
    }
}
