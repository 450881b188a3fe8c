//! Further services, served on loopback as `serve` does it, and driven by the client and the load generator:
//! neither needs more than the definition.

use std::thread;
use std::time::Duration;

use super::stats::tally::Tally;
use super::*;
use crate::client::{self, Lines};
use crate::journal::target::JournalTarget;
use crate::net::kernel::Stopper;
use crate::server::by_loop;
use crate::server::options::ServeOptions;
use crate::server::setup::Setup;
use crate::service::echo::{self, FAREWELL};
use crate::service::endpoint::Endpoint;
use crate::service::{
    Answer, DatagramClient, DatagramService, Definition, ExpectedAnswer, Output, Session, greeting,
};

/// A UDP service of one request: `ping` is answered with `pong`.
struct Ping;

static PING: Definition = Definition::datagram("ping", 7, "a pong for each ping", |_| Box::new(Ping), &Ping);

impl DatagramService for Ping {
    fn received(&self, session: Session, datagram: &[u8], out: &mut Output<'_>) -> Session {
        match (session, datagram) {
            (Session::None, _) => out.send(b"welcome"),
            (Session::Open, b"ping") => out.send(b"pong"),
            (Session::Open, b"end") => return Session::None,
            (Session::Open, _) => out.send(b"what?"),
        }
        Session::Open
    }

    fn is_own_answer(&self, _datagram: &[u8]) -> bool {
        false
    }

    fn datagram_bytes_max(&self) -> usize {
        16
    }
}

impl DatagramClient for Ping {
    fn hello(&self) -> &'static [u8] {
        b"hello"
    }

    fn farewell(&self) -> &'static [u8] {
        b"end"
    }

    fn requests(&self) -> &'static [&'static str] {
        &["ping"]
    }

    fn classify(&self, answer: &[u8]) -> Answer {
        match answer {
            b"welcome" => Answer::Opened,
            b"pong" => Answer::To(0),
            b"what?" => Answer::Error,
            _ => Answer::Unknown,
        }
    }

    fn expected_answer(&self, text: &str) -> ExpectedAnswer {
        ExpectedAnswer::of(self, text)
    }
}

struct StopOnDrop(Stopper);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop().unwrap();
    }
}

/// Serves `definition` while `test` runs, and returns what `test` does. The endpoint names `driven_as`.
fn at_server<T: Send>(
    definition: &'static Definition,
    driven_as: &'static Definition,
    test: impl FnOnce(Endpoint) -> T + Send,
) -> T {
    let options = ServeOptions {
        endpoints: vec![Endpoint { port: 0, ..Endpoint::of(definition) }],
        journal: JournalTarget::None,
        ..ServeOptions::default()
    };
    let setup = Setup::open(&options).unwrap();
    let endpoint = Endpoint { port: setup.listening[0].address.port(), ..Endpoint::of(driven_as) };
    let mut server = by_loop::event_loop(setup).unwrap();
    let stopper = StopOnDrop(server.net().stopper());
    thread::scope(|scope| {
        let test = scope.spawn(move || {
            let _stopper = stopper;
            test(endpoint)
        });
        server.run().unwrap();
        test.join().unwrap()
    })
}

/// What the client prints, and its error.
fn client_prints(definition: &'static Definition, texts: &[&str]) -> (String, Option<String>) {
    at_server(definition, definition, |endpoint| {
        let options = client::Options {
            retry: None,
            endpoint,
            texts: texts.iter().map(ToString::to_string).collect(),
            timeout: Duration::from_secs(60),
            retries: 0,
        };
        let mut replies = Vec::new();
        let outcome = client::run_with(&options, Lines::new(&mut io::empty(), None), &mut replies);
        (String::from_utf8(replies).unwrap(), outcome.err().map(|error| error.failure.to_string()))
    })
}

fn tally(
    definition: &'static Definition,
    driven_as: &'static Definition,
    change: impl FnOnce(&mut LoadOptions) + Send,
) -> Tally {
    at_server(definition, driven_as, |endpoint| {
        let mut options = LoadOptions::of(endpoint.into());
        (options.connections, options.duration) = (2, Duration::from_millis(50));
        // Every message is answered, however long that takes.
        (options.timeout, options.drain_timeout) = (Duration::from_secs(60), Duration::from_secs(60));
        change(&mut options);
        let target = resolve(&options).unwrap();
        let net = KernelNet::new(SocketOptions::default()).unwrap();
        drive(&options, net, target, options.connections, &mut ()).unwrap().0
    })
}

#[test]
fn the_client_drives_a_further_stream_service() {
    let printed = |texts: &[&str]| client_prints(&echo::DEFINITION, texts);
    assert_eq!(printed(&["one", "", "two"]), ("one\n\ntwo\n".into(), None));
    let ended = Some("'bye' ended the conversation".into());
    assert_eq!(printed(&["one", FAREWELL, "never sent"]), ("one\nbye\n".into(), ended));
    let too_long = "x".repeat(200);
    let refusal = Some("the server refused: the line is too long".into());
    assert_eq!(printed(&["one", &too_long]), ("one\n".into(), refusal));
}

#[test]
fn load_drives_a_further_stream_service_and_checks_its_replies() {
    let run = tally(&echo::DEFINITION, &echo::DEFINITION, |options| {
        (options.pipeline, options.body_bytes) = (3, 10);
    });
    let count = run.counts();
    assert!(count.answered >= 6);
    assert_eq!((count.opened, count.sent, count.failed), (2, count.answered, 0));
    assert_eq!((count.sent_bytes, count.received_bytes), (count.sent * 11, count.sent * 11));

    let run = tally(&greeting::DEFINITION, &echo::DEFINITION, |_| {});
    assert_eq!(run.counts().answered, 0);
    let (.., failures) = run.into_parts();
    assert!(failures[0].first.contains("byte 0 of the reply is 'T', expected 'a'"), "{failures:?}");
}

#[test]
fn load_limits_the_options_by_the_definition() {
    let refused = |definition, change: fn(&mut LoadOptions)| {
        let mut options = LoadOptions::of(Endpoint::of(definition).into());
        change(&mut options);
        options.check().unwrap_err()
    };
    assert_eq!(
        refused(&echo::DEFINITION, |options| options.body_bytes = 100),
        "--size of echo must be from 0 to 99 bytes"
    );
    assert!(refused(&PING, |options| options.pipeline = 2).contains("--pipeline of ping is at most 1"));
}

#[test]
fn client_and_load_drive_a_further_datagram_service() {
    let (printed, error) = client_prints(&PING, &["ping", "pong"]);
    assert_eq!((printed.as_str(), error), ("welcome\npong\nwhat?\n", None));

    let count = *tally(&PING, &PING, |_| {}).counts();
    assert!(count.answered >= 2);
    assert_eq!((count.opened, count.sent, count.duplicate), (2, count.answered, 0));
}
