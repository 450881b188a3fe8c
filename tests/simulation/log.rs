//! What the server logs: one line for what its operator should know.

use std::cell::RefCell;
use std::sync::Once;
use std::time::Duration;

use loopline::limits::{Limits, ReplyLimit};

use crate::sim::descriptors::Descriptors;
use crate::sim::scene::{Scene, framed};

thread_local! {
    /// The lines of this thread, while a test collects them.
    static LINES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

struct Collector;

impl log::Log for Collector {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.with_borrow_mut(|lines| {
            if let Some(lines) = lines {
                lines.push(format!("{} {}", record.level(), record.args()));
            }
        });
    }

    fn flush(&self) {}
}

/// What the server logs while `scene` goes on.
pub(crate) fn logged(scene: impl FnOnce()) -> Vec<String> {
    static START: Once = Once::new();
    START.call_once(|| {
        log::set_logger(&Collector).expect("no other logger");
        log::set_max_level(log::LevelFilter::Info);
    });
    LINES.set(Some(Vec::new()));
    scene();
    LINES.take().expect("lines are collected")
}

#[test]
fn bad_input_is_logged_with_its_reason_once_and_again_after_half_a_minute_with_a_count() {
    let mut scene = Scene::new(&Limits::default());
    let send_bad = |scene: &mut Scene| {
        let peer = scene.connect();
        scene.send(peer, b"?");
        scene.turns(3);
    };
    let lines = logged(|| {
        (0..3).for_each(|_| send_bad(&mut scene));
        scene.pass(Duration::from_secs(31));
        send_bad(&mut scene);
    });
    let line =
        |peer: &str| format!("WARN 127.0.0.1:1: {peer} refused: header byte 0 is '?', expected a digit");
    let again = line("[2001:db8::3]:4000") + " (2 similar messages suppressed)";
    assert_eq!(lines, [line("10.0.0.0:4000"), again]);
}

#[test]
fn a_connection_that_is_closed_at_a_limit_is_logged_and_one_that_is_served_is_not() {
    let limits = Limits {
        connections_max: 2,
        refusals_max: 1,
        frame_timeout: Some(Duration::from_secs(1)),
        ..Limits::default()
    };
    let mut scene = Scene::new(&limits);
    let lines = logged(|| {
        let served = scene.connect();
        let late = scene.connect();
        // The second finds the place of refused peers taken, and is closed at once.
        let waiting = scene.connect();
        let _refused = scene.connect();
        scene.wire(waiting).end();
        scene.wire(served).end();
        scene.send(late, b"1");
        scene.turns(3);
        scene.pass(Duration::from_secs(2));
    });
    assert_eq!(
        lines,
        [
            "WARN 127.0.0.1:1: [2001:db8::3]:4000: the server is full",
            "WARN 127.0.0.1:1: [2001:db8::1]:4000: a frame was incomplete at its timeout"
        ]
    );
}

#[test]
fn a_pause_of_accepting_is_logged_with_its_cause() {
    let mut scene = Scene::new(&Limits::default());
    scene.net().descriptors = Descriptors::new(1);
    let lines = logged(|| {
        scene.connect();
        scene.connect();
    });
    assert_eq!(lines, ["WARN accepting is paused: Too many open files (os error 24)"]);
}

#[test]
fn a_datagram_that_is_not_answered_is_logged() {
    let limits = Limits { udp_replies: ReplyLimit::Everywhere(2), ..Limits::default() };
    let mut scene = Scene::new(&limits);
    let lines = logged(|| {
        scene.net().faults.failed_sends = 1;
        scene.month().send_text(1, "hello");
        scene.turns(2);
        scene.net().faults.failed_sends = 0;
        (0..5).for_each(|_| scene.month().send_text(1, "hello"));
        scene.turns(2);
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("WARN 127.0.0.1:8091: cannot answer 10.7.7.1:4001: "), "{lines:?}");
    assert!(lines[1].contains("10.7.7.1"), "{lines:?}");
}

#[test]
fn a_stop_is_logged_with_the_connections_that_are_open_and_those_it_cuts_off() {
    let mut scene = Scene::new(&Limits::default());
    let lines = logged(|| {
        let _idle = scene.connect();
        let busy = scene.connect();
        scene.send(busy, b"1");
        scene.turns(2);
        scene.net().request_stop();
        scene.turns(5);
        scene.net().request_stop();
        scene.turns(1);
    });
    assert_eq!(
        lines,
        ["INFO stopping: 2 open connections, 1 busy", "WARN stopped with unfinished connections: 1"]
    );
}

#[test]
fn a_stop_that_cuts_off_no_connection_logs_none() {
    let mut scene = Scene::new(&Limits::default());
    let lines = logged(|| {
        scene.net().request_stop();
        scene.turns(5);
    });
    assert_eq!(lines, ["INFO stopping: 0 open connections, 0 busy"]);
}

#[test]
fn a_journal_that_was_renamed_is_logged_once_when_the_next_line_is_written() {
    let mut scene = Scene::new(&Limits::default());
    let peer = scene.connect();
    scene.net().disk.lock().unwrap().is_renamed = true;
    let idle = logged(|| scene.pass(Duration::from_secs(2)));
    let busy = logged(|| {
        for _ in 0..3 {
            scene.send(peer, &framed("text"));
            scene.pass(Duration::from_secs(2));
        }
    });
    let line = "WARN the journal file was renamed, deleted or replaced: messages go to the file that is open until SIGHUP";
    assert_eq!((idle, busy), (vec![], vec![line.to_owned()]));
}
