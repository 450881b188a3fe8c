//! The measurements in the text format of Prometheus.

use prometheus::proto::{Bucket, Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

use super::process::ProcessStats;
use crate::conn::CloseReason;
use crate::event_loop::measurements::{Histogram, Measurements};
use crate::server::options::Model;
use crate::units::float;

pub(super) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Appends the measurements to `body`.
pub(super) fn write(measured: &Measurements, process: &ProcessStats, model: Model, body: &mut Vec<u8>) {
    let families = families(measured, process, model);
    let encoded = TextEncoder::new().encode(&families, body);
    debug_assert!(encoded.is_ok(), "{encoded:?}");
}

/// All metrics, in the order in which they are documented.
fn families(measured: &Measurements, process: &ProcessStats, model: Model) -> Vec<MetricFamily> {
    let mut all = Families::default();
    server(&mut all, measured, model);
    connections(&mut all, measured);
    datagrams(&mut all, measured);
    turns_and_journal(&mut all, measured);
    resources(&mut all, measured, process);
    all.0
}

fn server(all: &mut Families, measured: &Measurements, model: Model) {
    let model = match model {
        Model::Loop => "loop",
        Model::Threads => "threads",
    };
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("model", model)];
    all.add(
        "loopline_build_info",
        "The version of the program and its model.",
        MetricType::GAUGE,
        [metric(&labels, Value::Gauge(1.0))],
    );
    let is_stopping = u8::from(measured.is_stopping);
    all.gauge("loopline_stopping", "1 once a stop was requested.", is_stopping.into());
}

fn connections(all: &mut Families, measured: &Measurements) {
    let counters = &measured.counters;
    all.gauge("loopline_connections_open", "Open connections.", float(measured.connections_open as u64));
    all.counter(
        "loopline_connections_accepted_total",
        "Accepted connections, including those that are then refused.",
        counters.opened,
    );
    for (name, help, is_refusal) in [
        ("loopline_connections_refused_total", "Connections that were refused, by the limit.", true),
        (
            "loopline_connections_closed_total",
            "Connections that were served and are closed, by reason.",
            false,
        ),
    ] {
        let reasons = CloseReason::ALL.into_iter().filter(|reason| reason.is_refusal() == is_refusal);
        let by_reason = reasons.map(|reason| {
            metric(&[("reason", reason.label())], Value::Counter(float(counters.closed(reason))))
        });
        all.add(name, help, MetricType::COUNTER, by_reason);
    }
    all.counter(
        "loopline_accept_failures_total",
        "Connections that failed before they were accepted.",
        counters.accepts_failed,
    );
    all.counter("loopline_messages_total", "Messages that were received completely.", counters.messages);
    all.counter("loopline_received_bytes_total", "Bytes received on connections.", counters.read_bytes);
    all.counter("loopline_sent_bytes_total", "Bytes sent on connections.", counters.sent_bytes);
}

fn datagrams(all: &mut Families, measured: &Measurements) {
    let counters = &measured.counters;
    all.counter("loopline_datagrams_received_total", "Datagrams received.", counters.datagrams);
    all.counter("loopline_datagrams_sent_total", "Datagrams sent.", counters.datagrams_sent);
    let reasons = [
        ("ignored", counters.datagrams_dropped),
        ("rate", counters.datagrams_limited),
        ("unsent", counters.datagrams_unsent),
    ];
    let by_reason =
        reasons.map(|(reason, number)| metric(&[("reason", reason)], Value::Counter(float(number))));
    all.add(
        "loopline_datagrams_dropped_total",
        "Datagrams that were not answered, by reason.",
        MetricType::COUNTER,
        by_reason,
    );
    all.gauge(
        "loopline_datagram_sessions",
        "Datagram peers with a session.",
        float(measured.datagram_sessions as u64),
    );
}

fn turns_and_journal(all: &mut Families, measured: &Measurements) {
    const NANOSECONDS: f64 = 1e9;
    all.histogram(
        "loopline_turn_seconds",
        "Time of a turn of the loop, without the wait in its poll.",
        &measured.turn_ns,
        NANOSECONDS,
    );
    all.histogram("loopline_turn_events", "Events of a turn of the loop.", &measured.turn_events, 1.0);
    all.counter("loopline_journal_bytes_total", "Bytes written to the journal.", measured.journal_bytes);
    all.histogram(
        "loopline_journal_commit_seconds",
        "Time to write the lines of a commit to the journal.",
        &measured.journal_commit_ns,
        NANOSECONDS,
    );
    all.histogram(
        "loopline_journal_sync_seconds",
        "Time to sync the journal to disk.",
        &measured.journal_sync_ns,
        NANOSECONDS,
    );
}

fn resources(all: &mut Families, measured: &Measurements, process: &ProcessStats) {
    all.gauge(
        "loopline_memory_used_bytes",
        "Memory for bytes that wait.",
        float(measured.memory_used as u64),
    );
    all.gauge(
        "loopline_memory_budget_bytes",
        "The limit of this memory.",
        float(measured.memory_budget as u64),
    );
    all.counter(
        "loopline_log_lines_dropped_total",
        "Lines of the log that were dropped, since standard error was not read.",
        process.log_lines_dropped,
    );
    kernel_and_process(all, process);
}

fn kernel_and_process(all: &mut Families, process: &ProcessStats) {
    for (name, help, number) in [
        (
            "loopline_kernel_listen_overflows_total",
            "Connections that the kernel dropped because the backlog was full, of all programs in this network.",
            process.listen_overflows,
        ),
        (
            "loopline_kernel_datagrams_dropped_total",
            "Datagrams that the kernel dropped because a socket of this server had no room.",
            process.datagrams_dropped,
        ),
    ] {
        if let Some(number) = number {
            all.counter(name, help, number);
        }
    }
    if let Some(seconds) = process.cpu_seconds {
        let cpu = [metric(&[], Value::Counter(seconds))];
        all.add("process_cpu_seconds_total", "Processor time.", MetricType::COUNTER, cpu);
    }
    for (name, help, value) in [
        ("process_resident_memory_bytes", "Resident memory.", process.resident_bytes.map(float)),
        ("process_open_fds", "Open descriptors.", process.open_fds.map(float)),
        ("process_max_fds", "The limit of open descriptors.", Some(float(process.max_fds))),
        ("process_start_time_seconds", "When the process was started, since the epoch.", process.start_time),
    ] {
        if let Some(value) = value {
            all.gauge(name, help, value);
        }
    }
}

#[derive(Default)]
struct Families(Vec<MetricFamily>);

#[derive(Clone, Copy)]
enum Value {
    Counter(f64),
    Gauge(f64),
}

fn metric(labels: &[(&str, &str)], value: Value) -> Metric {
    let mut metric = Metric::default();
    metric.set_label(labels.iter().map(|(name, value)| label(name, value)).collect());
    match value {
        Value::Counter(value) => {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        }
        Value::Gauge(value) => {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
    }
    metric
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.into());
    label.set_value(value.into());
    label
}

impl Families {
    fn add(&mut self, name: &str, help: &str, kind: MetricType, metrics: impl IntoIterator<Item = Metric>) {
        let mut family = MetricFamily::default();
        family.set_name(name.into());
        family.set_help(help.into());
        family.set_field_type(kind);
        family.set_metric(metrics.into_iter().collect());
        self.0.push(family);
    }

    fn counter(&mut self, name: &str, help: &str, number: u64) {
        self.add(name, help, MetricType::COUNTER, [metric(&[], Value::Counter(float(number)))]);
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.add(name, help, MetricType::GAUGE, [metric(&[], Value::Gauge(value))]);
    }

    /// `unit`: how many of what is recorded are one of what is shown.
    fn histogram(&mut self, name: &str, help: &str, recorded: &Histogram, unit: f64) {
        let buckets = recorded.cumulative().map(|(bound, up_to)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(float(bound) / unit);
            bucket.set_cumulative_count(up_to);
            bucket
        });
        let mut histogram = prometheus::proto::Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(recorded.count());
        histogram.set_sample_sum(float(recorded.sum()) / unit);
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        self.add(name, help, MetricType::HISTOGRAM, [metric]);
    }
}
