//! A server as a child process: started, asked for its address, watched, and gone when this is.

#![expect(clippy::disallowed_methods, reason = "a child that does not come up is given up after a while")]

use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::plan::model_name;
use crate::server::options::Model;

/// A server that runs.
pub(super) struct Child {
    process: std::process::Child,
    /// Its log. Nobody reads it while the server runs: a log that finds its pipe full goes on without it.
    log: ChildStderr,
    pub(super) address: SocketAddr,
}

/// Why there is no server.
#[derive(Debug)]
pub(super) enum NoChild {
    /// A signal from outside has ended it.
    Killed(String),
    /// It cannot start; one line that says why.
    Cannot(String),
}

impl Child {
    /// Starts `program serve` and waits until it is ready. It runs where this thread may run.
    pub(super) fn start(program: &Path, model: Model, stack_bytes: Option<usize>) -> Result<Self, NoChild> {
        let mut command = Command::new(program);
        // What the environment says is meant for this process.
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
            command.env_remove(name);
        }
        command.args(["serve", "message=127.0.0.1:0", "--journal", "none", "--log", "info"]);
        command.args(["--model", model_name(model)]);
        if let Some(bytes) = stack_bytes {
            command.arg("--thread-stack").arg(format!("{}KiB", bytes >> 10));
        }
        // Ctrl-C is for this process alone, which ends the server when it has seen it.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let cannot = |what: String| NoChild::Cannot(format!("{}: {what}", program.display()));
        let mut process =
            command.spawn().map_err(|error| cannot(format!("the server cannot be started: {error}")))?;
        let Some(log) = process.stderr.take() else { return Err(cannot("it has no log".into())) };
        let mut child = Self { process, log, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        child.wait_until_ready()?;
        Ok(child)
    }

    fn wait_until_ready(&mut self) -> Result<(), NoChild> {
        let began = Instant::now();
        let mut text = String::new();
        while !text.contains("] ready\n") {
            let cannot = |why: &str| {
                let last = text.lines().last().unwrap_or_default();
                NoChild::Cannot(format!("the server {why}: {last}"))
            };
            if began.elapsed() > PATIENCE {
                return Err(cannot("is not ready after 10 s"));
            }
            match self.read_log(Duration::from_millis(100)) {
                Some(more) if more.is_empty() => {
                    let status = self.process.wait().map_err(|error| cannot(&error.to_string()))?;
                    return Err(killed_by(status).map_or_else(|| cannot("could not start"), NoChild::Killed));
                }
                more => text += &more.unwrap_or_default(),
            }
        }
        let address =
            text.lines().find_map(|line| line.split_once("listening: message tcp ")?.1.parse().ok());
        self.address =
            address.ok_or_else(|| NoChild::Cannot("the server does not say where it is".into()))?;
        Ok(())
    }

    /// What the log says now, if that is anything within `patience`; nothing at its end.
    fn read_log(&mut self, patience: Duration) -> Option<String> {
        let timeout = Timespec { tv_sec: 0, tv_nsec: patience.subsec_nanos().into() };
        let ready = poll(&mut [PollFd::new(&self.log, PollFlags::IN)], Some(&timeout));
        if !ready.is_ok_and(|ready| ready > 0) {
            return None;
        }
        let mut chunk = [0; 4096];
        let bytes = self.log.read(&mut chunk).unwrap_or(0);
        Some(String::from_utf8_lossy(&chunk[..bytes]).into_owned())
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What has ended it, if it has ended by itself or by somebody else.
    pub(super) fn ended(&mut self) -> Option<String> {
        let status = self.process.try_wait().ok()??;
        let last = self.read_log(Duration::ZERO).unwrap_or_default();
        let last = last.lines().last().unwrap_or_default().to_owned();
        Some(match killed_by(status) {
            Some(by) if last.is_empty() => by,
            Some(by) => format!("{by}: {last}"),
            None => format!("ended by itself ({status}): {last}"),
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Whoever has ended already is only waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn killed_by(status: ExitStatus) -> Option<String> {
    status.signal().map(|signal| match signal {
        // What the standard library does when a thread cannot begin.
        libc::SIGABRT => "aborted (signal 6)".into(),
        _ => format!("killed from outside by signal {signal}"),
    })
}

fn is_ours(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with("LOOPLINE_")
}

/// For a server to be ready, which takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
