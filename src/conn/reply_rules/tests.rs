//! The rules with a fake clock: loops, amplification, addresses and rates.

use super::*;
use crate::service::month::{INTRODUCTION, MONTHS, Month};
use std::time::Duration;

/// An endpoint of `month`, asked in the steps of a fake clock.
struct Server {
    rules: ReplyRules,
    ms: u64,
}

impl Server {
    fn at(own: &str) -> Self {
        Self::with(own, &Limits::default())
    }

    fn with(own: &str, limits: &Limits) -> Self {
        Self { rules: ReplyRules::new(own.parse().unwrap(), limits, HashKey([1, 2])), ms: 5000 }
    }

    /// The answer to `text` of `peer`.
    fn ask(&mut self, text: impl AsRef<[u8]>, peer: &str) -> Option<String> {
        let local = Some("192.0.2.1".parse().unwrap());
        let datagram = Received { bytes: text.as_ref(), peer: peer.parse().unwrap(), local };
        let mut answers = b"of others".to_vec();
        let now = Tick::after(Duration::from_millis(self.ms));
        let outcome = self.rules.answer(&Month, datagram, &mut answers, None, now);
        let answer = String::from_utf8(answers.split_off(b"of others".len())).unwrap();
        assert_eq!(answers, b"of others");
        assert!(answer.is_empty() || outcome == DatagramOutcome::Received { journal_lines: 0 });
        self.rules.sessions.check();
        (!answer.is_empty()).then_some(answer)
    }

    fn sessions(&mut self) -> bool {
        self.rules.sessions.wait_ms(Tick::default()).is_some()
    }
}

const LOOPBACK: &str = "127.0.0.1:8091";
const ALL: &str = "0.0.0.0:8091";
const PEER: &str = "198.51.100.7:4000";

#[test]
fn a_session_runs_from_introduction_to_goodbye() {
    let mut server = Server::at(LOOPBACK);
    let answers = ["hi", "1", "12", "0", "1"].map(|text| server.ask(text, PEER).unwrap());
    assert_eq!(answers, [INTRODUCTION, "January", "December", "Goodbye", INTRODUCTION]);
}

#[test]
fn port_0_and_our_own_answers_are_never_answered() {
    let mut server = Server::at(LOOPBACK);
    assert_eq!(server.ask("hi", "127.0.0.1:0"), None);
    for answer in [INTRODUCTION, "Error: x", "Goodbye", "May", &INTRODUCTION.to_uppercase(), "ERROR: x"] {
        assert_eq!(server.ask(answer, "127.0.0.1:9"), None);
    }
    assert!(!server.sessions());
}

type Talker = Box<dyn Fn(&str) -> String>;

/// Services that answer everything, as their answers to what we send.
fn talkers() -> Vec<(&'static str, Talker)> {
    vec![
        ("echo", Box::new(str::to_owned)),
        ("an echo that shouts", Box::new(str::to_uppercase)),
        ("an echo with a prefix", Box::new(|text| format!("you said: {text}"))),
        ("daytime", Box::new(|_| "Sat Nov 21 17:28:50 2026\r\n".into())),
        ("chargen", Box::new(|_| "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_".into())),
        ("a service with errors in other words", Box::new(|_| "ERR unknown command\n".into())),
        ("a service with errors in our words", Box::new(|_| "Error: unknown command\n".into())),
        ("a service that answers nothing to everything", Box::new(|_| String::new())),
        ("a clock", Box::new(|_| "1795288130".into())),
    ]
}

#[test]
fn one_forged_datagram_starts_no_loop_with_any_service() {
    for own in [LOOPBACK, ALL] {
        for first in ["hello", "5", "0", "", "x", &"1".repeat(1025), &" ".repeat(40)] {
            for (name, talker) in talkers() {
                for delay_ms in [0, 1, 400] {
                    let mut server = Server::at(own);
                    let mut sent = 0;
                    let mut next = first.to_owned();
                    while let Some(answer) = server.ask(&next, PEER) {
                        sent += 1;
                        assert!(sent <= 2, "{own}: {name} is sent {sent} datagrams after '{first}'");
                        next = talker(&answer);
                        server.ms += delay_ms;
                    }
                }
            }
        }
    }
}

#[test]
fn a_loop_with_a_service_that_takes_its_time_ends_too() {
    for (name, talker) in talkers() {
        let mut server = Server::at(LOOPBACK);
        let (mut sent, mut next) = (0, "hello".to_owned());
        while let Some(answer) = server.ask(&next, PEER) {
            sent += 1;
            assert!(sent <= 17, "{name} is sent {sent} datagrams");
            next = talker(&answer);
            server.ms += 3000;
        }
    }
}

#[test]
fn two_servers_pointed_at_each_other_by_a_forged_datagram_fall_silent() {
    for own in [LOOPBACK, ALL] {
        for first in ["hello", "5", "0", "", "x", "\n", "ab", &"1".repeat(1025), &" ".repeat(40)] {
            for known in [false, true] {
                let mut servers = [Server::at(own), Server::at(own)];
                if known {
                    // Each has a session of the other, as an earlier forged datagram leaves it.
                    servers.iter_mut().for_each(|server| _ = server.ask(" ".repeat(30), PEER));
                    servers.iter_mut().for_each(|server| _ = server.ask("5", PEER));
                }
                let (mut sent, mut next) = (0, first.to_owned());
                while let Some(answer) = servers[sent % 2].ask(&next, PEER) {
                    sent += 1;
                    assert!(sent <= 2, "{own}: {sent} datagrams after '{first}'");
                    next = answer;
                }
            }
        }
    }
}

#[test]
fn a_client_that_mistypes_is_told_so_each_time() {
    let mut server = Server::at(LOOPBACK);
    server.ask("hello", PEER);
    for text in ["13", "seven", "-1"] {
        assert!(server.ask(text, PEER).unwrap().starts_with("Error: "), "{text}");
        server.ms += 1000;
    }
    assert_eq!(server.ask("7", PEER).as_deref(), Some(MONTHS[6]));
    for text in ["13", "-1", "x", "", "1.5", &"1".repeat(1025)] {
        assert!(server.ask(text, PEER).unwrap().starts_with("Error: "), "{text}");
    }
}

#[test]
fn beyond_loopback_an_introduction_is_at_most_three_times_the_first_datagram() {
    for own in [ALL, "192.0.2.1:8091", "[::]:8091", "[2001:db8::1]:8091"] {
        for bytes in 0..=64 {
            let mut server = Server::at(own);
            let answer = server.ask(" ".repeat(bytes), PEER);
            let expected = &INTRODUCTION[..INTRODUCTION.len().min(3 * bytes)];
            assert_eq!(answer.as_deref().unwrap_or_default(), expected, "{own}");
            assert_eq!(server.sessions(), bytes > 0, "a datagram that is not answered opens no session");
            // The client goes on as if it had been sent all of it.
            let expected = if bytes > 0 { "September" } else { &INTRODUCTION[..3] };
            assert_eq!(server.ask("9", PEER).as_deref(), Some(expected));
        }
    }
    for own in [LOOPBACK, "127.0.0.9:1", "[::1]:8091", "[::ffff:127.0.0.1]:8091"] {
        assert_eq!(Server::at(own).ask("", PEER).as_deref(), Some(INTRODUCTION), "{own}");
    }
}

#[test]
fn beyond_loopback_no_answer_goes_to_a_port_below_1024_or_to_what_is_no_single_host() {
    let silent = [
        "198.51.100.7:7",
        "198.51.100.7:19",
        "198.51.100.7:53",
        "198.51.100.7:1023",
        "[2001:db8::7]:53",
        "255.255.255.255:4000",
        "224.0.0.1:4000",
        "239.1.2.3:4000",
        "0.0.0.0:4000",
        "[ff02::1]:4000",
        "[::]:4000",
        "192.0.2.1:8091",
        "[::ffff:192.0.2.1]:8091",
        "[::ffff:198.51.100.7]:53",
    ];
    for own in [ALL, "[::]:8091", "192.0.2.1:8091"] {
        for peer in silent {
            assert_eq!(Server::at(own).ask("hello", peer), None, "{own} answers {peer}");
        }
        for peer in [PEER, "198.51.100.7:1024", "198.51.100.7:8091", "192.0.2.1:8092", "[2001:db8::7]:4000"] {
            assert!(Server::at(own).ask("hello", peer).is_some(), "{own} does not answer {peer}");
        }
    }
    assert_eq!(Server::at(LOOPBACK).ask("hello", LOOPBACK), None, "its own address");
    assert!(Server::at(LOOPBACK).ask("hello", "127.0.0.1:53").is_some());
}

#[test]
fn an_ipv4_peer_is_the_same_in_ipv6_form() {
    let mut server = Server::at("[::]:8091");
    server.ask("hello", "[::ffff:198.51.100.7]:4000");
    assert_eq!(server.ask("5", PEER).as_deref(), Some("May"));
}

#[test]
fn beyond_loopback_the_replies_to_a_network_are_limited_and_a_limited_datagram_is_as_if_lost() {
    let limits = |udp_replies| Limits { udp_replies, ..Limits::default() };
    let answered = |own, limit, count: usize| {
        let mut server = Server::with(own, &limits(limit));
        (0..count).filter(|n| server.ask("hello", &format!("198.51.100.{}:4000", n % 250)).is_some()).count()
    };
    assert_eq!(answered(ALL, ReplyLimit::BeyondLoopback(10), 50), 10);
    assert_eq!(answered(LOOPBACK, ReplyLimit::BeyondLoopback(10), 50), 50);
    assert_eq!(answered(LOOPBACK, ReplyLimit::Everywhere(10), 50), 10);
    assert_eq!(answered(ALL, ReplyLimit::Off, 50), 50);
    assert_eq!(answered(ALL, Limits::default().udp_replies, 1000), 200);

    let mut server = Server::with(ALL, &limits(ReplyLimit::BeyondLoopback(2)));
    assert!(server.ask("hello", PEER).is_some());
    assert_eq!(server.ask("0", PEER), None, "one address is sent half of it");
    let line = server.rules.limited(PEER.parse().unwrap()).to_string();
    assert_eq!(
        line,
        "0.0.0.0:8091: does not answer 198.51.100.7:4000: its network 198.51.100.0/24 is sent 2 replies a \
         second, and one address half of them (--udp-replies)"
    );
    server.ms += 1000;
    assert_eq!(server.ask("5", PEER).as_deref(), Some("May"), "the 0 that was limited has ended nothing");
}
