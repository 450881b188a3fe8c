//! Parts of results for tests.

use crate::load::stats::idle_probe::ProbeGroup;
use crate::load::stats::latency::{Lag, Latency};
use crate::load::stats::summary::{Bytes, Connections, Generator, Latencies, LoadModel, Messages, Summary};

impl Summary {
    /// A closed loop without errors.
    pub(crate) fn sample() -> Self {
        let response = Latency {
            p50: Some(870.4),
            p90: Some(1240.0),
            p99: Some(2400.0),
            p99_9: Some(4100.0),
            p99_99: None,
            max: Some(7204.0),
            mean: Some(912.5),
            count: 50_000,
        };
        Self {
            endpoint: "message".parse().expect("it is a target"),
            connections: Connections {
                asked: 10_000,
                opened: 10_000,
                open_seconds: 0.42,
                open_rate: 23_809.5,
                ..Connections::default()
            },
            messages: Messages { sent: 50_000, acknowledged: 50_000, rate: 5000.0, ..Messages::default() },
            heartbeats: None,
            idle_probe: None,
            datagrams: None,
            latency_us: Latencies {
                service: response.clone(),
                connect: Latency { count: 10_000, ..response.clone() },
                response,
            },
            schedule_lag_us: Lag::default(),
            bytes: Bytes { sent: 4_500_000, received: 4_800_000 },
            generator: Generator {
                cpu_seconds: 3.25,
                spin_seconds: 0.0,
                rss_bytes: 12 << 20,
                bytes_per_connection: Some(48.0),
                busy: 0.325,
            },
            duration_seconds: 10.0,
            planned_seconds: 10.0,
            load_model: LoadModel::Closed,
            last_reply_seconds: None,
            interrupted: false,
            ended_early: None,
            ended_in: None,
            failed: None,
            valid: true,
            why_invalid: None,
            stages: Vec::new(),
            failures: Vec::new(),
        }
    }
}

impl ProbeGroup {
    /// A group of 250 connections, of which those that are not `alive` died silently.
    pub(crate) fn sample(silence_seconds: f64, alive: u64) -> Self {
        Self {
            silence_seconds,
            connections: 250,
            probed: 250,
            alive,
            dead: 250 - alive,
            unanswered: 250 - alive,
            ..Self::default()
        }
    }
}
