//! A soak: connections that come and go, slow readers, and rotation of the journal by rename and SIGHUP. Nothing is
//! lost or doubled, and the resident memory stays where it is.

use std::fs;
use std::time::Duration;

use crate::common::{Clock, MODELS, Signal, eventually, stall};
use crate::crowd::{Crowd, Style, Texts};
use crate::records::Records;
use crate::{number, seed, server};

/// Of the short form.
const SECONDS: u64 = 2;
const CONNECTIONS: u64 = 300;

/// Visits of connections per second: each reads once, and sends a few messages.
const VISITS: u64 = 1000;

/// Milliseconds between two visits.
const TICK_MS: u64 = 10;

/// Rotations of a run, the last of them near its end.
const ROTATIONS: u32 = 6;

/// How much the resident memory may grow after a third of the run: by a quarter, or by this.
const GROWTH_MAX_KB: u64 = 8 * 1024;

#[test]
fn a_soak_with_rotation_loses_nothing_and_memory_stays_flat() {
    let seconds = number("LOOPLINE_SOAK_SECONDS");
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    // Of the models, only the loop is made for very many connections.
    for model in if seconds.is_some() { &MODELS[..1] } else { &MODELS[..] } {
        soak(model, Duration::from_secs(seconds.unwrap_or(SECONDS)));
    }
}

fn soak(model: &str, duration: Duration) {
    let connections = usize::try_from(number("LOOPLINE_SOAK_CONNECTIONS").unwrap_or(CONNECTIONS)).unwrap();
    let visits = number("LOOPLINE_SOAK_VISITS").unwrap_or(VISITS) * TICK_MS / 1000;
    let directory = tempfile::tempdir().unwrap();
    let (journal, rotated) = (directory.path().join("journal"), directory.path().join("rotated"));
    let server = server(model, "written", &journal).start();
    let mut crowd = Crowd::new(server.address("message"), connections, Texts::Short, 0, seed(), Style::Calm);
    let mut records = Records::default();
    let clock = Clock::start();
    let (mut rotations, mut warm_kb, mut peak_kb) = (0, None, 0);
    while clock.elapsed() < duration {
        crowd.visit_some(usize::try_from(visits).unwrap());
        stall(Duration::from_millis(TICK_MS));
        if clock.elapsed() < duration / ROTATIONS * (rotations + 1) {
            continue;
        }
        rotations += 1;
        fs::rename(&journal, &rotated).unwrap();
        server.signal(Signal::HUP);
        eventually("the journal is opened again", || journal.exists().then_some(()));
        records.read_next(&rotated, Texts::Short);
        let resident_kb = server.status("VmRSS");
        peak_kb = peak_kb.max(resident_kb);
        if clock.elapsed() > duration / 3 {
            warm_kb.get_or_insert(resident_kb);
        }
        println!(
            "{model}: {:.0} s, {connections} connections, {} so far, {} acknowledged, {resident_kb} KiB resident",
            clock.elapsed().as_secs_f64(),
            crowd.connections(),
            crowd.acknowledged(),
        );
    }
    let (all_connections, acknowledged) = (crowd.connections(), crowd.acknowledged());
    let tallies = crowd.finish_sent();
    server.stop_cleanly();
    records.read_next(&journal, Texts::Short);
    records.check(&tallies);
    // The server may close those that read too slowly.
    let closed = tallies.iter().filter(|tally| tally.acknowledged < tally.sent).count();
    println!(
        "{model}: {all_connections} connections, {closed} of them closed by the server, {acknowledged} acknowledged, \
         {} recorded, {rotations} rotations, none lost; resident {warm_kb:?} KiB, at most {peak_kb} KiB",
        records.messages()
    );
    let warm_kb = warm_kb.expect("a rotation takes place in the last two thirds");
    assert!(
        peak_kb <= (warm_kb + warm_kb / 4).max(warm_kb + GROWTH_MAX_KB),
        "memory grows: {warm_kb} to {peak_kb}"
    );
}
