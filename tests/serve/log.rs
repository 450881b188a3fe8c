//! A log that blocks or is gone never affects the peers.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::common::{MODELS, Peer, Serve, Server, eventually};

#[test]
fn a_blocked_log_does_not_affect_peers() {
    for model in MODELS {
        let serve = Serve::new("message=0 --log debug --journal none --model").arg(model);
        let mut server = serve.with_blocked_log().start();
        exchange_many(&server);
        // The number of dropped lines is logged once the pipe is writable again.
        server.unblock_log();
        eventually("lines are logged again", || {
            server.connect("message").exchange("one more");
            server.log().contains("lines before this one were dropped").then_some(())
        });
        server.stop_cleanly();
    }
}

#[test]
fn a_log_whose_reader_is_gone_does_not_affect_peers() {
    for model in MODELS {
        let serve = Serve::new("message=0 --log debug --journal none --model").arg(model);
        let server = serve.with_broken_log().start();
        exchange_many(&server);
        server.stop_cleanly();
    }
}

#[test]
fn a_log_that_is_closed_before_the_start_does_not_affect_peers() {
    for model in MODELS {
        // No other process gets a port that is bound here, and the server may share it.
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        bound.set_reuse_port(true).unwrap();
        bound.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        let address = bound.local_addr().unwrap().as_socket().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$@\" 2>&-", "sh", env!("CARGO_BIN_EXE_loopline"), "serve", "--reuse-port"]);
        shell.args(["--log", "debug", "--journal", "none", "--model", model]);
        let mut child = shell.arg(format!("message={address}")).spawn().unwrap();
        let mut peer = eventually("the server listens", || TcpStream::connect(address).ok().map(Peer::on));
        peer.exchange("served");
        drop(peer);
        Peer::connect(address).exchange("served");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// Exchanges messages that are logged with more bytes than a pipe holds, from several peers at once.
fn exchange_many(server: &Server) {
    let address = server.address("message");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    Peer::connect(address).exchange("served");
                }
            });
        }
        // Many peers that connect and leave at once.
        for _ in 0..5 {
            let mut peers: Vec<Peer> = (0..100).map(|_| Peer::connect(address)).collect();
            peers.iter_mut().for_each(|peer| peer.exchange("served"));
        }
    });
    Peer::connect(address).exchange("served at last");
}
