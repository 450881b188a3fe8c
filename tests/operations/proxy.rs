//! Endpoints behind a proxy, in both models: the journal and the limits know the client, and nothing happens before
//! the header.

use std::time::Duration;

use crate::common::{
    Clock, GREETING, MODELS, Peer, Serve, Server, Signal, eventually, frame, loopline, output,
    wait_for_delivery,
};
use crate::proxy_headers::{BINARY, LINE, LOCAL, line_of};

#[test]
fn the_journal_names_the_client_of_the_proxy() {
    for model in MODELS {
        let server = Server::start(&format!("message+proxy=0 --model {model}"));
        for header in [LINE, BINARY] {
            let mut peer = server.connect("message");
            // The header and the first message in one segment.
            peer.send([header, &frame("first")].concat());
            peer.receive_acknowledgement();
            peer.exchange("second");
        }
        let mut itself = server.connect("message");
        itself.send(LOCAL);
        itself.exchange("itself");
        let own = itself.local_address();
        drop(itself);
        let exit = server.stop_cleanly();
        let client = "[192.0.2.1:56324] first\n[192.0.2.1:56324] second\n".repeat(2);
        assert_eq!(exit.journal, format!("{client}[{own}] itself\n"), "{model}");
        assert!(exit.log.contains(" (behind a proxy)\n"), "{}", exit.log);
        assert!(exit.log_since_ready().iter().all(|line| line.contains("stopping")), "{}", exit.log);
    }
}

#[test]
fn a_journal_in_json_names_the_client_before_and_after_a_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let [path, rotated] = ["journal", "rotated"].map(|name| folder.path().join(name));
    for model in MODELS {
        let arguments = format!("message+proxy=0 --journal-format json --model {model} --journal");
        let server = Serve::new(&arguments).arg(&path).start();
        let mut peer = server.connect("message");
        peer.send([BINARY, &frame("before")].concat());
        peer.receive_acknowledgement();
        std::fs::rename(&path, &rotated).unwrap();
        server.signal(Signal::HUP);
        server.wait_for_log("the journal was reopened");
        peer.exchange("after");
        server.stop_cleanly();
        for (file, text) in [(&rotated, "before"), (&path, "after")] {
            let journal = std::fs::read_to_string(file).unwrap();
            let mut line: serde_json::Value = serde_json::from_str(&journal).unwrap();
            assert!(line.as_object_mut().unwrap().remove("time").is_some_and(|time| time.is_string()));
            let expected = serde_json::json!({"peer": "192.0.2.1:56324", "service": "message", "text": text});
            assert_eq!(line, expected, "{model}");
            std::fs::remove_file(file).unwrap();
        }
    }
}

#[test]
fn a_header_may_be_cut_anywhere() {
    for model in MODELS {
        let server = Server::start(&format!("message+proxy=0 --model {model}"));
        let wire = [BINARY, &frame("text")].concat();
        let cuts = 1..=BINARY.len() + 1;
        let mut peers: Vec<Peer> = cuts.clone().map(|_| server.connect("message")).collect();
        for (peer, cut) in peers.iter_mut().zip(cuts.clone()) {
            peer.send(&wire[..cut]);
        }
        wait_for_delivery(&peers);
        for (peer, cut) in peers.iter_mut().zip(cuts) {
            peer.send(&wire[cut..]);
            peer.receive_acknowledgement();
        }
        drop(peers);
        let exit = server.stop_cleanly();
        assert_eq!(exit.journal, "[192.0.2.1:56324] text\n".repeat(BINARY.len() + 1), "{model}");
    }
}

#[test]
fn services_that_speak_first_speak_behind_the_header() {
    for model in MODELS {
        let arguments =
            format!("message=0 greeting=0 daytime=0 reply=0 month=0 --proxy-protocol --model {model}");
        let server = Server::start(&arguments);
        let mut greeting = server.connect("greeting");
        let mut daytime = server.connect("daytime");
        greeting.send(&BINARY[..20]);
        // By the time that another is served, it could have spoken.
        let mut other = server.connect("message");
        other.send(LINE);
        other.exchange("other");
        greeting.assert_silent();
        daytime.assert_silent();
        greeting.send(&BINARY[20..]);
        assert_eq!(greeting.receive_text(), GREETING, "{model}");
        daytime.send(LINE);
        assert_eq!(daytime.receive_text().len(), 26);
        drop((greeting, daytime, other));
        server.stop_cleanly();
    }
}

#[test]
fn a_connection_without_a_header_is_refused_with_the_reason() {
    for model in MODELS {
        let server = Server::start(&format!("message+proxy=0 message=0 --model {model}"));
        let [proxied, plain] = server.addresses("message")[..] else { panic!("two endpoints") };
        for _ in 0..3 {
            let mut peer = Peer::connect(proxied);
            peer.send(b"GET / HTTP/1.1\r\n\r\n");
            let reason = "Error: expected a PROXY header, and received 'GET / HTTP/1.1\\r\\n'";
            assert_eq!(peer.receive_frame(), reason, "{model}");
            assert_eq!(peer.receive_text(), "");
        }
        // Where none is expected, one is bad input.
        let mut peer = Peer::connect(plain);
        peer.send(LINE);
        assert_eq!(peer.receive_frame(), "Error: header byte 0 is 'P', expected a digit", "{model}");
        drop(peer);
        let exit = server.stop_cleanly();
        assert_eq!(exit.journal, "");
        let warned = exit.log_since_ready().iter().filter(|line| line.contains(" refused: ")).count();
        assert_eq!(warned, 2, "one line of a kind: {}", exit.log);
    }
}

#[test]
fn connections_that_only_probe_are_no_line_of_the_log_and_do_not_count() {
    for model in MODELS {
        let arguments = format!("message+proxy=0 --max-connections 2 --max-per-source 1 --model {model}");
        let server = Server::start(&arguments);
        for _ in 0..20 {
            drop(server.connect("message"));
            server.connect("message").reset();
        }
        let mut peer = eventually("a place is free", || {
            let mut peer = server.connect("message");
            peer.try_send(&[LINE, &frame("text")].concat()).ok()?;
            (peer.receive_frame() == crate::common::ACKNOWLEDGEMENT).then_some(peer)
        });
        peer.exchange("text");
        let exit = server.stop_cleanly();
        let lines = exit.log_since_ready();
        let unexpected: Vec<_> =
            lines.iter().filter(|line| !line.contains("stopping") && !line.contains("is full")).collect();
        assert!(unexpected.is_empty(), "{model}: {unexpected:?}");
    }
}

#[test]
fn a_header_that_is_missing_after_five_seconds_ends_the_connection() {
    let servers =
        MODELS.map(|model| Server::start(&format!("message+proxy=0 greeting+proxy=0 --model {model}")));
    let clock = Clock::start();
    let peers = servers.each_ref().map(|server| (server.connect("message"), server.connect("greeting")));
    for (server, (mut silent, mut dripping)) in servers.into_iter().zip(peers) {
        dripping.send(&BINARY[..5]);
        assert_eq!([silent.receive_text(), dripping.receive_text()], ["", ""]);
        assert!(clock.elapsed() >= Duration::from_secs(5), "{:?}", clock.elapsed());
        let exit = server.stop_cleanly();
        assert!(exit.log.contains(": no complete PROXY header at its timeout\n"), "{}", exit.log);
    }
}

#[test]
fn the_limit_of_a_source_is_that_of_the_client() {
    for model in MODELS {
        let server = Server::start(&format!("message+proxy=0 --max-per-source 1 --model {model}"));
        let connect = |client: &str| {
            let mut peer = server.connect("message");
            peer.send([&line_of(client)[..], &frame("text")].concat());
            peer
        };
        let mut others: Vec<Peer> = (1..9).map(|host| connect(&format!("192.0.2.{host}"))).collect();
        others.iter_mut().for_each(Peer::receive_acknowledgement);
        let reason = "Error: your address has 1 connections, which is the limit";
        for _ in 0..100 {
            assert_eq!(connect("192.0.2.1").receive_frame(), reason, "{model}");
        }
        others.remove(0);
        eventually("the place is free", || {
            let answer = connect("192.0.2.1").receive_frame();
            (answer != reason).then_some(())
        });
        server.stop_cleanly();
    }
}

#[test]
fn at_a_stop_a_header_that_has_begun_is_finished_and_silent_connections_are_closed() {
    for model in MODELS {
        let server = Server::start(&format!("message+proxy=0 --model {model}"));
        let (mut silent, mut begun) = (server.connect("message"), server.connect("message"));
        begun.send(&BINARY[..20]);
        // Once a later one is served, the bytes of this one are read.
        let mut other = server.connect("message");
        other.send(LINE);
        other.exchange("other");
        other.exchange("other");
        server.signal(Signal::TERM);
        assert_eq!(silent.receive_all().0, b"", "{model}");
        begun.send([&BINARY[20..], &frame("text")].concat());
        begun.receive_acknowledgement();
        assert_eq!(begun.receive_text(), "");
        drop((silent, begun, other));
        let exit = server.wait();
        assert!(exit.status.success() && exit.journal.ends_with("[192.0.2.1:56324] text\n"), "{}", exit.log);
    }
}

#[test]
fn the_log_at_debug_names_the_client_and_the_proxy() {
    for model in MODELS {
        let server = Serve::new(&format!("message+proxy=0 --log debug --model {model}")).start();
        let mut peer = server.connect("message");
        peer.send(LINE);
        peer.exchange("text");
        let proxy = peer.local_address();
        server.wait_for_log(&format!("192.0.2.1:56324 connects through {proxy}\n"));
        drop(peer);
        server.wait_for_log("192.0.2.1:56324 closed: served\n");
        server.stop_cleanly();
    }
}

#[test]
fn an_endpoint_that_cannot_be_behind_a_proxy_is_an_error_that_says_why() {
    for (arguments, why) in [
        (
            &["serve", "month+proxy=0"][..],
            "month is served on UDP, where the PROXY protocol has no connection",
        ),
        (&["serve", "message+tls"], "'+tls' is unknown, expected +proxy"),
        (&["client", "message+proxy", "text"], "only serve has '+proxy': this command sends no PROXY header"),
        (&["load", "message+proxy"], "only serve has '+proxy': this command sends no PROXY header"),
    ] {
        let output = output(loopline().args(arguments));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains(why), "{arguments:?}: {error}");
    }
}

#[test]
fn a_server_without_an_endpoint_on_tcp_says_that_it_expects_no_headers() {
    for model in MODELS {
        let started = |endpoints: &str| {
            let arguments = format!("{endpoints} --proxy-protocol --model {model}");
            Serve::new(&arguments).start().stop_cleanly().log
        };
        let warning = "--proxy-protocol has no effect: no endpoint is on TCP";
        assert!(started("month=0").contains(warning), "{model}");
        assert!(!started("month=0 reply=0").contains(warning), "{model}");
    }
}
