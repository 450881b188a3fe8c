//! The options of `load`, and which of them can be combined.

mod idle_probe;

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

pub(crate) use self::idle_probe::parse_silences;
use super::exchange::Exchange;
use super::profile::{self, LoadStage};
use super::schedule::{Arrivals, Schedule};
use super::stats::summary::LoadModel;
use super::target::Target;
use super::udp::in_flight_max;
use crate::report::record::seconds;
use crate::report::utc_time::UtcTime;
use crate::service::ClientSide;
use crate::units::float;

/// The options of a run. As JSON, the keys are the names on the command line, with their unit.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct LoadOptions {
    /// What to connect to.
    #[serde(skip)]
    pub target: Target,
    /// Number of connections.
    pub connections: u32,
    /// Number of connections that send; null: all, or stages.
    pub active: Option<u32>,
    /// Stages of the number of connections that send; empty: it is constant.
    pub active_stages: Vec<LoadStage>,
    /// How often each of the other connections sends, in seconds; null: never.
    #[serde(rename = "heartbeat_seconds", serialize_with = "optional_seconds")]
    #[cfg_attr(test, schemars(with = "Option<f64>"))]
    pub heartbeat: Option<Duration>,
    /// When to start, by the clock of the host; null: at once.
    pub start_at: Option<UtcTime>,
    /// How long the groups of connections are silent before they send once, in seconds; empty: no probe.
    #[serde(rename = "idle_probe_seconds", serialize_with = "all_seconds")]
    #[cfg_attr(test, schemars(with = "Vec<f64>"))]
    pub idle_probe: Vec<Duration>,
    /// How long to send messages, or to hold connections, in seconds.
    #[serde(rename = "duration_seconds", serialize_with = "seconds")]
    #[cfg_attr(test, schemars(with = "f64"))]
    pub duration: Duration,
    /// How long to send messages before measuring, in seconds.
    #[serde(rename = "warmup_seconds", serialize_with = "seconds")]
    #[cfg_attr(test, schemars(with = "f64"))]
    pub warmup: Duration,
    /// Open loop: messages per second over all connections; null: closed loop, or stages.
    pub rate: Option<u64>,
    /// Open loop: stages of the messages per second; empty: the rate is constant.
    pub rate_stages: Vec<LoadStage>,
    /// Open loop: the intervals between messages.
    pub arrivals: Arrivals,
    /// Closed loop: messages in flight on a connection.
    pub pipeline: u32,
    /// Bytes of a message's body, for services whose requests have one.
    #[serde(rename = "size_bytes")]
    pub body_bytes: usize,
    /// Connections opened per second; null: as fast as they are accepted, or stages.
    pub open_rate: Option<u64>,
    /// Stages of the connections opened per second, of which the last rate continues; empty: the rate is constant.
    pub open_rate_stages: Vec<LoadStage>,
    /// Local addresses and ranges to connect from; empty: chosen by the system, or on loopback by the program.
    #[serde(rename = "source", serialize_with = "networks")]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub sources: Vec<IpNet>,
    /// Whether each message has its own connection, as services that end the stream need.
    pub one_shot: bool,
    /// Open loop: poll without waiting shortly before messages are due, so that they are sent on time.
    pub spin: bool,
    #[serde(flatten)]
    pub exchange: Exchange,
    /// Maximum time to open a connection, or to wait for the answer to a datagram or, in an idle probe, for a reply, in
    /// seconds.
    #[serde(rename = "timeout_seconds", serialize_with = "seconds")]
    #[cfg_attr(test, schemars(with = "f64"))]
    pub timeout: Duration,
    /// Maximum time to wait for outstanding replies at the end, in seconds.
    #[serde(rename = "drain_timeout_seconds", serialize_with = "seconds")]
    #[cfg_attr(test, schemars(with = "f64"))]
    pub drain_timeout: Duration,
    /// Whether the run waits until the server has closed the connections too, since another run follows.
    #[serde(skip)]
    pub awaits_close: bool,
}

impl LoadOptions {
    /// The defaults for `target`.
    pub(crate) fn of(target: Target) -> Self {
        let ends = |client| matches!(client, ClientSide::Stream(client) if client.server_ends_stream());
        Self {
            one_shot: target.client_side().is_some_and(ends),
            spin: has_processor_to_spare(),
            timeout: if target.is_datagrams() { DATAGRAM_TIMEOUT } else { CONNECT_TIMEOUT },
            target,
            connections: 50,
            active: None,
            active_stages: Vec::new(),
            heartbeat: None,
            start_at: None,
            idle_probe: Vec::new(),
            duration: Duration::from_secs(10),
            warmup: Duration::ZERO,
            rate: None,
            rate_stages: Vec::new(),
            arrivals: Arrivals::Uniform,
            pipeline: 1,
            body_bytes: BODY_BYTES,
            open_rate: None,
            open_rate_stages: Vec::new(),
            sources: Vec::new(),
            exchange: Exchange::default(),
            drain_timeout: Duration::from_secs(2),
            awaits_close: false,
        }
    }

    /// Checks that the options can be combined.
    ///
    /// # Errors
    /// One line that names those that cannot.
    pub(crate) fn check(&self) -> Result<(), String> {
        let refuse = |line: &str| Err(line.to_owned());
        if self.is_open_loop() && self.pipeline > 1 {
            return refuse("--pipeline requires a closed loop: with --rate, messages are sent on schedule");
        }
        if self.arrivals == Arrivals::Poisson && !self.is_open_loop() {
            return refuse("--arrivals requires an open loop: it needs --rate");
        }
        let has_active = self.active.is_some() || !self.active_stages.is_empty();
        let sends = self.is_open_loop()
            || has_active
            || self.heartbeat.is_some()
            || self.one_shot
            || self.pipeline > 1;
        if self.target.is_hold() && sends {
            return refuse(
                "hold sends nothing: --rate, --active, --heartbeat, --pipeline and --one-shot require a service, \
                 tcp= or udp=",
            );
        }
        self.check_idle_probe()?;
        self.exchange.check(&self.target)?;
        if self.one_shot && (self.pipeline > 1 || has_active) {
            return refuse("each message has its own connection: --pipeline and --active do not apply");
        }
        if self.one_shot && (self.open_rate.is_some() || !self.open_rate_stages.is_empty()) {
            return refuse("each message has its own connection: --open-rate does not apply");
        }
        if self.one_shot && self.target.is_datagrams() {
            return refuse("--one-shot requires TCP");
        }
        self.check_requests()?;
        if self.active_max() > self.connections {
            return refuse("--active must not exceed --connections");
        }
        self.check_stages()?;
        self.check_heartbeats()
    }

    /// Whether messages are sent on schedule.
    pub(crate) fn is_open_loop(&self) -> bool {
        self.rate.is_some() || !self.rate_stages.is_empty()
    }

    /// When messages are sent.
    pub(crate) fn load_model(&self) -> LoadModel {
        match self.is_open_loop() {
            _ if self.target.is_hold() => LoadModel::Hold,
            _ if !self.idle_probe.is_empty() => LoadModel::Probe,
            true => LoadModel::Open,
            false => LoadModel::Closed,
        }
    }

    /// The largest number of connections that send.
    pub(crate) fn active_max(&self) -> u32 {
        let of_stages = (!self.active_stages.is_empty()).then(|| profile::largest(&self.active_stages));
        let of_stages = of_stages.map(|active| u32::try_from(active).unwrap_or(u32::MAX));
        self.active.or(of_stages).unwrap_or(self.connections)
    }

    /// The messages due per second, on average.
    pub(crate) fn offered_rate(&self) -> Option<f64> {
        let of_stages = (!self.rate_stages.is_empty()).then(|| profile::mean(&self.rate_stages));
        self.rate.map(float).or(of_stages)
    }

    /// The schedule of the messages, from the start of the warm-up, which has the first rate.
    pub(crate) fn schedule(&self, start_ns: u64) -> Option<Schedule> {
        let Some(first) = self.rate_stages.first() else {
            return self.rate.map(|rate| Schedule::new(start_ns, rate, self.arrivals));
        };
        let warmup = LoadStage { from: first.from, to: first.from, length: self.warmup };
        let stages: Vec<LoadStage> = [warmup].into_iter().chain(self.rate_stages.iter().copied()).collect();
        Some(Schedule::of_stages(start_ns, &stages, 0, self.arrivals))
    }

    /// The schedule of the connections.
    pub(crate) fn open_schedule(&self, start_ns: u64) -> Option<Schedule> {
        let last = self.open_rate_stages.last().map(|stage| stage.to);
        let rate = self.open_rate.or(last)?;
        Some(Schedule::of_stages(start_ns, &self.open_rate_stages, rate, Arrivals::Uniform))
    }

    /// The stages in which messages are sent: those of the rate have the lengths of those of the active connections.
    pub(crate) fn sending_stages(&self) -> &[LoadStage] {
        if self.rate_stages.is_empty() { &self.active_stages } else { &self.rate_stages }
    }

    /// Sets the duration to that of the stages, if messages are sent in stages. `given` is what the user wants.
    ///
    /// # Errors
    /// One line if it differs.
    pub(crate) fn take_duration_of_stages(&mut self, given: Option<Duration>) -> Result<(), String> {
        if self.sending_stages().is_empty() {
            return Ok(());
        }
        self.duration = profile::length(self.sending_stages());
        let option = if self.rate_stages.is_empty() { "--active" } else { "--rate" };
        match given.filter(|given| *given != self.duration) {
            None => Ok(()),
            Some(given) => Err(format!(
                "--duration is {given:?}, and the stages of {option} last {:?}: leave it out",
                self.duration
            )),
        }
    }

    fn check_stages(&self) -> Result<(), String> {
        let refuse = |line: &str| Err(line.to_owned());
        if self.open_rate_stages.last().is_some_and(|last| last.to == 0) {
            return refuse(
                "the last stage of --open-rate must end above 0: its rate continues until all connections are requested",
            );
        }
        if self.active_stages.is_empty() {
            return Ok(());
        }
        let lengths = |stages: &[LoadStage]| stages.iter().map(|stage| stage.length).collect::<Vec<_>>();
        if !self.rate_stages.is_empty() && lengths(&self.rate_stages) != lengths(&self.active_stages) {
            return refuse("the stages of --rate and --active must have the same lengths");
        }
        if self.is_open_loop() && profile::smallest(&self.active_stages) == 0 {
            return refuse("with --rate, each stage of --active must be at least 1");
        }
        Ok(())
    }

    /// Checks which connections send, and when.
    fn check_heartbeats(&self) -> Result<(), String> {
        let refuse = |line: &str| Err(line.to_owned());
        let has_heartbeats = self.heartbeat.is_some();
        if has_heartbeats && self.one_shot {
            return refuse("each message has its own connection: --heartbeat does not apply");
        }
        if has_heartbeats && self.active_max() == self.connections {
            return refuse("--heartbeat requires idle connections: --active less than --connections");
        }
        if self.active == Some(0) && (!has_heartbeats || self.is_open_loop()) {
            return refuse("--active 0 requires --heartbeat, and no --rate");
        }
        Ok(())
    }

    /// Checks the options against the requests of the service.
    fn check_requests(&self) -> Result<(), String> {
        let target = self.target.name();
        let text_bytes = match self.target.client_side() {
            Some(ClientSide::Datagram(client)) => {
                let pipeline_max = in_flight_max(client);
                if self.pipeline > pipeline_max.into() {
                    return Err(format!(
                        "--pipeline of {target} is at most {pipeline_max}: it has no more distinct answers"
                    ));
                }
                None
            }
            Some(ClientSide::Stream(client)) => client.text_bytes(),
            None => None,
        };
        match text_bytes {
            None if self.body_bytes != BODY_BYTES => Err(format!("--size does not apply to {target}")),
            Some(_) if self.body_bytes > BODY_BYTES_MAX => Err("--size is at most 1GiB".into()),
            Some(sizes) if !sizes.contains(&self.body_bytes) => {
                Err(format!("--size of {target} must be from {} to {} bytes", sizes.start(), sizes.end()))
            }
            None | Some(_) => Ok(()),
        }
    }
}

/// Whether the server can have a processor while the generator spins on another.
pub(crate) fn has_processor_to_spare() -> bool {
    std::thread::available_parallelism().is_ok_and(|processors| processors.get() > 1)
}

/// Parses a comma-separated list of addresses and ranges.
///
/// # Errors
/// Names the part that is neither.
pub(crate) fn parse_sources(text: &str) -> Result<Vec<IpNet>, String> {
    let parse = |part: &str| {
        let address = part.parse::<IpAddr>().map(IpNet::from);
        address
            .or_else(|_| part.parse())
            .map_err(|_| format!("'{part}' is neither an address nor a range, as in 10.0.0.5 or 10.0.0.0/24"))
    };
    text.split(',').map(|part| parse(part.trim())).collect()
}

fn all_seconds<S: Serializer>(durations: &[Duration], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(durations.iter().map(Duration::as_secs_f64))
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn optional_seconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
}

fn networks<S: Serializer>(networks: &[IpNet], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(networks.iter().map(ToString::to_string))
}

/// Default maximum time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Default time after which the answer to a datagram is late.
const DATAGRAM_TIMEOUT: Duration = Duration::from_secs(1);

/// Default size of a message's body.
pub(crate) const BODY_BYTES: usize = 26;

/// A request is held in memory.
const BODY_BYTES_MAX: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_sources_has_addresses_and_ranges() {
        let sources = parse_sources("10.0.0.5, 10.1.0.0/24,::1").unwrap();
        let written: Vec<String> = sources.iter().map(ToString::to_string).collect();
        assert_eq!(written, ["10.0.0.5/32", "10.1.0.0/24", "::1/128"]);
        assert!(parse_sources("10.0.0.5,eth0").unwrap_err().starts_with("'eth0' is neither"));
        assert!(parse_sources("").unwrap_err().starts_with("'' is neither"));
    }

    #[test]
    fn options_that_cannot_be_combined_are_rejected() {
        let refused = |text: &str, change: fn(&mut LoadOptions)| {
            let mut options = LoadOptions::of(text.parse().unwrap());
            change(&mut options);
            options.check().unwrap_err()
        };
        let mut fine = LoadOptions::of("month".parse().unwrap());
        fine.pipeline = 12;
        assert_eq!(fine.check(), Ok(()));
        assert!(refused("month", |it| it.pipeline = 13).contains("at most 12"));
        assert!(refused("month", |it| it.one_shot = true).contains("TCP"));
        assert!(refused("month", |it| it.body_bytes = 1).contains("--size"));
        assert!(refused("reply", |it| it.body_bytes = 1025).contains("1 to 1024"));
        assert!(refused("greeting", |it| it.pipeline = 2).contains("--pipeline"));
        assert!(refused("hold=[::1]:1", |it| it.rate = Some(1)).contains("hold sends nothing"));
        assert!(refused("message", |it| it.arrivals = Arrivals::Poisson).contains("--rate"));
        assert!(refused("message", |it| (it.rate, it.pipeline) = (Some(1), 2)).contains("closed loop"));
        assert!(refused("message", |it| it.active = Some(51)).contains("--active"));
        assert!(refused("hold=[::1]:1", |it| it.pipeline = 2).contains("hold sends nothing"));
        assert!(refused("daytime", |it| it.open_rate = Some(1)).contains("--open-rate"));
        assert!(refused("message", |it| it.body_bytes = (1 << 30) + 1).contains("1GiB"));
        let heartbeat = Some(Duration::from_secs(1));
        let with = |change: fn(&mut LoadOptions)| {
            let mut options =
                LoadOptions { heartbeat, active: Some(0), ..LoadOptions::of("message".parse().unwrap()) };
            change(&mut options);
            options.check()
        };
        assert_eq!(with(|_| {}), Ok(()));
        assert_eq!(with(|it| (it.active, it.rate) = (Some(1), Some(1))), Ok(()));
        assert!(with(|it| it.active = None).unwrap_err().contains("--heartbeat requires idle connections"));
        assert!(with(|it| it.heartbeat = None).unwrap_err().contains("--active 0 requires --heartbeat"));
        assert!(with(|it| it.rate = Some(1)).unwrap_err().contains("--active 0"));
        assert!(
            with(|it| (it.active, it.one_shot) = (None, true))
                .unwrap_err()
                .contains("--heartbeat does not apply")
        );
    }
}
