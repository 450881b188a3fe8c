//! `load --idle-probe` through what forgets idle connections: a router with NAT, and `HAProxy`.
//!
//! The timeouts are 2 s, and the silences far from that on both sides, so that a busy machine does not matter.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{fs, thread};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Hosts, Network, PROGRAM, Serve, eventually, in_namespace, loopline, output};
use crate::is_missing;

/// Three ports of one server: connections of `DROPPED` that the router does not know are dropped, those of `REJECTED`
/// are reset, and the router gives peers of `SESSIONS` a random port.
const DROPPED: u16 = 9999;
const REJECTED: u16 = 9998;
const SESSIONS: u16 = 9997;

const CLIENT: &str = "10.30.0.2";
const SERVER: &str = "10.40.0.2";

/// The test is on the router, between the networks of the client and of the server.
const ROUTER: &str = "
    cd /proc/sys/net
    echo 1 > ipv4/ip_forward
    echo 0 | tee ipv4/conf/*/send_redirects > /dev/null
    echo 0 > netfilter/nf_conntrack_tcp_loose
    echo 2 | tee netfilter/nf_conntrack_tcp_timeout_established netfilter/nf_conntrack_udp_timeout \
        netfilter/nf_conntrack_udp_timeout_stream > /dev/null
    nft -f - <<END
    table ip router {
        chain sources {
            type nat hook postrouting priority srcnat
            ip saddr 10.30.0.0/24 masquerade random
        }
        chain forward {
            type filter hook forward priority filter
            ct state invalid tcp dport 9998 reject with tcp reset
            ct state invalid drop
        }
    }
END
";

#[test]
fn behind_a_nat_idle_connections_die_silently_or_by_a_reset_and_sessions_are_lost() {
    if is_missing("nft") {
        return;
    }
    in_namespace(
        behind_a_nat_idle_connections_die_silently_or_by_a_reset_and_sessions_are_lost,
        Network::Loopback,
        || {
            let hosts = Hosts::start(&["10.30.0.1", "10.40.0.1"], &[CLIENT, SERVER]);
            for (host, router) in [(CLIENT, "10.30.0.1"), (SERVER, "10.40.0.1")] {
                let mut route = hosts.command(host, "ip");
                assert!(output(route.args(["route", "add", "default", "via", router])).status.success());
            }
            let set = output(Command::new("sh").args(["-ec", ROUTER]));
            assert!(set.status.success(), "{set:?}");
            let endpoints = format!("message={SERVER}:{DROPPED} month={SERVER}:{SESSIONS} --journal none");
            let servers =
                [endpoints, format!("message={SERVER}:{REJECTED} --journal none")].map(|arguments| {
                    let mut command = hosts.command(SERVER, PROGRAM);
                    command.stdin(Stdio::null());
                    Serve::by(command, &arguments).start()
                });
            let probe = |target: String| {
                let mut command = hosts.command(CLIENT, PROGRAM);
                command.args([
                    "load",
                    &target,
                    "-c",
                    "6",
                    "--idle-probe",
                    "100ms,3s",
                    "--timeout",
                    "2s",
                    "--json",
                    "-",
                ]);
                thread::spawn(move || result(&mut command))
            };
            let runs = [
                probe(format!("message={SERVER}:{DROPPED}")),
                probe(format!("message={SERVER}:{REJECTED}")),
                probe(format!("month={SERVER}:{SESSIONS}")),
            ];
            let deaths = [
                ("unanswered", "die silently"),
                ("reset_on_sending", "are reset when they send"),
                ("session_lost", "lose their session"),
            ];
            for (run, (key, manner)) in runs.map(|run| run.join().unwrap()).iter().zip(deaths) {
                let probe = &run["idle_probe"];
                assert_eq!(
                    probe["answer"],
                    format!("connections {manner} after between 100 ms and 3 s"),
                    "{run:#}"
                );
                let groups = &probe["groups"];
                assert_eq!((&groups[0]["alive"], &groups[1][key]), (&json!(3), &json!(3)), "{groups:#}");
            }
            for server in servers {
                server.stop_cleanly();
            }
        },
    );
}

#[test]
fn haproxy_closes_idle_connections_after_its_client_timeout() {
    if is_missing("haproxy") {
        return;
    }
    in_namespace(haproxy_closes_idle_connections_after_its_client_timeout, Network::Loopback, || {
        let directory = TempDir::new().unwrap();
        let server = Serve::new("message --journal none").start();
        let _balancer = Balancer::start(directory.path());
        let run = result(loopline().args([
            "load",
            "message=9000",
            "-c",
            "6",
            "--idle-probe",
            "100ms,4s",
            "--json",
            "-",
        ]));
        let probe = &run["idle_probe"];
        assert!(probe["answer"].as_str().unwrap().starts_with("connections are closed after 2"), "{run:#}");
        let groups = &probe["groups"];
        assert_eq!(
            (&groups[0]["alive"], &groups[1]["closed_in_silence"]),
            (&json!(3), &json!(3)),
            "{groups:#}"
        );
        let first = groups[1]["closed_after_seconds"]["first"].as_f64().unwrap();
        assert!((1.9..4.0).contains(&first), "{groups:#}");
        server.stop_cleanly();
    });
}

fn result(command: &mut Command) -> Value {
    let done = output(command);
    assert!(done.status.success(), "{done:?}");
    serde_json::from_slice(&done.stdout).unwrap()
}

/// `HAProxy`, which is killed on drop.
struct Balancer(Child);

impl Balancer {
    fn start(directory: &Path) -> Self {
        let path = directory.join("haproxy.cfg");
        fs::write(&path, CONFIGURATION).unwrap();
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(path).stdout(Stdio::null()).stderr(Stdio::null());
        let balancer = Self(command.spawn().unwrap());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9000));
        eventually("HAProxy listens", || TcpStream::connect(address).ok());
        balancer
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const CONFIGURATION: &str = "
defaults
    mode tcp
    timeout connect 5s
    timeout client 2s
    timeout server 1h
frontend balancer
    bind 127.0.0.1:9000
    default_backend servers
backend servers
    server a 127.0.0.1:9999
";
