//! Runs on a fake network, whose clock advances only while the run waits.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::super::fake_net::FakeNet;
use super::super::sources::Sources;
use super::super::traffic::Plan;
use super::*;
use crate::frame;
use crate::load::exchange::Introduction;
use crate::load::message_buffers::MessageBuffers;
use crate::load::outcome::{Baseline, outcome};
use crate::load::stats::latency::Latency;
use crate::load::stats::summary::{Outcome, Second};
use crate::load::stats::tally::seconds;
use crate::load::stats::times::Times;
use crate::load::tcp::TcpTraffic;
use crate::service::ClientSide;
use crate::service::message::ACKNOWLEDGEMENT;

mod ending;
mod idle_probe;
mod stages;

const MS: u64 = 1_000_000;

fn options(change: impl FnOnce(&mut LoadOptions)) -> LoadOptions {
    let mut options = LoadOptions::of("message".parse().unwrap());
    (options.connections, options.duration) = (4, Duration::from_secs(2));
    change(&mut options);
    options
}

fn net() -> FakeNet {
    let mut reply = Vec::new();
    frame::append(ACKNOWLEDGEMENT, &mut reply);
    FakeNet { request_bytes: 90, reply, ..FakeNet::default() }
}

fn measurements(options: &LoadOptions, net: FakeNet) -> (Tally, Measurements) {
    measurements_seen_by(&mut (), options, net)
}

fn traffic(options: &LoadOptions) -> TcpTraffic<FakeNet> {
    traffic_sending_on(options, options.active_max())
}

fn traffic_sending_on(options: &LoadOptions, active: u32) -> TcpTraffic<FakeNet> {
    let target = "127.0.0.1:9".parse().unwrap();
    let plan = Plan {
        target,
        sources: Sources::new(&[], target, 1, options.one_shot),
        active: if options.idle_probe.is_empty() { active } else { 0 },
        pipeline: (!options.is_open_loop() && options.idle_probe.is_empty()).then_some(options.pipeline),
        one_shot: options.one_shot,
        timeout_ns: SECOND_NS,
        introduction: Introduction::default(),
        silences_ns: options.silences_ns(),
        heartbeat_ns: options.heartbeat.map(|period| u64::try_from(period.as_nanos()).unwrap()),
    };
    let Some(ClientSide::Stream(client)) = options.target.client_side() else { panic!("it is on TCP") };
    let messages = MessageBuffers::new(client, options.body_bytes);
    TcpTraffic::new(plan, messages, options.connections as usize)
}

fn measurements_seen_by(
    observer: &mut dyn Observer,
    options: &LoadOptions,
    net: FakeNet,
) -> (Tally, Measurements) {
    Run::new(options, net, traffic(options), options.connections).run(observer).unwrap()
}

#[test]
fn messages_are_sent_when_they_are_due_while_the_server_stalls() {
    let options = options(|it| it.rate = Some(1000));
    let stall_ns = (500 * MS, 1500 * MS);
    let (tally, measurements) = measurements(&options, FakeNet { stall_ns, ..net() });
    let count = *tally.counts();
    assert_eq!((count.sent, count.answered, measurements.never_sent), (2000, 2000, 0));
    let (_, times, ..) = tally.into_parts();
    assert_eq!(times.lag.len(), 2000);
    assert!(times.lag.max() < 1000, "{}", times.lag.max());
    // The messages that were due in the stall have waited for its end.
    assert_eq!(times.response.len() - times.response.count_between(0, MS / 2), 1000);
    assert!(times.response.max().abs_diff(1000 * MS) <= MS, "{}", times.response.max());
    assert!(times.response.value_at_percentile(75.0).abs_diff(500 * MS) <= MS);
}

#[test]
fn a_generator_that_slept_reports_that_it_sent_late() {
    let options = options(|it| it.rate = Some(1000));
    let (tally, measurements) =
        measurements(&options, FakeNet { sleep_ns: Some((500 * MS, 1500 * MS)), ..net() });
    assert_eq!((tally.counts().sent, measurements.never_sent), (2000, 0));
    let (_, times, ..) = tally.into_parts();
    assert!(times.lag.max().abs_diff(1000 * MS) <= MS, "{}", times.lag.max());
    assert!(times.service.max() < MS, "{}", times.service.max());
    assert!(times.response.max().abs_diff(1000 * MS) <= MS, "{}", times.response.max());
}

#[test]
fn messages_that_are_too_late_to_send_are_counted() {
    let options = options(|it| it.rate = Some(1000));
    let (tally, measurements) =
        measurements(&options, FakeNet { sleep_ns: Some((500 * MS, 3000 * MS)), ..net() });
    let sent = tally.counts().sent;
    assert!(sent < 2000 && sent + measurements.never_sent == 2000, "{sent}, {}", measurements.never_sent);
}

#[test]
fn a_closed_loop_waits_for_a_stalled_server() {
    #[derive(Default)]
    struct Slow(u64);
    impl Observer for Slow {
        fn second(&mut self, _: &Second, times: &Times) {
            self.0 += times.response.len() - times.response.count_between(0, MS / 2);
        }
    }
    let options = options(|it| (it.duration, it.connections) = (Duration::from_millis(100), 2));
    // The clock advances only while the run waits, so the server has to stall from the start.
    let mut slow = Slow::default();
    let stall_ns = (0, 80 * MS);
    let (tally, _) =
        measurements_seen_by(&mut slow, &options, FakeNet { stall_ns, stop_at_ns: Some(80 * MS), ..net() });
    assert_eq!((tally.counts().answered, tally.counts().in_flight()), (2, 0));
    assert_eq!(slow.0, 2);
}

#[test]
fn messages_of_the_warm_up_are_not_counted() {
    #[derive(Default)]
    struct Calls(Vec<&'static str>);
    impl Observer for Calls {
        fn driving(&mut self) {
            self.0.push("driving");
        }
        fn measuring(&mut self) {
            self.0.push("measuring");
        }
    }
    let options = options(|it| {
        (it.rate, it.warmup) = (Some(1000), Duration::from_millis(700));
    });
    let mut seen = Calls::default();
    let (tally, measurements) = measurements_seen_by(&mut seen, &options, net());
    let count = *tally.counts();
    assert_eq!((count.sent, count.answered), (2000, 2000));
    assert_eq!((measurements.answered, measurements.drive_ns / MS), (2000, 2000));
    assert!(measurements.idle_ns <= measurements.drive_ns, "{measurements:?}");
    assert_eq!(tally.into_parts().1.response.len(), 2000);
    assert_eq!(seen.0, ["driving", "measuring"]);
}

#[test]
fn a_backlog_of_the_warm_up_does_not_raise_the_measured_rate() {
    let options = options(|it| {
        (it.rate, it.warmup) = (Some(1000), Duration::from_millis(700));
    });
    // The server stalls in the warm-up, and replies while the run measures.
    let stall_ns = (100 * MS, 900 * MS);
    let (tally, measurements) = measurements(&options, FakeNet { stall_ns, ..net() });
    assert_eq!((measurements.answered, measurements.drive_ns / MS), (2000, 2000));
    assert!(tally.counts().answered > 2600, "{:?}", tally.counts());
    let counts = tally.counts().without_backlog();
    assert_eq!((counts.sent, counts.answered, counts.failed), (2000, 2000, 0));
    let (_, times, ..) = tally.into_parts();
    assert_eq!((times.response.len(), times.lag.len()), (2000, 2000));
    assert!(times.response.max() < 200 * MS, "{}", times.response.max());
}

#[test]
fn messages_that_were_due_in_the_warm_up_and_sent_later_are_not_measured() {
    let options = options(|it| {
        (it.rate, it.warmup) = (Some(1000), Duration::from_millis(700));
    });
    let net = FakeNet { sleep_ns: Some((100 * MS, 900 * MS)), ..net() };
    let (tally, measurements) = measurements(&options, net);
    assert_eq!((measurements.answered, measurements.drive_ns / MS), (2000, 2000));
    let (_, times, ..) = tally.into_parts();
    assert_eq!((times.response.len(), times.lag.len()), (2000, 2000));
    assert!(times.lag.max() < 1000, "{}", times.lag.max());
}

#[test]
fn the_share_of_waiting_is_at_most_all_of_the_time() {
    let before = Waiting { at_ns: 1000, waited_ns: 500 };
    let share = |at_ns, waited_ns| Waiting { at_ns, waited_ns }.share_since(before);
    assert!((share(2000, 750) - 0.25).abs() < 1e-9);
    assert!((share(2000, 1730) - 1.0).abs() < 1e-9);
    assert!(share(1000, 500).abs() < 1e-9);
}

#[test]
fn one_shot_connections_of_the_warm_up_are_not_counted() {
    let options = options(|it| {
        (it.rate, it.warmup, it.one_shot) = (Some(1000), Duration::from_millis(700), true);
    });
    let (tally, _) = measurements(&options, net());
    let counts = tally.counts();
    assert_eq!((counts.sent, counts.opened, counts.closed, counts.open), (2000, 2000, 2000, 0));
    assert_eq!(tally.into_parts().1.connect.len(), 2000);
}

#[test]
fn a_run_that_is_stopped_in_the_warm_up_has_measured_nothing() {
    let options = options(|it| {
        (it.rate, it.warmup, it.open_rate) = (Some(1000), Duration::from_secs(9), Some(2));
    });
    let (tally, measurements) = measurements(&options, FakeNet { stop_at_ns: Some(2000 * MS), ..net() });
    // Four connections at two a second, then settling.
    assert_eq!(measurements.open_ns / MS, 1500);
    let counts = tally.counts();
    assert_eq!((measurements.drive_ns, measurements.answered, counts.sent, counts.answered), (0, 0, 0, 0));
    assert!(measurements.is_interrupted);
    assert_eq!(measurements.ended_early, Some((EndedEarly::Interrupted, Stage::WarmUp)));
}

#[test]
fn the_wait_that_a_stop_request_ends_is_not_work() {
    let options = options(|it| it.duration = Duration::from_secs(9));
    let silent = FakeNet { stop_at_ns: Some(700 * MS), ..FakeNet::default() };
    let (_, measurements) = measurements(&options, silent);
    assert!(measurements.is_interrupted);
    assert_eq!(measurements.idle_ns, measurements.drive_ns);
}

#[test]
fn the_first_interval_of_messages_begins_with_the_sending() {
    let outcome = result_of(&options(|it| it.rate = Some(1000)), net());
    let first = outcome.seconds.iter().find(|second| second.sent > 0).unwrap();
    let per_second = seconds(first.sent * 1_000_000_000) / first.length_seconds;
    assert!((per_second - 1000.0).abs() < 2.0, "{first:?}");
}

#[test]
fn spinning_is_measured_apart_from_work_and_only_in_an_open_loop() {
    let spun_ns = |spin: bool, rate: Option<u64>| {
        let options = options(|it| (it.spin, it.rate, it.duration) = (spin, rate, Duration::from_secs(1)));
        let net = if rate.is_some() { net() } else { FakeNet::default() };
        let (_, measurements) = measurements(&options, net);
        assert!(measurements.spin_ns <= measurements.idle_ns, "{measurements:?}");
        measurements.spin_ns
    };
    // The fake network waits between messages and calls that spinning. The turns with replies are not idle.
    assert!(spun_ns(true, Some(1000)) > 900 * MS);
    assert_eq!((spun_ns(false, Some(1000)), spun_ns(true, None)), (0, 0));
}

#[test]
fn missing_replies_are_awaited_until_the_drain_timeout() {
    let options = options(|it| it.duration = Duration::from_secs(1));
    let mut seen = Seconds::default();
    let (tally, _) = measurements_seen_by(&mut seen, &options, FakeNet::default());
    assert_eq!((tally.counts().sent, tally.counts().in_flight()), (4, 4));
    // Opening, then settling, driving and draining, reported second by second.
    let lengths: f64 = seen.0.iter().sum();
    assert!((lengths - 3.05).abs() < 1e-6, "{:?}", seen.0);
    assert_eq!(seen.0.len(), 6);
}

#[test]
fn the_end_of_the_opening_ends_an_interval() {
    #[derive(Default)]
    struct Ends(Vec<(f64, u64, u64)>);
    impl Observer for Ends {
        fn second(&mut self, second: &Second, times: &Times) {
            self.0.push((second.at_seconds, second.open, times.connect.len()));
        }
    }
    let options = options(|it| (it.duration, it.open_rate) = (Duration::from_secs(1), Some(1000)));
    let mut seen = Ends::default();
    let (_, measurements) = measurements_seen_by(&mut seen, &options, FakeNet::default());
    let opened_seconds = seconds(measurements.open_ns);
    assert!((0.003..0.004).contains(&opened_seconds), "{opened_seconds}");
    assert_eq!(seen.0[0], (opened_seconds, 4, 4));
    assert!((seen.0[1].0 - opened_seconds - 0.05).abs() < 1e-6, "settling: {:?}", seen.0);
    assert_eq!((seen.0[1].2, seen.0[2].0), (0, 1.0));
}

#[derive(Default)]
struct Seconds(Vec<f64>);

impl Observer for Seconds {
    fn second(&mut self, second: &Second, _: &Times) {
        self.0.push(second.length_seconds);
    }
}

/// The result of a run.
fn result_of(options: &LoadOptions, net: FakeNet) -> Outcome {
    let (tally, measurements) = measurements(options, net);
    outcome(options, tally, &measurements, &Baseline::now(0))
}

#[test]
fn response_times_run_from_when_messages_were_due_and_service_times_from_when_they_were_sent() {
    let options = options(|it| it.rate = Some(1000));
    let result = result_of(&options, FakeNet { sleep_ns: Some((500 * MS, 1500 * MS)), ..net() });
    let max = |latency: &Latency| latency.max.unwrap() / 1000.0;
    let latency = &result.summary.latency_us;
    assert!((max(&latency.response) - 1000.0).abs() <= 1.0, "{latency:?}");
    assert!(max(&latency.service) < 1.0, "{latency:?}");
    assert!(max(&latency.connect) < 1.0, "{latency:?}");
    let lag_max_us = result.summary.schedule_lag_us.max.unwrap();
    assert!((lag_max_us / 1000.0 - 1000.0).abs() <= 1.0, "{lag_max_us}");
    // The messages of the sleep are sent and answered in its last second.
    let response_max_us = result.seconds.iter().filter_map(|second| second.response_us.max);
    assert_eq!(response_max_us.reduce(f64::max), latency.response.max);
}

#[test]
fn a_second_has_its_lag_and_its_response_times() {
    let options = options(|it| it.rate = Some(1000));
    let result = result_of(&options, FakeNet { stall_ns: (900 * MS, 1900 * MS), ..net() });
    // The messages of the stall were sent in time and answered late, in the second of its end.
    let second = result.seconds.iter().find(|second| second.answered > 1000).unwrap();
    assert!(second.response_us.max.unwrap() >= 850_000.0, "{second:?}");
    assert!(second.lag_us.max.unwrap() < 1000.0, "{second:?}");
}

#[test]
fn replies_that_come_after_the_sending_are_not_in_the_rate() {
    let options = options(|it| it.rate = Some(1000));
    let result = result_of(&options, FakeNet { stall_ns: (1050 * MS, 2500 * MS), ..net() }).summary;
    assert_eq!((result.messages.sent, result.messages.acknowledged), (2000, 2000));
    assert!((result.duration_seconds - 2.0).abs() < 0.01, "{}", result.duration_seconds);
    // Those of the first of two seconds.
    assert!((result.messages.rate - 500.0).abs() < 5.0, "{}", result.messages.rate);
}

#[test]
fn the_response_time_of_a_one_shot_message_includes_its_wait_for_a_free_connection() {
    let options = options(|it| (it.rate, it.one_shot) = (Some(1000), true));
    let result = result_of(&options, FakeNet { stall_ns: (0, 1000 * MS), ..net() });
    let summary = &result.summary;
    assert_eq!((summary.messages.sent, summary.messages.acknowledged), (2000, 2000));
    // Four of the messages that were due in the stall had a connection; the others waited for its end.
    let (response, service) = (&result.times.response, &result.times.service);
    let slow = |of: &Histogram<u64>| of.len() - of.count_between(0, 10 * MS);
    assert!(slow(response).abs_diff(1000) <= 11, "{}", slow(response));
    assert_eq!(slow(service), 4);
}

#[test]
fn one_shot_connections_are_as_many_as_their_messages_and_are_opened_while_these_are_sent() {
    let options = options(|it| (it.rate, it.one_shot) = (Some(1000), true));
    let connections = result_of(&options, net()).summary.connections;
    assert_eq!((connections.asked, connections.opened, connections.failed), (2000, 2000, 0));
    assert!((connections.open_rate - 1000.0).abs() < 10.0, "{connections:?}");
}

#[test]
fn messages_that_were_not_due_when_a_run_was_stopped_do_not_count_as_never_sent() {
    let options = options(|it| it.rate = Some(1000));
    let (tally, measurements) = measurements(&options, FakeNet { stop_at_ns: Some(1050 * MS), ..net() });
    assert!(tally.counts().sent.abs_diff(1000) <= 1, "{:?}", tally.counts());
    assert!(measurements.never_sent <= 1, "{}", measurements.never_sent);
}

#[test]
fn a_generator_is_busy_while_it_writes() {
    let options = options(|it| it.rate = Some(1000));
    let result = result_of(&options, FakeNet { write_ns: MS / 4, ..net() }).summary;
    assert!((result.generator.busy - 0.25).abs() < 0.01, "{}", result.generator.busy);
}

#[test]
fn connections_that_a_server_closes_one_after_the_other_before_the_start_are_not_opened() {
    let options = options(|it| it.rate = Some(1000));
    // Each is closed less than the time of settling after the one before.
    let ends_ns = [40 * MS, 80 * MS].into();
    let counts = *measurements(&options, FakeNet { ends_ns, ..net() }).0.counts();
    assert_eq!((counts.opened, counts.open_failed, counts.lost), (2, 2, 0));
}

#[test]
fn one_shot_messages_that_become_due_just_before_the_end_are_sent() {
    let options = options(|it| (it.rate, it.one_shot, it.connections) = (Some(1000), true, 100));
    let (tally, measurements) =
        measurements(&options, FakeNet { sleep_ns: Some((1950 * MS, 2020 * MS)), ..net() });
    assert_eq!((tally.counts().sent, measurements.never_sent), (2000, 0));
    let (_, times, failures) = tally.into_parts();
    assert_eq!(failures, []);
    // The first of them was due when the generator fell asleep.
    assert!(times.response.max().abs_diff(70 * MS) <= MS, "{}", times.response.max());
}
