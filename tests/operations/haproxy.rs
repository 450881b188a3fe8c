//! `HAProxy` before three servers, each host in a network namespace with an address of its own: one server is killed and one
//! drained under load, and no client that retries loses a message.
//!
//! Of the configuration, only the lines about users and about the number of connections are left out, for which a namespace
//! and a machine with few descriptors have no room.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::common::{
    Hosts, Network, PROGRAM, Peer, Serve, Server, Signal, acknowledgement, eventually, frame, in_namespace,
    output, stall,
};
use crate::is_missing;

const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/haproxy/haproxy.cfg");

const BALANCER: &str = "10.20.0.2";
const SERVERS: [&str; 3] = ["10.20.0.11", "10.20.0.12", "10.20.0.13"];
const CLIENTS: [&str; 4] = ["10.20.0.101", "10.20.0.102", "10.20.0.103", "10.20.0.104"];

const CONNECTIONS: usize = 24;

#[test]
fn haproxy_accepts_its_configuration() {
    if is_missing("haproxy") {
        return;
    }
    let checked = output(Command::new("haproxy").args(["-c", "-f", CONFIGURATION]));
    let text = String::from_utf8_lossy(&checked.stderr) + String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && !text.contains("WARNING"), "{text}");
}

#[test]
fn behind_haproxy_a_killed_and_a_drained_server_lose_no_message_of_clients_that_retry() {
    if is_missing("haproxy") {
        return;
    }
    in_namespace(
        behind_haproxy_a_killed_and_a_drained_server_lose_no_message_of_clients_that_retry,
        Network::Loopback,
        || {
            let directory = TempDir::new().unwrap();
            let hosts = Hosts::start(&CLIENTS, &[SERVERS.as_slice(), &[BALANCER]].concat());
            let journals = SERVERS.map(|address| directory.path().join(address));
            let start =
                |index: usize, arguments: &str| serve(&hosts, SERVERS[index], &journals[index], arguments);
            let servers = [start(0, ""), start(1, "--drain-delay 1h"), start(2, "")];
            let balancer = Balancer::start(&hosts, directory.path());
            let load = Load::start();
            load.wait_for_more(200);
            let has_lines = |path: &Path| fs::metadata(path).is_ok_and(|file| file.len() > 0);
            eventually("each server has messages", || {
                journals.iter().all(|path| has_lines(path)).then_some(())
            });

            let [killed, mut drained, stays] = servers;
            killed.signal(Signal::KILL);
            assert!(!killed.wait().status.success());
            load.wait_for_more(500);
            balancer.wait_for_log("Server message/a is DOWN");

            drained.signal(Signal::TERM);
            balancer.wait_for_log("Server message/b is DOWN");
            // It is still in the drain delay, and so was found to stop by its health check.
            assert!(drained.is_running() && !drained.log().contains("] stopping: "), "{}", drained.log());
            // A second signal ends the delay.
            drained.signal(Signal::TERM);
            let drained = drained.wait();
            assert!(drained.status.success() && !drained.log.contains("unfinished"), "{}", drained.log);
            load.wait_for_more(500);

            let sent = load.finish();
            stays.stop_cleanly();
            check(&sent, &journals.map(|path| fs::read_to_string(path).unwrap()));
        },
    );
}

/// Each message is in exactly one journal, or in at least one if it was sent again, with an address that its client had. All
/// messages of a connection are in the journal of one server.
fn check(sent: &[Sent], journals: &[String; 3]) {
    let mut lines: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut server_of: HashMap<&str, usize> = HashMap::new();
    for (server, journal) in journals.iter().enumerate() {
        for line in journal.lines() {
            let (peer, text) = line.strip_prefix('[').unwrap().split_once("] ").unwrap();
            lines.entry(text).or_default().push(peer);
            assert_eq!(*server_of.entry(peer).or_insert(server), server, "{line}");
        }
    }
    let mut sent_again = 0;
    for Sent { text, from } in sent {
        let peers = lines.remove(text.as_str()).unwrap_or_default();
        if from.len() == 1 {
            assert_eq!(peers.len(), 1, "{text} was acknowledged once: {peers:?}");
        } else {
            sent_again += 1;
            assert!((1..=from.len()).contains(&peers.len()), "{text}: {peers:?}");
        }
        let from: HashSet<String> = from.iter().map(ToString::to_string).collect();
        assert!(peers.iter().all(|peer| from.contains(*peer)), "{text} is of {from:?}, not {peers:?}");
    }
    assert!(lines.is_empty(), "nothing else is in a journal: {lines:?}");
    assert!(sent_again > 0 && sent_again < sent.len() / 2, "{sent_again} of {} are sent again", sent.len());
    eprintln!("{} messages, {sent_again} of them sent again", sent.len());
}

/// A server at `address`, with the line of its configuration.
fn serve(hosts: &Hosts, address: &str, journal: &Path, arguments: &str) -> Server {
    let mut command = hosts.command(address, PROGRAM);
    command.stdin(Stdio::null());
    let endpoints = format!("message+proxy={address}:9999 --metrics {address}:9464");
    Serve::by(command, &format!("{endpoints} {arguments} --journal")).arg(journal).start()
}

/// `HAProxy`, which is killed on drop.
struct Balancer {
    process: Child,
    log: Arc<Mutex<String>>,
}

impl Balancer {
    fn start(hosts: &Hosts, directory: &Path) -> Self {
        let configuration = fs::read_to_string(CONFIGURATION).unwrap();
        let left_out = ["user ", "group ", "maxconn "];
        let is_in = |line: &&str| !left_out.iter().any(|word| line.trim().starts_with(word));
        let lines: Vec<&str> = configuration.lines().filter(is_in).collect();
        let path = directory.join("haproxy.cfg");
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        let mut command = hosts.command(BALANCER, "haproxy");
        command.args(["-db", "-f"]).arg(&path).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (mut stdout, collected) = (process.stdout.take().unwrap(), log.clone());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(bytes @ 1..) = stdout.read(&mut buffer) {
                collected.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..bytes]));
            }
        });
        Self { process, log }
    }

    fn wait_for_log(&self, text: &str) {
        eventually(text, || self.log.lock().unwrap().contains(text).then_some(()));
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("the log of HAProxy:\n{}", self.log.lock().unwrap());
        }
    }
}

/// A message that was acknowledged in the end.
struct Sent {
    text: String,
    /// The addresses of the connections on which it was sent.
    from: Vec<SocketAddr>,
}

/// Clients that send one message after the other, each until it is acknowledged.
struct Load {
    is_over: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    clients: Vec<thread::JoinHandle<Vec<Sent>>>,
}

impl Load {
    fn start() -> Self {
        let (is_over, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = |number: usize| {
            let (is_over, acknowledged) = (is_over.clone(), acknowledged.clone());
            thread::spawn(move || run_client(number, &is_over, &acknowledged))
        };
        let clients = (0..CONNECTIONS).map(client).collect();
        Self { is_over, acknowledged, clients }
    }

    fn wait_for_more(&self, messages: usize) {
        let before = self.acknowledged.load(Ordering::SeqCst);
        let now = || self.acknowledged.load(Ordering::SeqCst);
        eventually("messages are acknowledged", || (now() >= before + messages).then_some(()));
    }

    fn finish(self) -> Vec<Sent> {
        self.is_over.store(true, Ordering::SeqCst);
        self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    }
}

fn run_client(number: usize, is_over: &AtomicBool, acknowledged: &AtomicUsize) -> Vec<Sent> {
    let address = SocketAddr::new(BALANCER.parse().unwrap(), 9999);
    let (mut sent, mut connection) = (Vec::new(), None);
    while !is_over.load(Ordering::SeqCst) {
        let text = format!("message {} of client {number}", sent.len());
        let mut from = Vec::new();
        eventually("the message is acknowledged", || {
            if connection.is_none() {
                connection = connect(CLIENTS[number % CLIENTS.len()], address);
            }
            let peer: &mut Peer = connection.as_mut()?;
            from.push(peer.local_address());
            let is_acknowledged = exchange(peer, &text);
            if is_acknowledged.is_none() {
                connection = None;
            }
            is_acknowledged
        });
        acknowledged.fetch_add(1, Ordering::SeqCst);
        sent.push(Sent { text, from });
        stall(Duration::from_millis(2));
    }
    sent
}

/// A connection from a port that no connection had before. The kernel may choose the port of a connection that has ended, and
/// then one address is in the journals of two servers.
fn connect(source: &str, address: SocketAddr) -> Option<Peer> {
    static NEXT_PORT: AtomicU16 = AtomicU16::new(10_000);
    let port = NEXT_PORT.fetch_add(1, Ordering::SeqCst);
    assert!(port >= 10_000, "each port was used once");
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(source.parse().unwrap(), port).into()).unwrap();
    socket.connect(&address.into()).ok()?;
    Some(Peer::on(socket.into()))
}

/// Sends a message, and reads its acknowledgement, if that comes.
fn exchange(peer: &mut Peer, text: &str) -> Option<()> {
    peer.try_send(&frame(text)).ok()?;
    let mut reply = acknowledgement();
    peer.stream.read_exact(&mut reply).ok()?;
    assert_eq!(reply, acknowledgement());
    Some(())
}
