//! Pages of runs of all kinds.

use hdrhistogram::Histogram;

use super::*;
use crate::load::error_kind::{ErrorKind, OpenLimit};
use crate::load::stats::ending::{EndedEarly, Failed, Stage};
use crate::load::stats::invalid::InvalidReason;
use crate::load::stats::latency::{Lag, Latency, Percentiles};
use crate::load::stats::summary::{
    Bytes, Connections, DatagramDrops, Datagrams, Failure, Generator, Latencies, Messages, Second,
};
use crate::load::stats::threshold::Threshold;
use crate::load::stats::times::Times;
use crate::report::html::mismatched_tag;
use crate::report::page::write_sample;

mod heartbeats;
mod idle_probe;
mod merged;
mod search;
mod stages;

fn page(outcome: &Outcome) -> String {
    super::page(outcome, &[], &RunInfo::sample())
}

/// A run without a result.
fn nothing() -> Outcome {
    Outcome {
        summary: Summary {
            connections: Connections::default(),
            messages: Messages::default(),
            latency_us: Latencies::default(),
            bytes: Bytes::default(),
            generator: Generator::default(),
            duration_seconds: 0.0,
            planned_seconds: 0.0,
            failed: Some(Failed::NoConnection),
            ..Summary::sample()
        },
        seconds: vec![],
        times: Times::new(),
    }
}

/// A second of [`sample`], with a stall in one of them.
fn second(n: u32, random: &mut Random, outcome: &mut Outcome) -> Second {
    const RATE: u64 = 40_000;
    /// A random time stands for this number of messages: a test draws several runs.
    const ALIKE: u64 = 20;
    let opening = n < 2;
    let stalled = n == 21;
    let mut of_second = [Histogram::new(3).unwrap(), Histogram::new(3).unwrap()];
    for _ in 0..if opening { 0 } else { RATE / ALIKE } {
        let service = 90_000.0 * (1.0 + random.exponential() * 0.6);
        let service = if random.uniform() < 0.002 { service * 9.0 } else { service };
        let lag = 1_500.0 + random.exponential() * 900.0;
        let waited = if stalled { 180e6 * random.uniform() * random.uniform() } else { 0.0 };
        let [service, lag, response] =
            [service, lag, service + lag + waited].map(|time| format!("{time:.0}").parse::<u64>().unwrap());
        outcome.times.service.record_n(service, ALIKE).unwrap();
        outcome.times.response.record_n(response, ALIKE).unwrap();
        outcome.times.lag.record_n(lag, ALIKE).unwrap();
        of_second[0].record_n(response, ALIKE).unwrap();
        of_second[1].record_n(lag, ALIKE).unwrap();
    }
    let sent = if opening { 0 } else { RATE };
    let answered = if stalled { sent - 7_900 } else { sent.saturating_sub(u64::from(n % 3) * 40) };
    Second {
        at_seconds: f64::from(n + 1),
        length_seconds: 1.0,
        open: if n == 0 { 6_200 } else { 10_000 - u64::from(n / 12) },
        sent,
        answered,
        errors: u64::from(n % 12 == 0),
        response_us: Percentiles::of(&of_second[0]),
        lag_us: Percentiles::of(&of_second[1]),
        ..Second::default()
    }
}

/// A generator of pseudorandom numbers with a fixed seed.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.0 >> 32).unwrap()) / f64::from(u32::MAX)
    }

    fn exponential(&mut self) -> f64 {
        -(self.uniform().max(1e-9)).ln()
    }
}

/// An open loop with few errors.
fn sample() -> Outcome {
    let mut outcome = nothing();
    let mut random = Random(7);
    for n in 0..32 {
        let second = second(n, &mut random, &mut outcome);
        outcome.seconds.push(second);
    }
    (1..10_000u64).for_each(|n| outcome.times.connect.record(40_000 + n * 37).unwrap());
    let summary = &mut outcome.summary;
    summary.latency_us = Latencies {
        response: Latency::of(&outcome.times.response),
        service: Latency::of(&outcome.times.service),
        connect: Latency::of(&outcome.times.connect),
    };
    summary.schedule_lag_us = Lag::of(&outcome.times.lag);
    summary.connections = Connections {
        asked: 10_000,
        opened: 10_000,
        failed: 0,
        not_tried: 0,
        lost: 2,
        slow: 31,
        open_seconds: 1.63,
        open_rate: 6_134.0,
        ..Connections::default()
    };
    summary.messages = Messages {
        sent: 1_200_000,
        acknowledged: 1_199_986,
        failed: 2,
        unanswered: 12,
        never_sent: 0,
        rate: 39_999.2,
        offered_rate: Some(40_000.0),
    };
    summary.bytes = Bytes { sent: 108_000_000, received: 116_398_642 };
    summary.generator = Generator {
        cpu_seconds: 17.25,
        rss_bytes: 9_437_184,
        bytes_per_connection: Some(71.6),
        busy: 0.575,
        ..Generator::default()
    };
    summary.duration_seconds = 30.0;
    summary.load_model = LoadModel::Open;
    (summary.valid, summary.why_invalid, summary.failed) = (true, None, None);
    summary.failures = vec![Failure {
        reason: ErrorKind::Reset,
        count: 2,
        first: "127.0.0.1:40386, 12.1 s after the start, with one message unanswered".into(),
    }];
    outcome
}

/// The run of [`sample`] with every kind of problem, over datagrams.
fn invalid() -> Outcome {
    let mut outcome = sample();
    let summary = &mut outcome.summary;
    summary.interrupted = true;
    summary.endpoint = "month=[::1]:8091".parse().unwrap();
    summary.valid = false;
    summary.why_invalid = Some(InvalidReason::Busy(0.99));
    summary.connections.opened = 9_502;
    summary.connections.failed = 498;
    summary.connections.limited_by = Some(OpenLimit::Descriptors);
    summary.datagrams = Some(Datagrams {
        sent: 1_200_000,
        answered: 1_199_000,
        late: 400,
        lost: 600,
        duplicate: 3,
        kernel: DatagramDrops { receive_buffer: 512, own_receive_buffer: 12, ..DatagramDrops::default() },
    });
    let first = format!("<script>alert(1)</script> {}", "long".repeat(60));
    summary.failures.push(Failure { reason: ErrorKind::WrongReply, count: 1, first });
    outcome
}

#[test]
fn a_page_shows_every_number_and_loads_nothing() {
    let outcome = sample();
    let page = page(&outcome);
    assert_eq!(mismatched_tag(&page), None);
    assert_eq!(plots(&page), 9);
    let Latencies { response, service, connect } = &outcome.summary.latency_us;
    for latency in [response, service, connect] {
        let Latency { p50, p90, p99, p99_9, p99_99, max, mean, .. } = *latency;
        for value in [p50, p90, p99, p99_9, p99_99, max, mean] {
            assert!(page.contains(&format!(">{}</td>", optional(value, time_us))), "{value:?}");
        }
    }
    for shown in ["Generator ok.", "10,000", "1,199,986", "39,999/s", "72 B", "&gt; 99.9 %"] {
        assert!(page.contains(shown), "{shown}");
    }
    for loads in ["http:", "https:", "src=", "href=", "url("] {
        assert!(!page.contains(loads), "{loads}");
    }
    write_sample("sample.html", &page);
}

#[test]
fn problems_are_shown_first() {
    let page = page(&invalid());
    assert_eq!(mismatched_tag(&page), None);
    assert!(page.find("The generator was busy 99 % of the time") < page.find("<dl"));
    assert!(page.find("9,502 of 10,000 connections were opened.") < page.find("<dl"));
    assert!(page.find("Interrupted.") < page.find("Generator not ok."));
    assert!(page.contains("The limit: descriptors."));
    assert!(page.contains("sent = answered + late + lost"));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!page.contains("Generator ok."));
    write_sample("invalid.html", &page);
}

#[test]
fn a_run_without_a_result_has_a_page() {
    let page = page(&nothing());
    assert_eq!(mismatched_tag(&page), None);
    assert_eq!(plots(&page), 2, "there are no plots of what was not measured");
    assert!(page.contains("No connection could be opened."));
    assert!(!page.contains("NaN"));
    write_sample("nothing.html", &page);
}

/// A closed loop, in which each message is due when it is sent.
fn closed() -> Outcome {
    let mut outcome = sample();
    outcome.times.response = outcome.times.service.clone();
    outcome.summary.load_model = LoadModel::Closed;
    outcome.summary.messages.offered_rate = None;
    outcome.summary.latency_us.response = outcome.summary.latency_us.service.clone();
    outcome
}

#[test]
fn a_closed_loop_has_no_schedule_lag() {
    let page = page(&closed());
    assert_eq!(plots(&page), 7);
    assert!(!page.contains("chedule lag"));
    write_sample("closed.html", &page);
}

#[test]
fn equal_response_and_service_times_are_drawn_once() {
    let names = |page: &str| -> Vec<String> {
        let (_, figure) = page.split_once("Latency by percentile").unwrap();
        let legend = figure.split("</ul>").next().unwrap().split("</li>");
        legend.filter_map(|entry| Some(entry.rsplit_once("</svg>")?.1.to_owned())).collect()
    };
    assert_eq!(names(&page(&sample())), ["response", "service"]);
    let page = page(&closed());
    assert_eq!(names(&page), ["response and service, which are equal"]);
    assert!(page.contains("response and service time are equal"), "the text says why");
    assert!(!page.contains(">service</th>"), "nor are they repeated in the table");
}

#[test]
fn a_stall_is_labeled_with_its_largest_time() {
    let outcome = sample();
    let max = outcome.summary.latency_us.response.max.map(time_us).unwrap();
    assert!(page(&outcome).contains(&format!(">\n{max}\n</text>")), "{max}");
}

#[test]
fn every_plot_has_values_under_the_pointer() {
    for outcome in [sample(), closed(), held()] {
        let page = page(&outcome);
        for plot in page.split("<svg class=\"plot\"").skip(1) {
            assert!(plot.split("</svg>").next().unwrap().contains("class=\"trace\""), "{plot}");
        }
    }
}

/// A run that only opens connections.
fn held() -> Outcome {
    let mut outcome = nothing();
    let mut random = Random(3);
    let mut opened = 0;
    for n in 0..6u32 {
        let mut connect = Histogram::<u64>::new(3).unwrap();
        let count = if n < 3 { 3_300 } else { 0 };
        for _ in 0..count {
            let repeated = if random.uniform() < 0.003 { 1.03e9 } else { 0.0 };
            let time = format!("{:.0}", 40_000.0 * (1.0 + random.exponential()) + repeated).parse().unwrap();
            connect.record(time).unwrap();
            outcome.times.connect.record(time).unwrap();
        }
        opened += count;
        outcome.seconds.push(Second {
            at_seconds: f64::from(n + 1),
            length_seconds: 1.0,
            open: opened,
            opened: count,
            connect_us: Percentiles::of(&connect),
            ..Second::default()
        });
    }
    let summary = &mut outcome.summary;
    summary.endpoint = "hold=192.0.2.1:443".parse().unwrap();
    summary.load_model = LoadModel::Hold;
    summary.latency_us.connect = Latency::of(&outcome.times.connect);
    summary.connections = Connections {
        asked: 9_900,
        opened: 9_900,
        slow: 31,
        open_seconds: 2.9,
        open_rate: 3_413.8,
        ..Connections::default()
    };
    summary.duration_seconds = 3.0;
    (summary.valid, summary.why_invalid, summary.failed) = (true, None, None);
    outcome
}

#[test]
fn held_connections_have_plots_of_the_time_to_connect_and_no_messages() {
    let page = page(&held());
    assert_eq!(mismatched_tag(&page), None);
    for title in [
        "Connections over time",
        "Connections opened per second",
        "Time to connect over time",
        "Time to connect by percentile",
        "Histogram of times to connect",
    ] {
        assert!(page.contains(&format!("<figcaption>{title}</figcaption>")), "{title}");
    }
    for missing in ["response", "acknowledged", "closed loop", "too few messages", "nothing was measured"] {
        assert!(!page.contains(missing), "{missing}");
    }
    write_sample("hold.html", &page);
}

#[test]
fn held_connections_that_were_opened_at_once_have_no_plot_of_a_single_point() {
    let mut outcome = held();
    outcome.seconds.iter_mut().skip(1).for_each(|second| second.connect_us = Percentiles::default());
    assert!(!page(&outcome).contains("Time to connect over time"));
}

#[test]
fn a_connection_for_each_message_is_shown_by_how_many_are_opened() {
    let mut outcome = closed();
    outcome.seconds.iter_mut().for_each(|second| (second.open, second.opened) = (0, second.answered));
    let page = page(&outcome);
    assert!(page.contains("Connections opened per second") && !page.contains("Connections over time"));
    write_sample("one-shot.html", &page);
    outcome.seconds = outcome.seconds.iter().cycle().take(101).cloned().collect();
    assert!(!plots::opening(&outcome.seconds)[1].0.svg().contains("<rect"), "many bars would be too narrow");
}

/// A run whose server was killed.
fn failed() -> Outcome {
    let mut outcome = sample();
    outcome.seconds.truncate(12);
    let summary = &mut outcome.summary;
    (summary.duration_seconds, summary.planned_seconds) = (9.2, 30.0);
    (summary.ended_early, summary.ended_in) = (Some(EndedEarly::ServerGone), Some(Stage::Measuring));
    summary.failed = Some(Failed::ServerGone);
    outcome
}

#[test]
fn a_failure_is_shown_before_the_numbers() {
    let page = page(&failed());
    let failed =
        page.find("<strong>Failed.</strong> Ended early at 9.2 s of 30 s: the server went away.").unwrap();
    assert!(failed < page.find("<dl").unwrap());
    assert_eq!(page.matches("the server went away").count(), 1, "a reason is written once");
    write_sample("failed.html", &page);
}

/// The number of plots.
fn plots(page: &str) -> usize {
    page.matches("<svg class=\"plot\"").count()
}
