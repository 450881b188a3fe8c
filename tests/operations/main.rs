//! What operating the program needs, with the programs of the system that are part of it. A test that lacks one is
//! skipped, unless `LOOPLINE_NO_SKIP=1`.

#![allow(
    clippy::disallowed_methods,
    clippy::incompatible_msrv,
    reason = "the tests wait for a real process; they may need a newer compiler"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/proxy_headers.rs"]
mod proxy_headers;

mod activator;
mod browser;
mod client_retry;
mod generated;
mod haproxy;
mod idle_probe;
mod logrotate;
mod metrics;
mod page;
mod parallel_ssh;
mod prometheus_rules;
mod proxy;
mod recipes;
mod restart;
mod shipper;
mod systemd;
mod udp;
mod units;

use std::process::{Command, Stdio};

/// Whether `tool` is not installed, so that the test must be skipped.
pub(crate) fn is_missing(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok() {
        return false;
    }
    assert!(std::env::var_os("LOOPLINE_NO_SKIP").is_none(), "{tool} is not installed");
    eprintln!("SKIPPED: {tool} is not installed");
    true
}
