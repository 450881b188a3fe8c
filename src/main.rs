//! The program `loopline`: arguments in, exit status out.

use std::process::ExitCode;

fn main() -> ExitCode {
    loopline::cli::run()
}
