//! The program `loopline`: arguments in, exit status out.

use std::process::ExitCode;

#[cfg(feature = "cli")]
use loopline::cli;
#[cfg(not(feature = "cli"))]
use loopline::minimal as cli;

fn main() -> ExitCode {
    cli::run()
}
