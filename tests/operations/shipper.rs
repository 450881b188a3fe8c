//! The journals of several hosts in one place: `deploy/shipper`, with the real rsyslog on each of them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, kill_process};
use serde_json::Value;

use super::common::{Network, Peer, Serve, Server, Signal, eventually, in_namespace};
use super::is_missing;

/// Messages of each host in each part of the test.
const MESSAGES: usize = 300;

#[test]
fn a_collector_has_each_acknowledged_message_of_all_hosts_across_rotations_and_kills() {
    if is_missing("rsyslogd") {
        return;
    }
    // The configurations have fixed ports.
    in_namespace(
        a_collector_has_each_acknowledged_message_of_all_hosts_across_rotations_and_kills,
        Network::Loopback,
        || {
            let directory = tempfile::tempdir().unwrap();
            let mut collector = Rsyslog::new(directory.path(), "collector", "collector.conf");
            let mut hosts: Vec<Host> =
                ["alpha", "beta"].into_iter().map(|name| Host::new(directory.path(), name)).collect();
            for part in 0..4 {
                for host in &mut hosts {
                    host.send_and_kill_or_rotate(part);
                }
                if part == 2 {
                    collector.restart(Signal::TERM);
                }
            }
            for host in &hosts {
                let path = directory.path().join("collector/log").join(format!("{}.jsonl", host.name));
                let counts = eventually("the collector has every message", || {
                    let counts = texts(&fs::read(&path).ok()?);
                    host.acknowledged.iter().all(|text| counts.contains_key(text)).then_some(counts)
                });
                assert_eq!(counts.len(), host.acknowledged.len(), "and no others");
                let lines: usize = counts.values().sum();
                let duplicates = lines - counts.len();
                println!("{}: {} messages, {duplicates} duplicates", host.name, counts.len());
            }
        },
    );
}

/// How often each text is in these lines, of which the last may not be whole.
fn texts(lines: &[u8]) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for line in lines.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        let value: Value = serde_json::from_slice(line).expect("a line of the journal");
        *counts.entry(value["text"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

/// A server with its journal, and what sends it to the collector.
struct Host {
    name: &'static str,
    journal: PathBuf,
    server: Server,
    peer: Peer,
    shipper: Rsyslog,
    acknowledged: Vec<String>,
}

impl Host {
    fn new(directory: &Path, name: &'static str) -> Self {
        let shipper = Rsyslog::new(directory, name, "host.conf");
        let journal = directory.join(name).join("log/journal");
        let server = Serve::new("message=0 --journal-format json --journal").arg(&journal).start();
        let peer = server.connect("message");
        Self { name, journal, server, peer, shipper, acknowledged: Vec::new() }
    }

    fn send(&mut self) {
        for _ in 0..MESSAGES {
            // Characters that are escaped in JSON, and one that is in two bytes.
            let text = format!("{} \"\\{}\n\u{e9}\u{202e}", self.name, self.acknowledged.len());
            self.peer.exchange(&text);
            self.acknowledged.push(text);
        }
    }

    /// The shipper is killed between messages, before, while and after the journal is rotated.
    fn send_and_kill_or_rotate(&mut self, part: usize) {
        self.send();
        match part {
            1 => {
                let rotated = self.journal.with_file_name("journal.1");
                fs::rename(&self.journal, rotated).unwrap();
                // The file is still written to.
                self.send();
                self.shipper.stop(Signal::KILL);
                self.server.signal(Signal::HUP);
                self.server.wait_for_log("the journal was reopened");
                self.send();
                self.shipper.start();
                self.send();
            }
            2 => self.shipper.restart(Signal::TERM),
            _ => self.shipper.restart(Signal::KILL),
        }
    }
}

/// An instance of rsyslog with a configuration of `deploy/shipper`, in which names and paths are those of the test.
struct Rsyslog {
    configuration: PathBuf,
    child: Child,
}

impl Rsyslog {
    fn new(directory: &Path, name: &str, configuration: &str) -> Self {
        let folder = directory.join(name);
        ["log", "state"].iter().for_each(|inner| fs::create_dir_all(folder.join(inner)).unwrap());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/shipper").join(configuration);
        let mut text = fs::read_to_string(source).unwrap();
        let [journal, state] = match configuration {
            "host.conf" => ["/var/lib/loopline/", "/var/lib/loopline-shipper"],
            _ => ["/var/log/loopline/", "/var/lib/loopline-collector"],
        };
        for (production, inner) in [(journal, "log/"), (state, "state")] {
            assert!(text.contains(&format!("\"{production}")), "{configuration} has {production}");
            let path = folder.join(inner);
            text = text.replace(&format!("\"{production}"), &format!("\"{}", path.display()));
        }
        text = text.replace("collector.example", "127.0.0.1");
        text.insert_str(0, &format!("global(localHostname=\"{name}\")\n"));
        let path = folder.join("rsyslog.conf");
        fs::write(&path, text).unwrap();
        let child = Self::spawn(&path);
        Self { configuration: path, child }
    }

    /// Runs a command of the unit, as systemd does.
    fn run_of_unit(configuration: &Path, key: &str, result: &str) {
        let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/shipper/loopline-shipper.service");
        let unit = fs::read_to_string(unit).unwrap();
        let command = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix("=/bin/sh -c '"));
        let script = command.unwrap().strip_suffix('\'').unwrap();
        let state = configuration.with_file_name("state");
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).env("STATE_DIRECTORY", state).env("SERVICE_RESULT", result);
        assert!(shell.status().unwrap().success(), "{key}");
    }

    fn spawn(configuration: &Path) -> Child {
        Self::run_of_unit(configuration, "ExecStartPre", "");
        let log = fs::File::create(configuration.with_extension("log")).unwrap();
        let mut command = Command::new("rsyslogd");
        command.args(["-n", "-iNONE", "-f"]).arg(configuration).stdin(Stdio::null()).stderr(log);
        command.spawn().unwrap()
    }

    fn stop(&mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap();
        let result = if signal == Signal::TERM { "success" } else { "signal" };
        Self::run_of_unit(&self.configuration, "ExecStopPost", result);
    }

    fn start(&mut self) {
        self.child = Self::spawn(&self.configuration);
    }

    fn restart(&mut self, signal: Signal) {
        self.stop(signal);
        self.start();
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.configuration.with_extension("log"));
            eprintln!("{}: {log:?}", self.configuration.display());
        }
    }
}
