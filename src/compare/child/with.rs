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
use crate::client::{Client, Failure};
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
        let mut why = String::new();
        loop {
            if let Some(how) = self.exit_reason() {
                return Err(format!("before it was ready: {how}"));
            }
            let left = timeout.saturating_sub(began.elapsed());
            if left.is_zero() {
                let after = format::time_us(timeout.as_secs_f64() * 1e6);
                let last = self.last_line();
                let log = if last.is_empty() { last } else { format!("; its last line: {last}") };
                return Err(format!("not ready after {after}: {why}{log}"));
            }
            match acknowledgement(self.address, left) {
                Ok(()) => return Ok(()),
                Err(NoAcknowledgement::Never(why)) => return Err(why),
                Err(NoAcknowledgement::NotYet(reason)) => why = reason,
            }
            let _ = poll(&mut [], Some(&PAUSE));
        }
    }
}

/// Why a server has not acknowledged a message.
#[derive(Debug, PartialEq)]
enum NoAcknowledgement {
    /// It may be starting.
    NotYet(String),
    /// It has replied with something else.
    Never(String),
}

/// Sends a message.
fn acknowledgement(address: SocketAddr, timeout: Duration) -> Result<(), NoAcknowledgement> {
    let client = Client::new(&address.to_string()).map(|client| client.timeout(timeout));
    let reply = client.and_then(|client| client.connect()).and_then(|mut it| it.send("ready?"));
    match reply {
        Ok(reply) if reply == ACKNOWLEDGEMENT => Ok(()),
        Ok(reply) => Err(NoAcknowledgement::Never(format!("its reply to a message is {reply:?}"))),
        Err(error) if matches!(error.failure, Failure::TimedOut { .. }) => {
            Err(NoAcknowledgement::NotYet("no reply to a message".into()))
        }
        Err(error)
            if matches!(error.failure, Failure::NotTheProtocol { .. } | Failure::ReplyTooLong { .. }) =>
        {
            Err(NoAcknowledgement::Never(error.to_string()))
        }
        Err(error) => Err(NoAcknowledgement::NotYet(error.to_string())),
    }
}

/// Between two attempts to connect.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn a_command_that_never_acknowledges_a_message_is_not_ready() {
        let with: With = "idle=exec sleep 60; : {port}".parse().unwrap();
        let error = Child::start_command(Path::new("true"), &with, Duration::from_millis(20)).err();
        let Some(StartError::Ended(how)) = error else { unreachable!("it is not ready") };
        assert!(how.starts_with("idle: not ready after 20 ms: message=127.0.0.1:"), "{how}");
    }

    /// What is concluded from `reply`, or from no reply.
    fn after_reply(reply: Option<&'static str>) -> Result<(), NoAcknowledgement> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let Some(reply) = reply else { return acknowledgement(address, Duration::from_millis(1)) };
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 64]).unwrap();
            stream.write_all(reply.as_bytes()).unwrap();
            stream
        });
        let result = acknowledgement(address, Duration::from_secs(60));
        server.join().unwrap();
        result
    }

    #[test]
    fn a_server_that_replies_with_something_else_is_never_ready() {
        let http = format!("HTTP/1.1 400 Bad Request\r\n{}", "x".repeat(64));
        let http = after_reply(Some(http.leak()));
        assert!(
            matches!(&http, Err(NoAcknowledgement::Never(why)) if why.contains("does not speak message")),
            "{http:?}"
        );
        let other = after_reply(Some(format!("{:<64}pong", 4).leak()));
        assert_eq!(other, Err(NoAcknowledgement::Never("its reply to a message is \"pong\"".into())));
        assert_eq!(after_reply(Some(format!("{:<64}{ACKNOWLEDGEMENT}", 33).leak())), Ok(()));
    }

    #[test]
    fn a_server_without_a_reply_may_be_starting() {
        let silent = after_reply(None);
        assert_eq!(silent, Err(NoAcknowledgement::NotYet("no reply to a message".into())));
    }
}
