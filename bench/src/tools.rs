//! `strace` and `valgrind`, which count the work of a server.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::bench::{Bench, Load, Until};
use crate::kernel;
use crate::process::{Driven, Process, Server, wait_until};
use crate::programs::{Program, is_installed};
use crate::report::Section;

/// Whether the tool is installed; if not, adds a note to `section`.
pub(crate) fn is_available(tool: &str, section: &mut Section) -> bool {
    let is_available = is_installed(tool);
    if !is_available {
        section.left_out.push(format!("the whole row: {tool} is not installed (Debian: {tool})"));
    }
    is_available
}

/// `strace` attached to a server.
pub(crate) struct Strace {
    process: Process,
    file: PathBuf,
}

impl Strace {
    /// Attaches to all threads of `server`; `options` select the output.
    pub(crate) fn attach(bench: &Bench, server: &Server, options: &[&str]) -> Result<Self> {
        let file = bench.programs.driver("strace.out");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "strace", "-f", "-qq"]).args(options).arg("-o").arg(&file);
        command.args(["-p", &server.pid().to_string()]).stdin(Stdio::null()).stderr(Stdio::null());
        let strace = Self { process: Process(command.spawn()?), file };
        wait_until("strace attaches to the server", || kernel::is_traced(server.pid()))?;
        Ok(strace)
    }

    /// Detaches and returns the output.
    pub(crate) fn detach(self) -> Result<String> {
        self.process.end(Signal::INT)?;
        Ok(fs::read_to_string(&self.file)?)
    }
}

/// System calls by name, from the output of `strace -c`.
pub(crate) fn calls(summary: &str) -> BTreeMap<String, f64> {
    let lines = summary.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Percentage of the time, seconds, microseconds per call, calls, errors if any, name.
    let rows = lines.filter(|words| words.len() >= 5 && words[0].parse::<f64>().is_ok());
    let named = rows.filter_map(|words| Some(((*words.last()?).to_owned(), words[3].parse().ok()?)));
    named.filter(|(name, _)| name != "total").collect()
}

/// The names of system calls in order, from the output of `strace`.
pub(crate) fn names(trace: &str) -> Vec<String> {
    let calls = trace.lines().filter_map(|line| line.split_whitespace().nth(1)?.split_once('('));
    calls.map(|(name, _)| name.to_owned()).filter(|name| name.starts_with(char::is_alphabetic)).collect()
}

/// The system calls for one connection: from the poll that reported it to the last call that is no poll. An earlier
/// poll was interrupted by `strace`, a later one waits for the next connection.
pub(crate) fn of_a_connection(names: &[String]) -> Vec<String> {
    let is_poll = |name: &String| name.starts_with("epoll_") && name.contains("wait");
    let accepted = names.iter().position(|name| name.starts_with("accept")).unwrap_or(0);
    let last = names.iter().rposition(|name| !is_poll(name)).map_or(0, |last| last + 1);
    names[accepted.saturating_sub(1)..last].to_vec()
}

/// A quantity that valgrind counts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counted {
    /// Instructions of the program, without the kernel.
    Instructions,
    /// Calls that allocate memory.
    Allocations,
}

impl Counted {
    /// The count while `program` answers `rounds` rounds of `load`, including start and end.
    pub(crate) fn of(self, bench: &Bench, program: &Program, load: Load, rounds: usize) -> Result<f64> {
        self.while_driven(bench, program, |port| bench.drive(port, load, &Until::Rounds(rounds), &[]))
    }

    /// The count while `program` is driven at its port, including start and end.
    pub(crate) fn while_driven(
        self,
        bench: &Bench,
        program: &Program,
        drive: impl FnOnce(u16) -> Result<Driven>,
    ) -> Result<f64> {
        let log = bench.programs.driver("valgrind.log");
        let tool: &[&str] = match self {
            Self::Instructions => &["--tool=callgrind", "--callgrind-out-file=/dev/null"],
            Self::Allocations => &["--tool=memcheck", "--leak-check=no", "--undef-value-errors=no"],
        };
        let mut valgrind: Vec<OsString> = vec!["valgrind".into()];
        valgrind.extend(tool.iter().map(OsString::from));
        valgrind.push(format!("--log-file={}", log.display()).into());
        let server = Server::start_under(&valgrind, program, &bench.cores.server)?;
        drive(server.port)?;
        server.end()?;
        let log = fs::read_to_string(&log)?;
        self.read(&log).with_context(|| {
            format!("unexpected output of valgrind: {}", log.lines().last().unwrap_or_default())
        })
    }

    fn read(self, log: &str) -> Option<f64> {
        let after = |name| log.lines().find_map(|line| line.split_once(name)?.1.split_whitespace().next());
        let number = match self {
            Self::Instructions => after("Collected :"),
            Self::Allocations => after("total heap usage:"),
        };
        number?.replace(',', "").parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_from_a_summary() {
        let summary = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 61.54    0.000321           3       107           sendto
 38.46    0.000200           1       120        13 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.000521           2       227        13 total
";
        let expected = [("recvfrom".to_owned(), 120.0), ("sendto".to_owned(), 107.0)];
        assert_eq!(calls(summary), BTreeMap::from(expected));
        assert!(calls("").is_empty());
    }

    #[test]
    fn names_are_read_from_a_trace() {
        let trace = "\
812   epoll_wait(4, [{events=EPOLLIN}], 1024, -1) = 1
812   accept4(3, NULL, NULL, SOCK_NONBLOCK) = 5
812   <... epoll_wait resumed>0x5, 1024, -1) = 0
812   --- SIGURG {si_signo=SIGURG} ---
812   close(5)                          = 0
";
        assert_eq!(names(trace), ["epoll_wait", "accept4", "close"]);
    }

    #[test]
    fn polls_before_and_after_a_connection_are_not_its_own() {
        let names = |names: &str| names.split(' ').map(String::from).collect::<Vec<_>>();
        let all = names("epoll_wait epoll_wait accept4 epoll_wait recvfrom close epoll_wait");
        assert_eq!(of_a_connection(&all), names("epoll_wait accept4 epoll_wait recvfrom close"));
        assert!(of_a_connection(&[]).is_empty());
    }

    #[test]
    fn counts_are_read_from_the_logs_of_valgrind() {
        let callgrind =
            "==7== Events    : Ir\n==7== Collected : 2219344\n==7== \n==7== I   refs:      2,219,344\n";
        assert_eq!(Counted::Instructions.read(callgrind), Some(2_219_344.0));
        let memcheck = "==7== HEAP SUMMARY:\n==7==   total heap usage: 1,234 allocs, 1,230 frees, 99,999 bytes allocated\n";
        assert_eq!(Counted::Allocations.read(memcheck), Some(1234.0));
        assert_eq!(Counted::Allocations.read(callgrind), None);
    }
}
