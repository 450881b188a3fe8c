//! The local addresses and ports that connections are opened from.
//!
//! A source address has one connection per port to a given address and port. Connections come from the address
//! that the kernel chooses for as long as its ports last, since a server may treat other addresses differently.
//! On loopback, those that exceed its ports are spread over other addresses of 127.0.0.0/8.
//!
//! The kernel finds a free port fast only while half of them are free: it tries every second port first, so every
//! further connection searches that whole half. From there on, ports are chosen here.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::{Range, RangeInclusive};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::error_kind::ErrorKind;

/// The sources of connections, and how many connections each has.
#[derive(Debug)]
pub(crate) struct Sources {
    target: SocketAddr,
    /// Connections of the run. `None`: one-shot connections, which need more ports than connections are open,
    /// because a closed connection keeps its port for a while.
    connections: Option<u32>,
    ports: Ports,
    /// Those requested; or the default source, followed by the others once its ports are used up.
    all: Vec<Source>,
    /// Index of the source of the next connection.
    next: usize,
}

#[derive(Debug)]
struct Source {
    /// `None`: the kernel's choice, before the first connection.
    address: Option<SocketAddr>,
    is_default: bool,
    /// Connections from it.
    taken: u32,
    /// Of these, connections that are part of the result.
    counted: u64,
    /// How many ports were chosen here.
    chosen: usize,
}

/// One source, or several in the order of their use, and the connections that were requested from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct SourceUse {
    /// The first address.
    pub first: IpAddr,
    /// The last address.
    pub last: IpAddr,
    /// Number of addresses.
    pub addresses: u64,
    /// Connections requested from all of them.
    pub connections: u64,
}

impl Sources {
    /// Sources of `connections` to `target`: those `requested`, in turn, or else the kernel's choice. With
    /// `one_shot`, connections are closed and opened again.
    pub(crate) fn new(requested: &[IpNet], target: SocketAddr, connections: u32, one_shot: bool) -> Self {
        let is_reachable = |source: &IpAddr| source.is_ipv4() == target.is_ipv4();
        let requested = requested.iter().flat_map(IpNet::hosts).filter(is_reachable).take(SOURCES_MAX);
        let mut sources: Vec<Source> = requested.map(Source::at).collect();
        if sources.is_empty() {
            sources.push(Source { address: None, is_default: true, taken: 0, counted: 0, chosen: 0 });
        }
        let connections = (!one_shot).then_some(connections);
        Self { target, connections, ports: Ports::of_system(), all: sources, next: 0 }
    }

    /// Opens a socket with `open`, from the next source with a free port. `local` returns the address of a socket.
    ///
    /// # Errors
    /// The error of `open` that is not about ports, or its last one.
    pub(crate) fn open<S>(
        &mut self,
        mut open: impl FnMut(Option<SocketAddr>) -> io::Result<S>,
        local: impl FnOnce(&S) -> io::Result<SocketAddr>,
    ) -> io::Result<S> {
        let mut tried = 0;
        loop {
            let from = self.next_address();
            let is_port_chosen = from.is_some_and(|from| from.port() != 0);
            match open(from) {
                Ok(socket) => {
                    let source = &mut self.all[self.next];
                    if source.address.is_none() {
                        source.address = local(&socket).ok();
                    }
                    source.taken += 1;
                    source.counted += 1;
                    self.advance();
                    return Ok(socket);
                }
                // Another program has the port.
                Err(error) if is_port_chosen && is_in_use(&error) => {}
                // Other programs may have all ports of one source and not those of the next.
                Err(error) if ErrorKind::of(&error) == ErrorKind::Ports => {
                    tried += 1;
                    if !self.spread() {
                        self.advance();
                    }
                    if tried >= self.in_use().len().min(SOURCES_TRIED_MAX) {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Connections are counted anew.
    pub(crate) fn reset_counts(&mut self) {
        self.all.iter_mut().for_each(|source| source.counted = 0);
    }

    /// The sources that connections were requested from. Many are combined.
    pub(crate) fn uses(&self) -> Vec<SourceUse> {
        let mut uses: Vec<SourceUse> = self.all.iter().filter_map(Source::to_use).collect();
        let default = usize::from(self.all[0].is_default && self.all[0].to_use().is_some());
        if uses.len() > LISTED_MAX {
            let others = uses.split_off(default);
            uses.push(SourceUse {
                first: others[0].first,
                last: others[others.len() - 1].last,
                addresses: others.len() as u64,
                connections: others.iter().map(|source| source.connections).sum(),
            });
        }
        uses
    }

    /// The address to open the next connection from. `None`: the kernel chooses it.
    fn next_address(&mut self) -> Option<SocketAddr> {
        let half = self.ports.count() / 2;
        loop {
            let is_one_shot = self.connections.is_none();
            let source = &mut self.all[self.next];
            let mut address = source.address?;
            let kernels_choice = (!source.is_default).then_some(address);
            if (source.taken as usize) < half {
                return kernels_choice;
            }
            if !is_one_shot {
                while let Some(port) = self.ports.nth(source.chosen) {
                    source.chosen += 1;
                    address.set_port(port);
                    // A socket would connect to itself.
                    if address != self.target && !self.ports.is_reserved(port) {
                        return Some(address);
                    }
                }
            }
            if !self.spread() {
                return kernels_choice;
            }
        }
    }

    /// Goes on with other sources than the default one. Returns whether that changes anything.
    fn spread(&mut self) -> bool {
        let is_possible = matches!(self.target.ip(), IpAddr::V4(address) if address.is_loopback());
        let [Source { is_default: true, taken, .. }] = self.all[..] else { return false };
        if !is_possible {
            return false;
        }
        let count = match self.connections {
            // One more than necessary, since other programs use ports as well.
            Some(connections) => {
                1 + (connections.saturating_sub(taken) as usize).div_ceil(self.ports.count())
            }
            None => ONE_SHOT_SOURCES,
        };
        self.all.extend((0..count.min(SOURCES_MAX)).map(loopback).map(Source::at));
        self.next = 1;
        true
    }

    /// The sources that connections are opened from now.
    fn in_use(&self) -> Range<usize> {
        let count = self.all.len();
        usize::from(self.all[0].is_default && count > 1)..count
    }

    fn advance(&mut self) {
        let in_use = self.in_use();
        self.next = if self.next + 1 < in_use.end { self.next + 1 } else { in_use.start };
    }
}

impl Source {
    fn at(address: IpAddr) -> Self {
        let address = Some(SocketAddr::new(address, 0));
        Self { address, is_default: false, taken: 0, counted: 0, chosen: 0 }
    }

    fn to_use(&self) -> Option<SourceUse> {
        let address = self.address.filter(|_| self.counted > 0)?.ip();
        Some(SourceUse { first: address, last: address, addresses: 1, connections: self.counted })
    }
}

/// The ports that the kernel chooses from.
#[derive(Debug)]
struct Ports {
    range: RangeInclusive<u16>,
    reserved: Vec<RangeInclusive<u16>>,
}

impl Ports {
    fn of_system() -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap_or_default();
        Self::parse(&read("ip_local_port_range"), &read("ip_local_reserved_ports"))
    }

    /// `range` is of the form `32768 60999`, `reserved` of the form `8080,9000-9010`.
    fn parse(range: &str, reserved: &str) -> Self {
        let mut ends = range.split_whitespace().map_while(|end| end.parse().ok());
        let range = match (ends.next(), ends.next()) {
            (Some(first), Some(last)) if last >= first => first..=last,
            _ => PORTS_IF_UNKNOWN,
        };
        let reserved = reserved.trim().split(',').filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse().ok()?..=last.parse().ok()?)
        });
        Self { range, reserved: reserved.collect() }
    }

    fn count(&self) -> usize {
        self.range.len()
    }

    /// The port at `position` of the order in which ports are chosen here: first those that the kernel tries last.
    fn nth(&self, position: usize) -> Option<u16> {
        let half = self.count() / 2;
        let offset = if position < half { 2 * position + 1 } else { 2 * (position - half) };
        self.range.clone().nth(offset)
    }

    fn is_reserved(&self, port: u16) -> bool {
        self.reserved.iter().any(|range| range.contains(&port))
    }
}

/// Whether a port that was chosen here cannot be used.
fn is_in_use(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

/// 127.0.1.1 and following, without the addresses that end in 0 or 255.
fn loopback(number: usize) -> IpAddr {
    let third = u8::try_from(1 + number / 254).expect("SOURCES_MAX fits");
    let fourth = u8::try_from(1 + number % 254).expect("at most 254");
    Ipv4Addr::new(127, 0, third, fourth).into()
}

/// Linux's default range.
const PORTS_IF_UNKNOWN: RangeInclusive<u16> = 32_768..=60_999;

/// Maximum number of sources: enough for two hundred million connections.
const SOURCES_MAX: usize = 8192;

/// Sources besides the default one of one-shot connections on loopback.
const ONE_SHOT_SOURCES: usize = 64;

/// Sources tried for one connection.
const SOURCES_TRIED_MAX: usize = 8;

/// Sources listed one by one in the result.
const LISTED_MAX: usize = 4;

#[cfg(test)]
mod tests;
