//! Runs that a signal ends.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{Clock, Signal, acknowledgement, eventually};
use crate::running::{Running, assert_counts, command, count, real};
use crate::scripted::{Scripted, read_frame, serve};

#[test]
fn an_interrupted_run_prints_its_result() {
    for options in ["-c 4", "-c 4 -r 100"] {
        let read = Arc::new(AtomicUsize::new(0));
        let reading = read.clone();
        let server = Scripted::new(move |mut stream, _| {
            while read_frame(&mut stream).is_some() {
                reading.fetch_add(1, Ordering::SeqCst);
                if stream.write_all(&acknowledgement()).is_err() {
                    return;
                }
            }
        });
        let load =
            Running::start(&mut command(&format!("message={} -d 1h --json - {options}", server.address)));
        eventually("messages are sent", || (read.load(Ordering::SeqCst) >= 20).then_some(()));
        load.signal(Signal::INT);
        let result = load.wait().result(0);
        // Outstanding replies were awaited.
        let read = read.load(Ordering::SeqCst) as u64;
        assert_counts(&result, &[("messages/sent", read), ("messages/acknowledged", read)]);
        assert!(real(&result["duration_seconds"]) < 20.0);
    }
}

#[test]
fn a_second_request_to_stop_ends_the_run_at_once() {
    let read = Arc::new(AtomicUsize::new(0));
    let reading = read.clone();
    let server = Scripted::new(move |mut stream, _| {
        while read_frame(&mut stream).is_some() {
            reading.fetch_add(1, Ordering::SeqCst);
        }
    });
    let arguments = format!("message={} -c 4 -d 1h --drain-timeout 1h --json -", server.address);
    let load = Running::start(&mut command(&arguments));
    eventually("messages are sent", || (read.load(Ordering::SeqCst) == 4).then_some(()));
    // Two different signals, since pending signals of one kind are merged.
    load.signal(Signal::INT);
    load.signal(Signal::TERM);
    let result = load.wait().result(4);
    assert_counts(&result, &[("messages/sent", 4), ("messages/unanswered", 4)]);
}

#[test]
fn opening_can_be_interrupted() {
    let server = serve("message=0");
    let arguments = format!("message={} -c 1000 --open-rate 1 -d 1h --json -", server.address("message"));
    let load = Running::start(&mut command(&arguments));
    load.wait_until_it_handles_signals();
    load.signal(Signal::INT);
    let result = load.wait().result(0);
    assert!(count(&result, "connections/opened") < 1000);
    assert_counts(&result, &[("connections/asked", 1000), ("messages/sent", 0), ("connections/failed", 0)]);
    server.stop_cleanly();
}

#[test]
fn an_interrupted_warm_up_has_measured_nothing() {
    let (server, acknowledged) = Scripted::acknowledging();
    let arguments =
        format!("message={} -c 10 --open-rate 10 --warmup 1h -d 1h -r 50 --json -", server.address);
    let clock = Clock::start();
    let load = Running::start(&mut command(&arguments));
    eventually("messages are sent", || (acknowledged.load(Ordering::SeqCst) >= 5).then_some(()));
    load.signal(Signal::INT);
    let result = load.wait().result(0);
    // Without the 900 ms of the opening.
    let opening = real(&result["connections"]["open_seconds"]);
    assert!(opening >= 0.9, "{result:#}");
    let total = clock.elapsed().as_secs_f64();
    assert!(opening + real(&result["duration_seconds"]) <= total, "{result:#}");
    assert_eq!((real(&result["duration_seconds"]), real(&result["messages"]["rate"])), (0.0, 0.0));
    assert_counts(&result, &[("messages/acknowledged", 0)]);
}
