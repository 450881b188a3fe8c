//! A process that ends a server and its children when the comparison ends, also by SIGKILL.
//!
//! It leads the process group in which the server runs, and waits for the end of a pipe whose other end only the
//! comparison holds. A parent-death signal would end the server alone, not what a shell has started.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_current_process_group, kill_process_group};

/// The name of the hidden sub-command.
pub(crate) const NAME: &str = "guard";

/// The sub-command: waits for the end of standard input, and kills its process group.
pub(crate) fn run() {
    // An error ends the input, too.
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    let _ = kill_current_process_group(Signal::KILL);
}

/// A running guard. Dropping it kills its process group.
pub(super) struct Guard {
    process: std::process::Child,
}

impl Guard {
    /// Starts `program guard` in a process group of its own.
    pub(super) fn start(program: &Path) -> io::Result<Self> {
        let mut command = Command::new(program);
        // Ctrl-C is for the comparison only, which then ends the server.
        command.arg(NAME).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { process: command.spawn()? })
    }

    /// The process group, which exists until this value is dropped.
    pub(super) fn group(&self) -> Pid {
        Pid::from_child(&self.process)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = kill_process_group(self.group(), Signal::KILL);
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn the_end_of_a_guard_kills_its_group() {
        // As the guard does, it reads standard input to its end.
        let guard = Guard::start(Path::new("xargs")).unwrap();
        assert!(guard.process.stdin.is_some(), "it waits for the end of this process, not of its input");
        let mut member = Command::new("cat");
        member.process_group(guard.group().as_raw_pid()).stdin(Stdio::piped());
        let mut member = member.spawn().unwrap();
        drop(guard);
        assert_eq!(member.wait().unwrap().signal(), Some(9));
    }
}
