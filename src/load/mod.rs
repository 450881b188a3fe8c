//! `load`: generates load on a server over any number of connections, and measures the server.
//!
//! It runs on one thread, on the same network trait and with the same frames as the server. In a closed loop,
//! a connection sends its next message when the reply is in. In an open loop, messages are sent on schedule,
//! however fast the server replies, and latency is measured from when a message was due.

mod batch;
pub(crate) mod byte_text;
mod closing;
mod conn;
mod conn_table;
pub(crate) mod error_kind;
mod excerpt;
pub(crate) mod exchange;
pub(crate) mod expected;
mod failed;
#[cfg(test)]
mod fake_net;
#[cfg(test)]
pub(crate) mod fixtures;
mod heartbeats;
mod idle_probe;
pub(crate) mod merge;
mod message_buffers;
mod numbered;
mod observer;
pub(crate) mod options;
mod outcome;
pub(crate) mod output;
pub(crate) mod profile;
mod run;
pub(crate) mod schedule;
pub(crate) mod search;
mod sources;
pub(crate) mod start_at;
pub(crate) mod stats;
pub(crate) mod target;
mod tcp;
#[cfg(test)]
mod tests;
mod traffic;
mod udp;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use self::message_buffers::MessageBuffers;
pub(crate) use self::observer::Observer;
use self::options::LoadOptions;
use self::outcome::Baseline;
use self::run::{Measurements, Run};
use self::sources::Sources;
use self::stats::summary::Outcome;
use self::stats::tally::Tally;
pub(crate) use self::stats::times::Times;
use self::target::Target;
use self::tcp::TcpTraffic;
use self::traffic::Plan;
use self::udp::{Dialect, UdpTraffic};
use crate::net::fd_limit;
use crate::net::kernel::KernelNet;
use crate::net::sockets::SocketOptions;
use crate::report::format::duration;
use crate::report::utc_time::UtcTime;
use crate::service::ClientSide;

/// Waits until the run starts, and runs until the duration is over, or SIGINT or SIGTERM ends it early. Failures of the target are part of
/// the result, not errors.
///
/// # Errors
/// See [`LoadError`].
pub(crate) fn run(options: &LoadOptions, observer: &mut dyn Observer) -> Result<Outcome, LoadError> {
    let target = resolve(options)?;
    let connections = options.connections.min(fd_limit::room_for_client());
    let mut net = KernelNet::new(SocketOptions::default()).map_err(LoadError::Network)?;
    net.take_signals().map_err(LoadError::Network)?;
    if let Some(time) = options.start_at {
        let clock = |_: &mut KernelNet| UtcTime::now();
        let stopped = start_at::wait(time, &mut net, clock, observer).map_err(LoadError::Network)?;
        stopped.map_or(Ok(()), |left| Err(LoadError::Stopped { time, left }))?;
    }
    let baseline = Baseline::now(target.port());
    let (tally, measurements) =
        drive(options, net, target, connections, observer).map_err(LoadError::Network)?;
    Ok(outcome::outcome(options, tally, &measurements, &baseline))
}

/// Checks the options and the address, without connecting.
///
/// # Errors
/// See [`LoadError`].
pub(crate) fn check(options: &LoadOptions) -> Result<(), LoadError> {
    resolve(options).map(drop)
}

fn resolve(options: &LoadOptions) -> Result<SocketAddr, LoadError> {
    options.check().map_err(LoadError::Usage)?;
    let target = &options.target;
    let address = target.resolve().map_err(|error| LoadError::Unresolved(target.clone(), error))?;
    let reaches = |source: &IpNet| source.addr().is_ipv4() == address.is_ipv4();
    if !options.sources.is_empty() && !options.sources.iter().any(reaches) {
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        return Err(LoadError::Usage(format!("{target}: --source has no {family} address")));
    }
    Ok(address)
}

fn drive(
    options: &LoadOptions,
    net: KernelNet,
    target: SocketAddr,
    connections: u32,
    observer: &mut dyn Observer,
) -> io::Result<(Tally, Measurements)> {
    let is_probe = !options.idle_probe.is_empty();
    let plan = Plan {
        target,
        sources: Sources::new(&options.sources, target, connections, options.one_shot),
        // A connection that is probed sends only before and after its silence.
        active: if options.target.is_hold() || is_probe { 0 } else { options.active_max() },
        pipeline: (!options.is_open_loop() && !is_probe).then_some(options.pipeline),
        one_shot: options.one_shot,
        timeout_ns: u64::try_from(options.timeout.as_nanos()).unwrap_or(u64::MAX),
        introduction: options.exchange.introduction(),
        silences_ns: options.silences_ns(),
        heartbeat_ns: options.heartbeat.map(|period| u64::try_from(period.as_nanos()).unwrap_or(u64::MAX)),
    };
    let messages = match options.target.client_side() {
        Some(ClientSide::Datagram(client)) => {
            let traffic = UdpTraffic::new(plan, Dialect::Service(client), connections as usize);
            return Run::new(options, net, traffic, connections).run(observer);
        }
        None if options.target.is_datagrams() => {
            let traffic = UdpTraffic::new(plan, Dialect::stated(&options.exchange), connections as usize);
            return Run::new(options, net, traffic, connections).run(observer);
        }
        Some(ClientSide::Stream(client)) => MessageBuffers::new(client, options.body_bytes),
        None => options.exchange.messages(connections as usize),
    };
    let traffic = TcpTraffic::new(plan, messages, connections as usize);
    Run::new(options, net, traffic, connections).run(observer)
}

/// Why a run did not start.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// The options cannot be combined.
    Usage(String),
    /// The host name cannot be resolved.
    Unresolved(Target, io::Error),
    /// A signal came before `--start-at`.
    Stopped { time: UtcTime, left: Duration },
    /// The poller failed.
    Network(io::Error),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(line) => f.write_str(line),
            Self::Unresolved(target, error) => write!(f, "{target}: cannot resolve the host: {error}"),
            Self::Stopped { time, left } => {
                let left = duration(*left);
                write!(f, "interrupted {left} before the start at {time}: nothing was sent")
            }
            Self::Network(error) => write!(f, "the poller failed: {error}"),
        }
    }
}
