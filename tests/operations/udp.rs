//! `month` on several hosts: `deploy/udp/nginx.conf`, with the real nginx.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::common::{INTRODUCTION, MONTHS, Network, Serve, Server, Signal, eventually, in_namespace};
use super::is_missing;

/// The addresses of the configuration, and those of the servers in the test.
const HOSTS: [(&str, &str); 3] =
    [("192.0.2.11", "127.1.0.1"), ("192.0.2.12", "127.1.0.2"), ("192.0.2.13", "127.1.0.3")];

const PEERS: usize = 60;

#[test]
fn the_peers_of_a_killed_server_are_greeted_by_another_and_the_rest_notice_nothing() {
    if is_missing("nginx") {
        return;
    }
    // The configuration has a fixed port.
    in_namespace(
        the_peers_of_a_killed_server_are_greeted_by_another_and_the_rest_notice_nothing,
        Network::Loopback,
        || {
            let directory = tempfile::tempdir().unwrap();
            let mut servers: Vec<Server> = HOSTS
                .iter()
                .map(|(_, host)| Serve::new(&format!("month={host}:8091 --udp-replies off")).start())
                .collect();
            let nginx = Nginx::start(directory.path());
            let mut peers: Vec<Peer> = std::iter::repeat_with(Peer::new).take(PEERS).collect();
            peers.iter_mut().for_each(Peer::say_hello);
            (0..5).for_each(|round| peers.iter_mut().for_each(|peer| peer.ask(round)));
            assert!(peers.iter().all(|peer| peer.greetings == 1), "each peer stays with its server");

            // The kernel refuses the next datagrams, in the middle of a round.
            for (index, peer) in peers.iter_mut().enumerate() {
                if index == PEERS / 2 {
                    let killed = servers.remove(1);
                    killed.signal(Signal::KILL);
                    killed.wait();
                }
                peer.ask(5);
            }
            (6..12).for_each(|round| peers.iter_mut().for_each(|peer| peer.ask(round)));
            let moved = peers.iter().filter(|peer| peer.greetings == 2).count();
            let lost: usize = peers.iter().map(|peer| peer.lost).sum();
            println!("{moved} of {PEERS} peers were greeted anew, {lost} datagrams were lost");
            assert!(peers.iter().all(|peer| peer.greetings <= 2), "once");
            assert!(0 < moved && moved < PEERS, "those of one server: {moved}");
            drop(nginx);
        },
    );
}

/// A peer that sends again what is not answered.
struct Peer {
    socket: UdpSocket,
    greetings: usize,
    lost: usize,
}

impl Peer {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect("127.0.0.1:8091").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
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
        assert_eq!(self.request("hello"), INTRODUCTION);
        self.greetings += 1;
    }

    /// Asks for a month, and again if it is greeted first.
    fn ask(&mut self, month: usize) {
        let number = (month + 1).to_string();
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
    fn start(directory: &Path) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/udp/nginx.conf");
        let mut text = fs::read_to_string(source).unwrap();
        for (production, host) in HOSTS {
            assert!(text.contains(production), "{production}");
            text = text.replace(production, host);
        }
        // The servers have the port on other addresses of the same host.
        text = text.replace("0.0.0.0:8091", "127.0.0.1:8091");
        // One process serves all of the sockets that it opens.
        text = text.replace("worker_processes auto", "worker_processes 1");
        text = text.replace("worker_connections 100000", "worker_connections 1000");
        text = text.replace("worker_rlimit_nofile 200000", "worker_rlimit_nofile 2000");
        let path = directory.join("nginx.conf");
        fs::write(&path, text).unwrap();
        let pid = directory.join("pid");
        let globals = format!("daemon off; master_process off; pid {}; error_log stderr;", pid.display());
        let mut command = Command::new("nginx");
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
