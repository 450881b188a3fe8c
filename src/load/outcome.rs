//! Computes the result of a run from its measurements.

mod stage_rows;

use super::failed::why_failed;
use super::options::LoadOptions;
use super::run::Measurements;
use super::stats::counts::{Counts, rate};
use super::stats::idle_probe::ProbeResult;
use super::stats::invalid::{InvalidReason, why_not_kept_up};
use super::stats::kernel_counters;
use super::stats::latency::{Lag, Latency};
use super::stats::summary::{
    Bytes, Connections, DatagramDrops, Datagrams, Generator, Heartbeats, Latencies, Messages, Outcome,
    Summary,
};
use super::stats::tally::{Tally, seconds};
use super::stats::times::Times;

/// Counters of the kernel before the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Baseline {
    cpu_ns: u64,
    drops: DatagramDrops,
    port: u16,
}

impl Baseline {
    pub(crate) fn now(server_port: u16) -> Self {
        Self {
            cpu_ns: kernel_counters::scheduler_times().cpu_ns,
            drops: kernel_counters::datagram_drops(server_port),
            port: server_port,
        }
    }
}

/// The result of a run.
pub(crate) fn outcome(
    options: &LoadOptions,
    tally: Tally,
    measurements: &Measurements,
    baseline: &Baseline,
) -> Outcome {
    let counts = *tally.counts();
    let connections = connections(options, &tally, measurements);
    let stages = stage_rows::rows(options, &tally);
    let (intervals, times, failures) = tally.into_parts();
    let mut summary = Summary {
        endpoint: options.target.clone(),
        connections,
        messages: messages(options, &counts, measurements),
        heartbeats: options.heartbeat.map(|_| heartbeats(&counts, &times)),
        idle_probe: measurements.idle_probe.as_ref().map(ProbeResult::of),
        datagrams: options.target.is_datagrams().then(|| datagrams(&counts, baseline)),
        latency_us: Latencies {
            response: Latency::of(&times.response),
            service: Latency::of(&times.service),
            connect: Latency::of(&times.connect),
        },
        schedule_lag_us: Lag::of(&times.lag),
        bytes: Bytes { sent: counts.sent_bytes, received: counts.received_bytes },
        generator: generator(measurements, baseline),
        duration_seconds: seconds(measurements.drive_ns),
        planned_seconds: options.duration.as_secs_f64(),
        load_model: options.load_model(),
        last_reply_seconds: (counts.answered > 0).then(|| seconds(measurements.silence.began_ns)),
        interrupted: measurements.is_interrupted,
        ended_early: measurements.ended_early.map(|(reason, _)| reason),
        ended_in: measurements.ended_early.map(|(_, stage)| stage),
        failed: None,
        valid: true,
        why_invalid: None,
        stages,
        failures,
    };
    summary.why_invalid = invalid_reason(&summary, measurements.never_sent, measurements.waited_share);
    summary.valid = summary.why_invalid.is_none();
    summary.failed = why_failed(&summary, &measurements.silence);
    Outcome { summary, seconds: intervals, times }
}

fn connections(options: &LoadOptions, tally: &Tally, measurements: &Measurements) -> Connections {
    let counts = tally.counts();
    // A one-shot connection belongs to a message: if it cannot be opened, the message has failed.
    let asked = if options.one_shot { counts.sent } else { options.connections.into() };
    // Its opening lasts as long as messages are sent.
    let open_ns = if options.one_shot { measurements.drive_ns } else { measurements.open_ns };
    let cause = measurements.stopped_opening.or_else(|| tally.main_open_error());
    let not_tried = if options.one_shot { 0 } else { asked.saturating_sub(counts.requested()) };
    Connections {
        asked,
        opened: counts.opened,
        failed: counts.open_failed + counts.unconnected,
        failed_with_message: counts.unconnected,
        not_tried,
        why_not_tried: measurements.opening_ended_early.filter(|_| not_tried > 0),
        lost: counts.lost,
        lost_idle: counts.lost_idle,
        slow: counts.slow,
        open_seconds: seconds(open_ns),
        open_rate: rate(counts.opened, open_ns),
        sources: measurements.sources.clone(),
        limited_by: cause.filter(|_| counts.opened < asked).map(|kind| kind.limit(counts.opened > 0)),
    }
}

fn messages(options: &LoadOptions, counts: &Counts, measurements: &Measurements) -> Messages {
    // The counts of datagrams include their backlog.
    let counts = if options.target.is_datagrams() { counts } else { &counts.without_backlog() };
    Messages {
        sent: counts.sent,
        acknowledged: counts.answered,
        failed: counts.failed,
        unanswered: counts.in_flight(),
        never_sent: counts.never_sent + measurements.never_sent,
        rate: rate(measurements.answered, measurements.drive_ns),
        offered_rate: options.offered_rate(),
    }
}

fn heartbeats(counts: &Counts, times: &Times) -> Heartbeats {
    Heartbeats {
        sent: counts.heartbeats_sent,
        acknowledged: counts.heartbeats_answered,
        failed: counts.heartbeats_failed,
        unanswered: counts.heartbeats_in_flight(),
        latency_us: Latency::of(&times.heartbeat),
    }
}

fn datagrams(counts: &Counts, baseline: &Baseline) -> Datagrams {
    Datagrams {
        sent: counts.sent,
        answered: counts.answered - counts.late,
        late: counts.late,
        lost: counts.sent - counts.answered,
        duplicate: counts.duplicate,
        kernel: kernel_counters::datagram_drops(baseline.port).since(baseline.drops),
    }
}

fn generator(measurements: &Measurements, baseline: &Baseline) -> Generator {
    let (idle_ns, drive_ns) = (measurements.idle_ns, measurements.drive_ns);
    let idle = if drive_ns == 0 { 1.0 } else { seconds(idle_ns) / seconds(drive_ns) };
    let cpu_ns = kernel_counters::scheduler_times().cpu_ns.saturating_sub(baseline.cpu_ns);
    Generator {
        cpu_seconds: seconds(cpu_ns),
        // Spinning is measured by the clock, and other programs may have run meanwhile.
        spin_seconds: seconds(measurements.spin_ns.min(cpu_ns)),
        rss_bytes: measurements.rss_bytes,
        bytes_per_connection: measurements.bytes_per_connection,
        busy: (1.0 - idle).clamp(0.0, 1.0),
    }
}

/// Why `summary` is not valid, if it is not. `never_sent` messages were due and not sent; for the share `waited` of
/// the time, the generator was ready to run and had no CPU.
fn invalid_reason(summary: &Summary, never_sent: u64, waited: f64) -> Option<InvalidReason> {
    if summary.connections.opened == 0 {
        return None;
    }
    let busy = summary.generator.busy;
    let percentiles = (summary.schedule_lag_us.p99, summary.latency_us.response.p99);
    why_not_kept_up(busy, summary.messages.sent, waited, never_sent, percentiles)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::batch::Batch;
    use crate::load::error_kind::ErrorKind;

    fn why(change: impl FnOnce(&mut Summary)) -> Option<InvalidReason> {
        why_with(change, 0, 0.0)
    }

    fn why_with(change: impl FnOnce(&mut Summary), never_sent: u64, waited: f64) -> Option<InvalidReason> {
        let mut summary = Summary::sample();
        change(&mut summary);
        invalid_reason(&summary, never_sent, waited)
    }

    #[test]
    fn a_run_without_errors_is_valid() {
        assert_eq!(why(|_| {}), None);
    }

    #[test]
    fn a_server_that_accepts_no_connection_is_not_the_fault_of_the_generator() {
        assert_eq!(why(|it| (it.connections.opened, it.messages.sent) = (0, 0)), None);
        // Messages with a connection each fail as fast as the generator can try.
        assert_eq!(why(|it| (it.connections.opened, it.generator.busy) = (0, 1.0)), None);
    }

    #[test]
    fn a_busy_generator_makes_a_run_invalid_unless_it_only_holds_connections() {
        assert_eq!(why(|it| it.generator.busy = 0.951), Some(InvalidReason::Busy(0.951)));
        assert_eq!(why(|it| it.generator.busy = 0.95), None);
        assert_eq!(why(|it| (it.generator.busy, it.messages.sent) = (1.0, 0)), None);
    }

    #[test]
    fn a_generator_that_waits_for_a_cpu_makes_a_run_invalid() {
        let why = why_with(|_| {}, 0, 0.101).unwrap().to_string();
        assert_eq!(why, "the generator waited for a CPU 10 % of the time: other programs were running");
        assert_eq!(why_with(|_| {}, 0, 0.1), None);
    }

    #[test]
    fn messages_that_were_never_sent_make_a_run_invalid() {
        assert_eq!(why_with(|_| {}, 7, 0.0), Some(InvalidReason::NeverSent(7)));
    }

    #[test]
    fn a_lag_makes_a_run_invalid_if_it_is_a_large_part_of_the_response_time() {
        let lag = |lag: f64, response: f64| {
            why(|it| {
                it.schedule_lag_us.p99 = Some(lag);
                it.latency_us.response.p99 = Some(response);
            })
        };
        assert_eq!(lag(240.1, 2400.0), Some(InvalidReason::Late(240.1)));
        assert_eq!(lag(239.9, 2400.0), None);
        assert_eq!(lag(100.0, 200.0), None);
        assert_eq!(lag(100.1, 200.0), Some(InvalidReason::Late(100.1)));
        assert_eq!(why(|it| it.schedule_lag_us.p99 = None), None);
    }

    #[test]
    fn each_number_is_that_of_its_counter() {
        let options = LoadOptions { connections: 9, ..LoadOptions::of("month".parse().unwrap()) };
        let mut tally = Tally::new(0, true);
        (0..2).for_each(|_| tally.requested());
        tally.opened(3_000_000);
        tally.open_failed(ErrorKind::Refused, String::new);
        tally.sent(&Batch::on_time(0, 5));
        (0..2).for_each(|_| tally.overdue());
        tally.answered(Batch::on_time(0, 2), 1000);
        tally.late();
        tally.answered(Batch::on_time(0, 1), 1000);
        tally.wrote(100);
        tally.read(7);
        tally.close_interval(1);
        let measurements = Measurements {
            drive_ns: 2_000_000_000,
            answered: 2,
            stopped_opening: Some(ErrorKind::Descriptors),
            idle_ns: 1_000_000_000,
            waited_share: 0.5,
            ..Measurements::default()
        };
        let summary = outcome(&options, tally, &measurements, &Baseline::now(0)).summary;
        let Datagrams { sent, answered, late, lost, .. } = summary.datagrams.unwrap();
        assert_eq!((sent, answered, late, lost), (5, 2, 1, 2));
        assert_eq!((summary.bytes.sent, summary.bytes.received), (100, 7));
        assert_eq!((summary.duration_seconds, summary.messages.rate), (2.0, 1.0));
        assert_eq!((summary.connections.asked, summary.connections.opened), (9, 1));
        assert_eq!(summary.connections.limited_by, Some(ErrorKind::Descriptors.limit(true)));
        assert_eq!((summary.latency_us.service.count, summary.latency_us.connect.count), (3, 1));
        assert_eq!(summary.why_invalid, Some(InvalidReason::Waited(0.5)));
    }
}
