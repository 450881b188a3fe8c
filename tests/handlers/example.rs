//! An example of the project, as a process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

pub struct Example {
    pub process: Child,
    pub address: SocketAddr,
}

impl Example {
    /// Starts an example that listens at a free port, with its other arguments.
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        // Cargo builds the examples beside the folder of this test.
        let test = std::env::current_exe().unwrap();
        let program = test.ancestors().nth(2).unwrap().join("examples").join(name);
        assert!(
            program.exists(),
            "no {}: build it with cargo build --examples --features handlers",
            program.display()
        );
        let mut command = Command::new(program);
        command.arg("127.0.0.1:0").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").unwrap().parse().unwrap();
        Self { process, address }
    }

    /// SIGTERM ends it, whoever is connected.
    pub fn stop(&mut self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
