//! Sums of the counts of several runs.

use super::generator::Generator;
use super::run_result::{CountedFailure, RunResult};
use crate::load::sources::SourceUse;
use crate::load::stats::histogram_log::{CONNECT, HEARTBEAT, LAG, Merged, RESPONSE, SERVICE};
use crate::load::stats::latency::{Lag, Latency};
use crate::load::stats::summary::{
    Bytes, Connections, DatagramDrops, Datagrams, Generator as Resources, Heartbeats, Latencies, LoadModel,
    Messages, Summary,
};

/// The sums of those of `generators` that have counts, with the `times` of all. Counts and rates are sums; durations,
/// and how busy a generator was, are the largest.
pub(super) fn summary_of(generators: &[Generator], times: &Merged) -> Option<Summary> {
    let results: Vec<&RunResult> = generators.iter().filter_map(|it| it.result.as_ref()).collect();
    let first = *results.first()?;
    let latency = |tag: &str| times.histograms.get(tag).map(Latency::of).unwrap_or_default();
    let model = |model: LoadModel| results.iter().all(|result| result.load_model == model);
    let longest = results.iter().map(|result| result.duration_seconds).fold(0.0, f64::max);
    Some(Summary {
        endpoint: first.endpoint.parse().ok()?,
        connections: connections(&results),
        messages: messages(&results),
        heartbeats: heartbeats(&results, latency(HEARTBEAT)),
        datagrams: datagrams(&results),
        latency_us: Latencies {
            response: latency(RESPONSE),
            service: latency(SERVICE),
            connect: latency(CONNECT),
        },
        schedule_lag_us: times.histograms.get(LAG).map(Lag::of).unwrap_or_default(),
        bytes: Bytes {
            sent: total(results.iter().map(|result| result.bytes.sent)),
            received: total(results.iter().map(|result| result.bytes.received)),
        },
        generator: Resources {
            cpu_seconds: results.iter().map(|result| result.generator.cpu_seconds).sum(),
            spin_seconds: results.iter().map(|result| result.generator.spin_seconds).sum(),
            rss_bytes: total(results.iter().map(|result| result.generator.rss_bytes)),
            bytes_per_connection: None,
            busy: results.iter().map(|result| result.generator.busy).fold(0.0, f64::max),
        },
        duration_seconds: longest,
        planned_seconds: longest,
        load_model: match (model(LoadModel::Open), model(LoadModel::Hold)) {
            (true, _) => LoadModel::Open,
            (_, true) => LoadModel::Hold,
            (false, false) => LoadModel::Closed,
        },
        last_reply_seconds: None,
        interrupted: results.iter().any(|result| result.interrupted),
        ended_early: None,
        ended_in: None,
        failed: None,
        valid: results.iter().all(|result| result.valid),
        why_invalid: None,
        stages: Vec::new(),
        idle_probe: None,
        failures: Vec::new(),
    })
}

fn connections(results: &[&RunResult]) -> Connections {
    let mut sum = Connections::default();
    for of in results.iter().map(|result| &result.connections) {
        add(&mut sum.asked, of.asked);
        add(&mut sum.opened, of.opened);
        add(&mut sum.failed, of.failed);
        add(&mut sum.failed_with_message, of.failed_with_message);
        add(&mut sum.not_tried, of.not_tried);
        sum.why_not_tried = sum.why_not_tried.or(of.why_not_tried);
        add(&mut sum.lost, of.lost);
        add(&mut sum.lost_idle, of.lost_idle);
        add(&mut sum.slow, of.slow);
        sum.open_seconds = sum.open_seconds.max(of.open_seconds);
        sum.open_rate += of.open_rate;
        of.sources.iter().for_each(|source| add_source(&mut sum.sources, source));
        sum.limited_by = sum.limited_by.or(of.limited_by);
    }
    sum
}

/// Generators of one host have the same sources.
fn add_source(sums: &mut Vec<SourceUse>, of: &SourceUse) {
    let is_same =
        |sum: &&mut SourceUse| (sum.first, sum.last, sum.addresses) == (of.first, of.last, of.addresses);
    match sums.iter_mut().find(is_same) {
        Some(sum) => add(&mut sum.connections, of.connections),
        None => sums.push(of.clone()),
    }
}

fn messages(results: &[&RunResult]) -> Messages {
    let mut sum = Messages { offered_rate: Some(0.0), ..Messages::default() };
    for of in results.iter().map(|result| &result.messages) {
        add(&mut sum.sent, of.sent);
        add(&mut sum.acknowledged, of.acknowledged);
        add(&mut sum.failed, of.failed);
        add(&mut sum.unanswered, of.unanswered);
        add(&mut sum.never_sent, of.never_sent);
        sum.rate += of.rate;
        // The rate of a closed loop is not known beforehand.
        sum.offered_rate = sum.offered_rate.zip(of.offered_rate).map(|(sum, rate)| sum + rate);
    }
    sum
}

fn heartbeats(results: &[&RunResult], latency_us: Latency) -> Option<Heartbeats> {
    let mut found = results.iter().filter_map(|result| result.heartbeats.as_ref()).peekable();
    found.peek()?;
    let sum = found.fold(Heartbeats::default(), |sum, of| Heartbeats {
        sent: sum.sent.saturating_add(of.sent),
        acknowledged: sum.acknowledged.saturating_add(of.acknowledged),
        failed: sum.failed.saturating_add(of.failed),
        unanswered: sum.unanswered.saturating_add(of.unanswered),
        ..sum
    });
    Some(Heartbeats { latency_us, ..sum })
}

fn datagrams(results: &[&RunResult]) -> Option<Datagrams> {
    let mut found = results.iter().filter_map(|result| result.datagrams.as_ref()).peekable();
    found.peek()?;
    Some(found.fold(Datagrams::default(), |sum, of| Datagrams {
        sent: sum.sent.saturating_add(of.sent),
        answered: sum.answered.saturating_add(of.answered),
        late: sum.late.saturating_add(of.late),
        lost: sum.lost.saturating_add(of.lost),
        duplicate: sum.duplicate.saturating_add(of.duplicate),
        kernel: drops(sum.kernel, of.kernel),
    }))
}

fn drops(one: DatagramDrops, other: DatagramDrops) -> DatagramDrops {
    DatagramDrops {
        receive_buffer: one.receive_buffer.saturating_add(other.receive_buffer),
        own_receive_buffer: one.own_receive_buffer.saturating_add(other.own_receive_buffer),
        server_receive_buffer: one.server_receive_buffer.saturating_add(other.server_receive_buffer),
        send_buffer: one.send_buffer.saturating_add(other.send_buffer),
        no_port: one.no_port.saturating_add(other.no_port),
    }
}

/// The counts of a damaged file may be of any size.
fn add(sum: &mut u64, count: u64) {
    *sum = sum.saturating_add(count);
}

fn total(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

/// The errors of `generators` by kind, the most frequent first.
pub(super) fn failures_of(generators: &[Generator]) -> Vec<CountedFailure> {
    let mut sums: Vec<CountedFailure> = Vec::new();
    let results = generators.iter().filter_map(|generator| generator.result.as_ref());
    for failure in results.flat_map(|result| &result.failures) {
        match sums.iter_mut().find(|sum| sum.reason == failure.reason) {
            Some(sum) => add(&mut sum.count, failure.count),
            None => sums.push(failure.clone()),
        }
    }
    sums.sort_by(|one, other| (other.count, &one.reason).cmp(&(one.count, &other.reason)));
    sums
}
