//! The journals of several hosts in one place: `deploy/shipper`, with the real rsyslog on each of them.

use std::collections::HashMap;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use rustix::process::{Pid, kill_process};
use serde_json::Value;

use super::common::{Hosts, Network, PROGRAM, Peer, Serve, Server, Signal, eventually, in_namespace};
use super::is_missing;

const COLLECTOR: &str = "10.20.0.2";

/// The name and the address of each host that is shipped from.
const SENDERS: [(&str, &str); 2] = [("alpha", "10.20.0.11"), ("beta", "10.20.0.12")];

/// The address of the test, which has the peers.
const PEERS: &str = "10.20.0.101";

/// Messages of each journal in each part of the test.
const MESSAGES: usize = 300;

#[test]
fn a_collector_has_each_acknowledged_message_of_all_hosts_across_rotations_and_kills() {
    if is_missing("rsyslogd") {
        return;
    }
    in_namespace(
        a_collector_has_each_acknowledged_message_of_all_hosts_across_rotations_and_kills,
        Network::Loopback,
        || {
            let directory = tempfile::tempdir().unwrap();
            let addresses = SENDERS.map(|(_, address)| address);
            let hosts = Hosts::start(&[PEERS], &[addresses.as_slice(), &[COLLECTOR]].concat());
            let mut collector = Rsyslog::new(COLLECTOR, directory.path(), "collector", "collector.conf");
            collector.run(&hosts);
            eventually("the collector listens", || TcpStream::connect((COLLECTOR, 2514)).ok());
            let mut senders =
                SENDERS.map(|(name, address)| Sender::start(&hosts, address, directory.path(), name));

            lose_the_shippers_while_lines_wait(&hosts, &collector, &mut senders);
            wait_until_collected(directory.path(), &senders);

            // The folder of an instance is made when that is started for the first time.
            senders.iter_mut().for_each(|sender| sender.add_server(&hosts, "log/1", 9997));
            for sender in &mut senders {
                sender.send();
                sender.rotate(2);
                sender.send();
            }
            wait_until_collected(directory.path(), &senders);
            for signal in [Signal::KILL, Signal::TERM] {
                senders.iter_mut().for_each(Sender::send);
                collector.stop(signal);
                senders.iter_mut().for_each(Sender::send);
                collector.run(&hosts);
                wait_until_collected(directory.path(), &senders);
            }
        },
    );
}

/// The collector accepts connections, but confirms nothing, while one shipper is killed and the other is stopped.
fn lose_the_shippers_while_lines_wait(hosts: &Hosts, collector: &Rsyslog, senders: &mut [Sender]) {
    collector.signal(Signal::STOP);
    for sender in &mut *senders {
        sender.send();
        sender.shipper.run(hosts);
        // It has read lines, and stores where it is before it sends the first of them.
        eventually("the shipper stores a position", || sender.shipper.has_stored_a_position().then_some(()));
        sender.rotate(1);
        sender.send();
    }
    for (sender, signal) in senders.iter_mut().zip([Signal::KILL, Signal::TERM]) {
        sender.shipper.stop(signal);
        sender.send();
        sender.shipper.run(hosts);
    }
    collector.signal(Signal::CONT);
}

fn wait_until_collected(directory: &Path, senders: &[Sender]) {
    for sender in senders {
        let mut seen = 0;
        let counts = eventually("the collector has every message", || {
            // Lines are read again once there are more.
            let bytes = fs::metadata(sender.path_at_collector(directory)).ok()?.len();
            if bytes == std::mem::replace(&mut seen, bytes) {
                return None;
            }
            let counts = sender.collected(directory);
            sender.acknowledged.iter().all(|text| counts.contains_key(text)).then_some(counts)
        });
        assert_eq!(counts.len(), sender.acknowledged.len(), "and no others");
        let lines: usize = counts.values().sum();
        println!("{}: {} messages, {} duplicates", sender.name, counts.len(), lines - counts.len());
    }
}

/// A host with servers, their journals, and what sends these to the collector.
struct Sender {
    name: &'static str,
    address: &'static str,
    folder: PathBuf,
    /// The service, and instances with folders of their own.
    servers: Vec<(Server, Peer, PathBuf)>,
    shipper: Rsyslog,
    acknowledged: Vec<String>,
}

impl Sender {
    fn start(hosts: &Hosts, address: &'static str, directory: &Path, name: &'static str) -> Self {
        let shipper = Rsyslog::new(address, directory, name, "host.conf");
        let folder = directory.join(name);
        let mut sender =
            Self { name, address, folder, servers: Vec::new(), shipper, acknowledged: Vec::new() };
        sender.add_server(hosts, "log", 9999);
        sender.add_server(hosts, "log/0", 9998);
        sender
    }

    fn add_server(&mut self, hosts: &Hosts, folder: &str, port: u16) {
        let folder = self.folder.join(folder);
        fs::create_dir_all(&folder).unwrap();
        let journal = folder.join("journal");
        let arguments = format!("message={}:{port} --journal-format json --journal", self.address);
        let server = Serve::by(hosts.command(self.address, PROGRAM), &arguments).arg(&journal).start();
        let peer = server.connect("message");
        self.servers.push((server, peer, journal));
    }

    fn send(&mut self) {
        for (_, peer, _) in &mut self.servers {
            for _ in 0..MESSAGES {
                // Characters that are escaped in JSON, and one that is in two bytes.
                let text = format!("{} \"\\{}\n\u{e9}\u{202e}", self.name, self.acknowledged.len());
                peer.exchange(&text);
                self.acknowledged.push(text);
            }
        }
    }

    /// Renames the journals, which are still written to, and makes the servers open new ones.
    fn rotate(&mut self, number: usize) {
        for (_, _, journal) in &self.servers {
            fs::rename(journal, journal.with_file_name(format!("journal-{number}"))).unwrap();
        }
        self.send();
        for (server, _, journal) in &self.servers {
            server.signal(Signal::HUP);
            eventually("the journal is reopened", || journal.exists().then_some(()));
        }
    }

    fn path_at_collector(&self, directory: &Path) -> PathBuf {
        directory.join("collector/log").join(format!("{}.jsonl", self.name))
    }

    /// How often each text is in the file of this host, of which the last line may not be whole.
    fn collected(&self, directory: &Path) -> HashMap<String, usize> {
        let lines = fs::read(self.path_at_collector(directory)).unwrap();
        let mut counts = HashMap::new();
        for line in lines.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            let value: Value = serde_json::from_slice(line).expect("a line of the journal");
            *counts.entry(value["text"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        counts
    }
}

/// An instance of rsyslog with a configuration of `deploy/shipper`, in which the paths and the name of the collector are
/// those of the test.
struct Rsyslog {
    address: &'static str,
    configuration: PathBuf,
    /// Whether its directory ends with it.
    forgets: bool,
    child: Option<Child>,
}

impl Rsyslog {
    fn new(address: &'static str, directory: &Path, name: &str, configuration: &str) -> Self {
        let folder = directory.join(name);
        fs::create_dir_all(folder.join("log")).unwrap();
        let mut text = fs::read_to_string(source(configuration)).unwrap();
        let [log, work] = match configuration {
            "host.conf" => ["/var/lib/loopline/", "/run/loopline-shipper"],
            _ => ["/var/log/loopline/", "/var/lib/loopline-collector"],
        };
        for (production, inner) in [(log, "log/"), (work, "work")] {
            assert!(text.contains(&format!("\"{production}")), "{configuration} has {production}");
            let path = folder.join(inner);
            text = text.replace(&format!("\"{production}"), &format!("\"{}", path.display()));
        }
        text = text.replace("collector.example", COLLECTOR);
        text.insert_str(0, &format!("global(localHostname=\"{name}\")\n"));
        let path = folder.join("rsyslog.conf");
        fs::write(&path, text).unwrap();
        let unit = fs::read_to_string(source("loopline-shipper.service")).unwrap();
        let forgets = configuration == "host.conf"
            && unit.contains("\nRuntimeDirectory=loopline-shipper\n")
            && !unit.contains("RuntimeDirectoryPreserve");
        Self { address, configuration: path, forgets, child: None }
    }

    /// Starts it, as systemd does.
    fn run(&mut self, hosts: &Hosts) {
        if self.forgets {
            let _ = fs::remove_dir_all(self.work());
        }
        fs::create_dir_all(self.work()).unwrap();
        let log = fs::File::create(self.configuration.with_extension("log")).unwrap();
        let mut command = hosts.command(self.address, "rsyslogd");
        command.args(["-n", "-iNONE", "-f"]).arg(&self.configuration).stdin(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().expect("it runs")), signal).unwrap();
    }

    fn stop(&mut self, signal: Signal) {
        self.signal(signal);
        self.child.take().expect("it runs").wait().unwrap();
    }

    fn work(&self) -> PathBuf {
        self.configuration.with_file_name("work")
    }

    fn has_stored_a_position(&self) -> bool {
        fs::read_dir(self.work()).unwrap().next().is_some()
    }
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/shipper").join(name)
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.configuration.with_extension("log"));
            eprintln!("{}: {log:?}", self.configuration.display());
        }
    }
}
