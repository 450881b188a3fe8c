//! Failures of receiving datagrams, injected one by one.

use std::net::{SocketAddr, UdpSocket};

use crate::accepting::{Injection, calls_during_failures, waits};
use crate::common::{MODELS, Server, WAIT_MAX, has_no_strace};

/// As in the limits of the server.
const FAILURES_IN_A_ROW_MAX: usize = 128;

fn ask_for_a_month(server: &Server) {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(WAIT_MAX)).unwrap();
    peer.send_to(b"5", SocketAddr::from(([127, 0, 0, 1], server.address("month").port()))).unwrap();
    peer.recv(&mut [0; 128]).expect("it is answered in the end");
}

#[test]
fn receiving_that_does_nothing_but_fail_does_not_spin_and_goes_on_when_it_can() {
    if has_no_strace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let failures = FAILURES_IN_A_ROW_MAX + 5;
    for model in MODELS {
        for (endpoint, call) in [("month=0", "recvfrom"), ("month=0.0.0.0:0", "recvmmsg")] {
            for error in ["EIO", "ENOTCONN", "EBADF", "ENOMEM"] {
                let inject = Injection { call, error, failures };
                let calls = calls_during_failures(&trace, model, endpoint, &inject, ask_for_a_month);
                let mut between = calls[1..].split_inclusive(|call| call == "failure");
                let first = between.by_ref().take(FAILURES_IN_A_ROW_MAX - 1).flatten();
                assert!(!first.into_iter().any(|call| waits(call)), "{model}, {error}: it waits: {calls:?}");
                for calls in between {
                    assert!(calls.iter().any(|call| waits(call)), "{model}, {error}: it spins: {calls:?}");
                }
            }
        }
    }
}
