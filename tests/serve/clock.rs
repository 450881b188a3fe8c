//! The clock of the system is set while the server runs, which `libfaketime` simulates for that process alone: its
//! monotonic clock goes on.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::begin_a_frame;
use crate::common::{Clock, DatagramPeer, INTRODUCTION, MODELS, Serve, Server, frame, with_each_model};
use crate::services::{date, unix_seconds};

const HOUR_SECONDS: i64 = 3600;

/// The library, if it is installed where Debian's package `faketime` has it. `LOOPLINE_NO_SKIP=1` fails without it.
fn libfaketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let library = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    if library.is_none() {
        assert!(std::env::var_os("LOOPLINE_NO_SKIP").is_none(), "libfaketime is not installed");
        let _ = std::io::stderr().write_all(b"SKIPPED: libfaketime is not installed\n");
    }
    library
}

/// A server whose clock is as far from that of the system as `offset` has in seconds. The sandbox would keep the
/// library from reading that file.
fn start(library: &Path, offset: &Path, arguments: &str) -> Server {
    set(offset, 0);
    Serve::new(&format!("{arguments} --sandbox off"))
        .env("LD_PRELOAD", library.to_str().unwrap())
        .env("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap())
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME_NO_CACHE", "1")
        .env("TZ", "UTC0")
        .start()
}

/// Sets the clock, in one step.
fn set(offset: &Path, seconds: i64) {
    let next = offset.with_extension("next");
    fs::write(&next, format!("{seconds:+}\n")).unwrap();
    fs::rename(next, offset).unwrap();
}

fn assert_daytime_is_off_by(server: &Server, seconds: i64, model: &str) {
    let earliest = unix_seconds().saturating_add_signed(seconds);
    let reply = server.connect("daytime").receive_text();
    let latest = unix_seconds().saturating_add_signed(seconds);
    let possible: Vec<String> = (earliest..=latest).map(|now| date(now, "UTC0")).collect();
    assert!(possible.contains(&reply), "{model}, {seconds} s: {reply:?} is none of {possible:?}");
}

#[test]
fn a_clock_set_an_hour_forth_and_back_ends_no_timeout_and_daytime_returns_the_new_time() {
    let Some(library) = libfaketime() else { return };
    let directory = tempfile::tempdir().unwrap();
    let offset = directory.path().join("offset");
    for model in MODELS {
        let timeouts = "--idle-timeout 50m --frame-timeout 50m --write-timeout 50m --session-timeout 50m";
        let endpoints = "message=0 daytime=0 month=0";
        let server = start(&library, &offset, &format!("{endpoints} {timeouts} --model {model}"));
        assert_daytime_is_off_by(&server, 0, model);
        let mut idle = server.connect("message");
        idle.exchange("before");
        let caller = DatagramPeer::connect(server.address("month"));
        assert_eq!(caller.request("hello"), INTRODUCTION);
        for seconds in [HOUR_SECONDS, -HOUR_SECONDS] {
            let mut begun = begin_a_frame(&server);
            set(&offset, seconds);
            assert_daytime_is_off_by(&server, seconds, model);
            idle.exchange("still there");
            begun.send(&frame("during")[66..]);
            begun.receive_acknowledgement();
            assert_eq!(caller.request("5"), "May", "{model}: the session goes on");
        }
        server.stop_cleanly();
    }
}

#[test]
fn timeouts_are_kept_when_the_clock_is_set_back() {
    const TIMEOUT: Duration = Duration::from_millis(500);
    let Some(library) = libfaketime() else { return };
    let directory = tempfile::tempdir().unwrap();
    with_each_model(|model| {
        let offset = directory.path().join(model);
        let timeouts = "--idle-timeout 500ms --frame-timeout 500ms --session-timeout 500ms";
        let server =
            start(&library, &offset, &format!("message=0 daytime=0 month=0 {timeouts} --model {model}"));
        for seconds in [-HOUR_SECONDS, HOUR_SECONDS] {
            let caller = DatagramPeer::connect(server.address("month"));
            assert_eq!(caller.request("hello"), INTRODUCTION);
            let clock = Clock::start();
            let mut idle = server.connect("message");
            let mut begun = server.connect("message");
            begun.send(&frame("begun")[..66]);
            set(&offset, seconds);
            assert_eq!((idle.receive_text(), begun.receive_all().0), (String::new(), Vec::new()), "{model}");
            assert!(clock.elapsed() >= TIMEOUT, "{model}: {:?}", clock.elapsed());
            assert_daytime_is_off_by(&server, seconds, model);
            // A request renews the session, so it comes when the session is surely gone.
            crate::common::stall(3 * TIMEOUT);
            assert_eq!(caller.request("0"), INTRODUCTION, "{model}: the session has expired");
        }
        server.stop_cleanly();
    });
}
