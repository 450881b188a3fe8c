//! `strace`, under which a server can be started. It shows the order of system calls, makes them fail, and kills
//! the server at one of them.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{loopline, without_options};

/// The program under `strace`, without arguments yet. The server is the child, and the tracer its grandchild, so that
/// signals and the exit status are those of the server. The log ends when the tracer has written all of `trace`.
pub(crate) fn traced(trace: &Path, options: &[&str]) -> Command {
    let mut strace = without_options("strace");
    strace.args(["--daemonize", "--follow-forks", "--decode-fds=path", "--string-limit=0"]);
    strace.arg("--output").arg(trace).args(options).arg("--").arg(loopline().get_program());
    strace
}

/// Whether there is no `strace`, so that the test must be skipped. `LOOPLINE_NO_SKIP=1` fails instead.
pub(crate) fn has_no_strace() -> bool {
    let version =
        Command::new("strace").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_missing = !version.is_ok_and(|status| status.success());
    if is_missing {
        assert!(std::env::var_os("LOOPLINE_NO_SKIP").is_none(), "strace is not installed");
        eprintln!("SKIPPED: strace is not installed");
    }
    is_missing
}
