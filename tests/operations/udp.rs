//! `month` on several hosts: `deploy/udp/nginx.conf`, with the real nginx.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use super::common::{
    Hosts, INTRODUCTION, MONTHS, Network, PROGRAM, Serve, Server, Signal, eventually, in_namespace, output,
};
use super::is_missing;

/// The addresses of the configuration.
const SERVERS: [&str; 3] = ["192.0.2.11", "192.0.2.12", "192.0.2.13"];
const BALANCER: &str = "192.0.2.2";
const PEERS_HOST: &str = "192.0.2.101";

const PEERS: usize = 60;

#[test]
fn the_peers_of_a_killed_server_are_greeted_by_another_and_the_rest_notice_nothing() {
    if is_missing("nginx") {
        return;
    }
    in_namespace(
        the_peers_of_a_killed_server_are_greeted_by_another_and_the_rest_notice_nothing,
        Network::Loopback,
        || {
            let directory = tempfile::tempdir().unwrap();
            let hosts = Hosts::start(&[PEERS_HOST], &[SERVERS.as_slice(), &[BALANCER]].concat());
            let mut servers: Vec<Server> = SERVERS
                .iter()
                .map(|address| {
                    // As README.md asks for.
                    let mut limit = hosts.command(address, "sh");
                    limit.args(["-ec", "echo 0 > /proc/sys/net/ipv4/icmp_ratelimit"]);
                    assert!(output(&mut limit).status.success());
                    let arguments = format!("month={address}:8091 --udp-replies off");
                    Serve::by(hosts.command(address, PROGRAM), &arguments).start()
                })
                .collect();
            let nginx = Nginx::start(&hosts, directory.path());
            let mut peers: Vec<Peer> = std::iter::repeat_with(Peer::new).take(PEERS).collect();
            each(&mut peers, Peer::say_hello);
            (0..5).for_each(|round| each(&mut peers, |peer| peer.ask(round)));
            assert!(peers.iter().all(|peer| peer.greetings == 1), "each peer stays with its server");

            // The kernel refuses the next datagrams, in the middle of a round.
            let (first, second) = peers.split_at_mut(PEERS / 2);
            each(first, |peer| peer.ask(5));
            let killed = servers.remove(1);
            killed.signal(Signal::KILL);
            killed.wait();
            each(second, |peer| peer.ask(5));
            (6..12).for_each(|round| each(&mut peers, |peer| peer.ask(round)));
            let moved = peers.iter().filter(|peer| peer.greetings == 2).count();
            let lost: usize = peers.iter().map(|peer| peer.lost).sum();
            println!("{moved} of {PEERS} peers were greeted anew, {lost} datagrams were lost");
            assert!(peers.iter().all(|peer| peer.greetings <= 2), "once");
            assert!(0 < moved && moved < PEERS, "those of one server: {moved}");
            drop(nginx);
        },
    );
}

/// All peers at the same time.
fn each(peers: &mut [Peer], what: impl Fn(&mut Peer) + Sync) {
    let what = &what;
    thread::scope(|scope| peers.iter_mut().for_each(|peer| drop(scope.spawn(move || what(peer)))));
}

/// A peer that sends again what is not answered.
struct Peer {
    socket: UdpSocket,
    greetings: usize,
    lost: usize,
}

impl Peer {
    fn new() -> Self {
        let socket = UdpSocket::bind((PEERS_HOST, 0)).unwrap();
        socket.connect((BALANCER, 8091)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        Self { socket, greetings: 0, lost: 0 }
    }

    fn request(&mut self, text: &str) -> String {
        let mut buffer = [0; 2048];
        let bytes = eventually("a datagram is answered", || {
            self.socket.send(text.as_bytes()).unwrap();
            // nginx sends an empty datagram where a server refuses one.
            let received = self.socket.recv(&mut buffer).ok().filter(|bytes| *bytes > 0);
            self.lost += usize::from(received.is_none());
            received
        });
        String::from_utf8(buffer[..bytes].to_vec()).unwrap()
    }

    fn say_hello(&mut self) {
        // The introduction is not longer than three times what it answers.
        assert_eq!(self.request(&format!("{:<30}", "hello")), INTRODUCTION);
        self.greetings += 1;
    }

    /// Asks for a month, and again if it is greeted first.
    fn ask(&mut self, month: usize) {
        let number = format!("{:<30}", month + 1);
        let mut reply = self.request(&number);
        if reply == INTRODUCTION {
            self.greetings += 1;
            reply = self.request(&number);
        }
        assert_eq!(reply, MONTHS[month]);
    }
}

struct Nginx(Child);

impl Nginx {
    fn start(hosts: &Hosts, directory: &Path) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/udp/nginx.conf");
        let mut text = fs::read_to_string(source).unwrap();
        // One process serves all of the sockets that it opens.
        text = text.replace("worker_processes auto", "worker_processes 1");
        text = text.replace("worker_connections 100000", "worker_connections 1000");
        text = text.replace("worker_rlimit_nofile 200000", "worker_rlimit_nofile 2000");
        let path = directory.join("nginx.conf");
        fs::write(&path, text).unwrap();
        let pid = directory.join("pid");
        let globals = format!("daemon off; master_process off; pid {}; error_log stderr;", pid.display());
        let mut command = hosts.command(BALANCER, "nginx");
        command.arg("-c").arg(&path).args(["-e", "stderr", "-g", &globals]);
        let log = fs::File::create(directory.join("nginx.log")).unwrap();
        let child = command.stdin(Stdio::null()).stderr(log).spawn().unwrap();
        // It listens before it writes its id.
        eventually("nginx runs", || fs::read_to_string(&pid).ok().filter(|id| id.ends_with('\n')));
        Self(child)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let process = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(process, Signal::TERM);
        let _ = self.0.wait();
    }
}
