//! A server as a child process, which ends when its value is dropped, or the comparison is killed.

#![expect(clippy::disallowed_methods, reason = "a child that is not ready in time has failed")]

pub(crate) mod guard;
mod with;

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::guard::Guard;
use super::process_stats::Processes;
use crate::compare::server::Server;
use crate::report::format;
use crate::service::Definition;

/// A running server.
pub(super) struct Child {
    process: std::process::Child,
    log: Log,
    pub(super) address: SocketAddr,
    /// Ends what is left of the process group.
    guard: Guard,
}

/// What the server writes to standard error.
enum Log {
    /// The log of this program. It is not read while the server runs, since the logger drops lines if the pipe is full.
    Pipe(ChildStderr),
    /// A file without a name, since other programs wait if a pipe is full.
    File(File),
}

/// Why a server did not start.
#[derive(Debug)]
pub(super) enum StartError {
    /// It began, and failed as a server under load may: a signal ended it, or it was too slow.
    Ended(String),
    /// One line with the reason, for which no server starts.
    Failed(String),
}

impl Child {
    /// Starts `server` and waits until it is ready, which usually takes milliseconds. It inherits the CPU affinity of
    /// this thread. `program` is this program.
    pub(super) fn start(
        program: &Path,
        service: &Definition,
        server: Server,
        stack_bytes: Option<usize>,
        ready_timeout: Duration,
    ) -> Result<Self, StartError> {
        match server {
            Server::Loop | Server::Threads => {
                Self::start_model(program, service, server, stack_bytes, ready_timeout)
            }
            Server::With(with) => Self::start_command(program, with, ready_timeout),
        }
    }

    /// Starts `program serve`.
    fn start_model(
        program: &Path,
        service: &Definition,
        model: Server,
        stack_bytes: Option<usize>,
        ready_timeout: Duration,
    ) -> Result<Self, StartError> {
        let mut command = without_options(program);
        command.arg("serve").arg(format!("{}=127.0.0.1:0", service.name));
        command.args(["--journal", "none", "--log", "info"]);
        command.args(["--model", model.name()]);
        if let Some(bytes) = stack_bytes {
            command.arg("--thread-stack").arg(format!("{}KiB", bytes >> 10));
        }
        let failed = |what: String| StartError::Failed(format!("{}: {what}", program.display()));
        let not_started = |error: io::Error| failed(format!("cannot start the server: {error}"));
        let (mut process, guard) = spawn(program, command.stderr(Stdio::piped())).map_err(not_started)?;
        let Some(log) = process.stderr.take() else { return Err(failed("the server has no log".into())) };
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut child = Self { process, log: Log::Pipe(log), address, guard };
        child.wait_until_ready(service, ready_timeout)?;
        Ok(child)
    }

    fn wait_until_ready(&mut self, service: &Definition, timeout: Duration) -> Result<(), StartError> {
        let began = Instant::now();
        let mut text = String::new();
        while !text.contains("] ready\n") {
            let failed = |why: &str| {
                let last = text.lines().last().unwrap_or_default();
                StartError::Failed(format!("the server {why}: {last}"))
            };
            if began.elapsed() > timeout {
                return Err(StartError::Ended(format!(
                    "not ready after {}",
                    format::time_us(timeout.as_secs_f64() * 1e6)
                )));
            }
            match self.read_log(Duration::from_millis(100)) {
                Some(more) if more.is_empty() => {
                    let status = self.process.wait().map_err(|error| failed(&error.to_string()))?;
                    return Err(
                        killed_by(status).map_or_else(|| failed("could not start"), StartError::Ended)
                    );
                }
                more => text += &more.unwrap_or_default(),
            }
        }
        let listening = format!("listening: {} {} ", service.name, service.transport());
        let address = text.lines().find_map(|line| line.split_once(&listening)?.1.parse().ok());
        self.address = address.ok_or_else(|| StartError::Failed("the server logged no address".into()))?;
        Ok(())
    }

    /// What the server has logged; `None` if there is nothing within `timeout`, empty at the end of the log.
    fn read_log(&mut self, timeout: Duration) -> Option<String> {
        let log = match &mut self.log {
            Log::Pipe(log) => log,
            Log::File(log) => return end_of(log).ok(),
        };
        let timeout = Timespec { tv_sec: 0, tv_nsec: timeout.subsec_nanos().into() };
        let ready = poll(&mut [PollFd::new(log, PollFlags::IN)], Some(&timeout));
        if !ready.is_ok_and(|ready| ready > 0) {
            return None;
        }
        let mut chunk = [0; 4096];
        let bytes = log.read(&mut chunk).unwrap_or(0);
        Some(String::from_utf8_lossy(&chunk[..bytes]).into_owned())
    }

    pub(super) fn processes(&self) -> Processes {
        match self.log {
            Log::Pipe(_) => Processes::Server(self.process.id()),
            Log::File(_) => Processes::Group(self.guard.group().as_raw_pid().unsigned_abs()),
        }
    }

    /// How the server ended, if it has.
    pub(super) fn exit_reason(&mut self) -> Option<String> {
        let status = self.process.try_wait().ok()??;
        let how = killed_by(status).unwrap_or_else(|| format!("exited ({status})"));
        let last = self.last_line();
        Some(if last.is_empty() { how } else { format!("{how}: {last}") })
    }

    /// The last line of the log, without characters that could change the terminal.
    fn last_line(&mut self) -> String {
        let log = self.read_log(Duration::ZERO).unwrap_or_default();
        let last = log.trim_end().lines().last().unwrap_or_default();
        last.chars().map(|it| if it.is_control() { char::REPLACEMENT_CHARACTER } else { it }).collect()
    }
}

/// Starts `command` in the group of a guard, which `program` is. It reads nothing.
fn spawn(program: &Path, command: &mut Command) -> io::Result<(std::process::Child, Guard)> {
    let guard = Guard::start(program)?;
    command.process_group(guard.group().as_raw_pid()).stdin(Stdio::null()).stdout(Stdio::null());
    Ok((command.spawn()?, guard))
}

/// A command without the options in the environment, which are meant for this process.
fn without_options(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
        command.env_remove(name);
    }
    command
}

impl Drop for Child {
    fn drop(&mut self) {
        // A process that has ended already only needs the wait.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn killed_by(status: ExitStatus) -> Option<String> {
    status.signal().map(|signal| match signal {
        // The standard library aborts if a thread fails to start.
        libc::SIGABRT => "aborted (signal 6)".into(),
        _ => format!("killed by signal {signal}"),
    })
}

/// The last bytes of `log`.
fn end_of(log: &File) -> io::Result<String> {
    let mut end = [0; END_BYTES];
    let bytes = log.read_at(&mut end, log.metadata()?.len().saturating_sub(END_BYTES as u64))?;
    Ok(String::from_utf8_lossy(&end[..bytes]).into_owned())
}

fn is_ours(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with("LOOPLINE_")
}

/// What is read of a log for its last line.
const END_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::message;

    #[test]
    fn a_server_that_is_not_ready_in_time_fails_its_run_only() {
        let start = |program: &str| {
            Child::start(Path::new(program), &message::DEFINITION, Server::Loop, None, Duration::ZERO).err()
        };
        let slow = start("true");
        assert!(
            matches!(&slow, Some(StartError::Ended(how)) if how.starts_with("not ready after ")),
            "{slow:?}"
        );
        assert!(matches!(start("/no/such/program"), Some(StartError::Failed(_))));
    }

    #[test]
    fn a_server_is_in_the_group_of_its_guard_and_both_are_gone_afterwards() {
        // As the guard does, it reads standard input to its end.
        let (process, guard) = spawn(Path::new("xargs"), &mut Command::new("true")).unwrap();
        let pids = [process.id(), guard.group().as_raw_pid().unsigned_abs()];
        let log = Log::File(tempfile::tempfile().unwrap());
        let child = Child { process, log, address: SocketAddr::from(([127, 0, 0, 1], 0)), guard };
        assert_eq!(child.processes().now(), pids[..1], "all but the guard");
        drop(child);
        let are_left = pids.map(|pid| Path::new(&format!("/proc/{pid}")).exists());
        assert_eq!(are_left, [false, false]);
    }

    #[test]
    fn the_last_line_of_a_long_log_is_found() {
        use std::io::Write;
        let mut log = tempfile::tempfile().unwrap();
        write!(log, "{}\nthe last line", "x".repeat(10_000)).unwrap();
        assert_eq!(end_of(&log).unwrap().lines().last(), Some("the last line"));
    }
}
