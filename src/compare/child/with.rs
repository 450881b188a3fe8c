//! A server of `--with`, by a shell.

#![expect(clippy::disallowed_methods, reason = "a server that is not ready in time has failed")]

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};

use super::{Child, Log, StartError, spawn, without_options};
use crate::client::Client;
use crate::compare::server::With;
use crate::net::sockets::unused_port;
use crate::report::format;
use crate::service::message::ACKNOWLEDGEMENT;

impl Child {
    /// Starts `with` at a free port, and waits until it acknowledges a message. `program` is this program.
    pub(super) fn start_command(program: &Path, with: &With, timeout: Duration) -> Result<Self, StartError> {
        let failed = |what: &str| StartError::Ended(format!("{}: {what}", with.name));
        let not_started = |error: io::Error| failed(&format!("cannot be started: {error}"));
        let port = unused_port().map_err(not_started)?;
        let log =
            File::from(memfd_create("log", MemfdFlags::CLOEXEC).map_err(|error| not_started(error.into()))?);
        let mut command = without_options(Path::new("sh"));
        command.arg("-c").arg(with.at_port(port)).stderr(log.try_clone().map_err(not_started)?);
        let (process, guard) = spawn(program, &mut command).map_err(not_started)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut child = Self { process, log: Log::File(log), address, guard };
        child.wait_until_it_acknowledges(timeout).map_err(|what| failed(&what))?;
        Ok(child)
    }

    /// An error is the reason without the name.
    fn wait_until_it_acknowledges(&mut self, timeout: Duration) -> Result<(), String> {
        let began = Instant::now();
        loop {
            if let Some(how) = self.exit_reason() {
                return Err(format!("before it was ready: {how}"));
            }
            let left = timeout.saturating_sub(began.elapsed());
            let why = match acknowledgement(self.address, left) {
                Ok(reply) if reply == ACKNOWLEDGEMENT => return Ok(()),
                Ok(reply) => format!("its reply to a message is {reply:?}"),
                Err(why) => why,
            };
            if began.elapsed() >= timeout {
                let after = format::time_us(timeout.as_secs_f64() * 1e6);
                let last = self.last_line();
                let log = if last.is_empty() { last } else { format!("; its last line: {last}") };
                return Err(format!("not ready after {after}: {why}{log}"));
            }
            let _ = poll(&mut [], Some(&PAUSE));
        }
    }
}

/// The reply to a message.
fn acknowledgement(address: SocketAddr, timeout: Duration) -> Result<String, String> {
    let client = Client::new(&address.to_string()).map(|client| client.timeout(timeout));
    let mut connection = client.and_then(|client| client.connect()).map_err(|error| error.to_string())?;
    connection.send("ready?").map_err(|error| error.to_string())
}

/// Between two attempts to connect.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_never_acknowledges_a_message_is_not_ready() {
        let with: With = "idle=exec sleep 60; : {port}".parse().unwrap();
        let error = Child::start_command(Path::new("true"), &with, Duration::from_millis(20)).err();
        let Some(StartError::Ended(how)) = error else { unreachable!("it is not ready") };
        assert!(how.starts_with("idle: not ready after 20 ms: "), "{how}");
    }
}
