//! Server and driver processes, each on its own processors. They are killed when they are dropped, and by the
//! kernel when this program ends.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::kernel;
use crate::programs::{PortIs, Program};

/// The processors of server and driver.
#[derive(Debug, Clone)]
pub(crate) struct Cores {
    /// The processors of the server, in the format of `taskset`.
    pub(crate) server: String,
    /// The processor of the driver.
    pub(crate) driver: String,
}

impl Cores {
    /// Divides the processors of this process: the last is for the driver, the others for the server. A single
    /// processor is shared.
    pub(crate) fn assign() -> Result<Self> {
        let processors: Vec<String> = kernel::processors()?.iter().map(usize::to_string).collect();
        let (driver, server) = processors.split_last().context("no processor")?;
        let server = if server.is_empty() { std::slice::from_ref(driver) } else { server };
        Ok(Self { server: server.join(","), driver: driver.clone() })
    }
}

/// A command on these processors, which the kernel kills when this program ends.
fn pinned(cores: &str, command: impl IntoIterator<Item: AsRef<OsStr>>) -> Command {
    let mut pinned = Command::new("setpriv");
    // Its own process group: Ctrl-C is for this program only, which then ends the others.
    pinned.args(["--pdeathsig", "KILL", "taskset", "-c", cores]).args(command).process_group(0);
    pinned.stdin(Stdio::null());
    pinned
}

fn driver(program: &OsStr, arguments: &[String], cores: &str) -> Command {
    pinned(cores, [program].into_iter().chain(arguments.iter().map(OsStr::new)))
}

/// A listening server.
pub(crate) struct Server {
    process: Process,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn start(program: &Program, cores: &str) -> Result<Self> {
        Self::start_under(&[], program, cores)
    }

    /// Starts the server as the argument of `wrapper`, which executes it.
    pub(crate) fn start_under(wrapper: &[OsString], program: &Program, cores: &str) -> Result<Self> {
        let mut command = pinned(cores, wrapper.iter().chain(&program.command));
        // Warnings of a busy server are not shown; a failure is.
        match program.port {
            PortIs::Printed => command.stdout(Stdio::piped()).stderr(Stdio::null()),
            PortIs::Logged => command.stdout(Stdio::null()).stderr(Stdio::piped()),
        };
        let process = Process(command.spawn().with_context(|| format!("{command:?}"))?);
        let mut server = Self { process, port: 0 };
        let child = &mut server.process.0;
        let output: Box<dyn Read + Send> = match (child.stdout.take(), child.stderr.take()) {
            (Some(stdout), _) => Box::new(stdout),
            (_, log) => Box::new(log.context("the server has no log")?),
        };
        let mut lines = BufReader::new(output).lines();
        let mut last = String::new();
        while server.port == 0 {
            let Some(line) = lines.next() else { bail!("{:?} did not start: {last}", program.command) };
            last = line?;
            server.port = port(&last, program.port).unwrap_or(0);
        }
        // The pipe must have a reader as long as the server logs.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Stops the server with SIGTERM and waits for it.
    pub(crate) fn end(self) -> Result<()> {
        self.process.end(Signal::TERM)
    }
}

/// A process that is killed when it is dropped.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    /// Sends `signal` and waits for the end.
    pub(crate) fn end(mut self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.0), signal)?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that has ended already only needs the wait.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn port(line: &str, port: PortIs) -> Option<u16> {
    match port {
        PortIs::Printed => line.rsplit(':').next()?.parse().ok(),
        PortIs::Logged => line.split_once("listening: ")?.1.rsplit(':').next()?.parse().ok(),
    }
}

/// The output of a C driver.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Driven {
    pub(crate) messages: f64,
    seconds: f64,
    cpu: f64,
}

impl Driven {
    /// Messages a second.
    pub(crate) fn rate(&self) -> f64 {
        self.messages / self.seconds
    }

    /// Processor time of the servers per message, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu / self.messages * 1e6
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let mut number = |name| if words.next()? == name { words.next()?.parse().ok() } else { None };
        Some(Self { messages: number("messages")?, seconds: number("seconds")?, cpu: number("cpu")? })
    }
}

/// Runs a driver until it ends.
pub(crate) fn drive(program: &OsStr, arguments: &[String], cores: &str) -> Result<Driven> {
    let text = output(program, arguments, cores)?;
    Driven::parse(&text).with_context(|| format!("unexpected output of the driver: {text:?}"))
}

/// The standard output of a command.
pub(crate) fn output(program: &OsStr, arguments: &[String], cores: &str) -> Result<String> {
    let mut command = driver(program, arguments, cores);
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?.wait_with_output()?;
    if !output.status.success() {
        bail!("{}: {}", program.to_string_lossy(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Starts a driver that holds its connections until it is dropped, and waits until each had its replies.
pub(crate) fn hold(program: &OsStr, arguments: &[String], cores: &str) -> Result<Process> {
    let mut command = driver(program, arguments, cores);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut holder = Process(command.spawn()?);
    let mut line = String::new();
    let output = holder.0.stdout.take().context("the driver has no output")?;
    BufReader::new(output).read_line(&mut line)?;
    Driven::parse(&line).context("the driver could not open and use its connections")?;
    Ok(holder)
}

/// Waits for a condition that is expected soon.
pub(crate) fn wait_until(what: &str, is_met: impl Fn() -> bool) -> Result<()> {
    for _ in 0..10_000 {
        if is_met() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    bail!("timed out after 10 s: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_printed_or_logged() {
        assert_eq!(port("40123", PortIs::Printed), Some(40123));
        assert_eq!(port("listening on 127.0.0.1:40123", PortIs::Printed), Some(40123));
        let line =
            "INFO  [2026-11-21T12:00:00.000Z loopline::server::bind] listening: message tcp 127.0.0.1:9999";
        assert_eq!(port(line, PortIs::Logged), Some(9999));
        assert_eq!(port("INFO  [… loopline::server::bind] ready", PortIs::Logged), None);
    }

    #[test]
    fn incomplete_output_of_a_driver_is_rejected() {
        let driven = Driven::parse("messages 1000 seconds 0.500000000 cpu 0.002000000\n").unwrap();
        assert!((driven.rate() - 2000.0).abs() < 1e-9 && (driven.cpu_us() - 2.0).abs() < 1e-9);
        assert_eq!(Driven::parse("messages 1000 seconds 0.5"), None);
        assert_eq!(Driven::parse("messages many seconds 0.5 cpu 1"), None);
    }
}
