//! Closed and open loops, and servers that stall.

use std::io::Write;
use std::sync::RwLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::common::acknowledgement;
use crate::running::{assert_counts, assert_due, command, count, real, result, run, run_with};
use crate::scripted::{Scripted, read_frame, serve};

#[test]
fn a_closed_loop_sends_when_the_reply_is_received() {
    let server = serve("message=0");
    let address = server.address("message");
    let result = result(&format!("message={address} -c 7 -d 300ms"));
    assert_eq!(result["endpoint"], format!("message={address}"));
    assert_eq!(result["loopline"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&result["load_model"], &result["messages"]["offered_rate"]),
        (&"closed".into(), &Value::Null)
    );
    assert_counts(
        &result,
        &[
            ("connections/asked", 7),
            ("connections/opened", 7),
            ("connections/failed", 0),
            ("connections/lost", 0),
            ("messages/failed", 0),
            ("messages/unanswered", 0),
            ("latency_us/connect/count", 7),
        ],
    );
    let sent = count(&result, "messages/sent");
    assert!(sent >= 7, "{result:#}");
    assert_counts(&result, &[("bytes/sent", sent * 90), ("bytes/received", sent * 97)]);
    // A message is due when it is sent, so the times are the same, and there is no lag.
    assert_eq!(result["latency_us"]["response"], result["latency_us"]["service"]);
    assert!(result["schedule_lag_us"].as_object().unwrap().values().all(Value::is_null));
    assert_eq!(result["connections"]["limited_by"], Value::Null);
    assert!(real(&result["duration_seconds"]) >= 0.3, "{result:#}");
    server.stop_cleanly();
}

#[test]
fn an_open_loop_sends_exactly_the_messages_that_are_due() {
    let server = serve("message=0");
    let address = server.address("message");
    let result = result(&format!("message={address} -c 7 -d 500ms -r 400"));
    assert_eq!((&result["load_model"], real(&result["messages"]["offered_rate"])), (&"open".into(), 400.0));
    assert_due(&result, 200);
    assert_counts(&result, &[("messages/acknowledged", count(&result, "messages/sent"))]);
    assert!(result["schedule_lag_us"]["max"].is_number(), "{result:#}");
    server.stop_cleanly();
}

#[test]
fn random_arrivals_have_the_requested_mean_rate() {
    let server = serve("message=0");
    let address = server.address("message");
    let result = result(&format!("message={address} -c 5 -d 1s -r 2000 --arrivals poisson"));
    // Five standard deviations around the mean.
    let sent = count(&result, "messages/sent");
    let due = sent + count(&result, "messages/never_sent");
    assert!((1775..=2225).contains(&due), "{due}");
    assert_eq!(count(&result, "messages/acknowledged"), sent);
    server.stop_cleanly();
}

#[test]
fn bodies_of_all_sizes_and_any_number_in_flight_are_acknowledged() {
    let server = serve("message=0 message=[::1]:0");
    let addresses = server.addresses("message");
    for (address, options, frame_bytes) in [
        (addresses[0], "-c 3 --size 0", 64),
        (addresses[0], "-c 2 --size 1MiB", 64 + (1 << 20)),
        (addresses[0], "-c 3 --pipeline 100", 90),
        (addresses[0], "-c 1 --pipeline 5000 --size 100", 164),
        (addresses[1], "-c 3", 90),
    ] {
        let result = result(&format!("message={address} -d 200ms {options}"));
        assert_eq!(result["endpoint"], format!("message={address}"));
        let sent = count(&result, "messages/sent");
        assert!(sent > 0, "{options}: {result:#}");
        assert_counts(&result, &[("messages/acknowledged", sent), ("bytes/sent", sent * frame_bytes)]);
    }
    server.stop_cleanly();
}

#[test]
fn messages_of_the_warm_up_are_not_in_the_result() {
    let server = serve("message=0");
    let address = server.address("message");
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("a.hlog");
    let arguments = format!("message={address} -c 3 -r 200 --warmup 1200ms -d 500ms --json -");
    let result = run(command(&arguments).arg("--histogram").arg(&log)).result(0);
    let sent = count(&result, "messages/sent");
    // Of 340 messages, 240 are due in the warm-up. Those in flight at its end are in the result.
    assert!((1..340).contains(&sent), "{result:#}");
    assert!(real(&result["duration_seconds"]) >= 0.5, "{result:#}");
    let merged = run(command("--merge").arg(&log));
    assert!(
        merged.stdout.contains(&format!(" {}\n", count(&result, "latency_us/response/count"))),
        "{merged:?}"
    );
    server.stop_cleanly();
}

/// Acknowledges all messages, but stalls for half a second when it has read `messages`.
fn stalling_server(messages: usize) -> Scripted {
    let (gate, read) = (RwLock::new(()), AtomicUsize::new(0));
    Scripted::new(move |mut stream, _| {
        let reply = acknowledgement();
        while read_frame(&mut stream).is_some() {
            if read.fetch_add(1, Ordering::SeqCst) + 1 == messages {
                let _closed = gate.write().unwrap();
                crate::common::stall(Duration::from_millis(500));
            }
            let _open = gate.read().unwrap();
            if stream.write_all(&reply).is_err() {
                return;
            }
        }
    })
}

#[test]
fn an_open_loop_measures_the_full_effect_of_a_stall() {
    let server = stalling_server(500);
    let result = result(&format!("message={} -c 10 -r 1000 -d 1250ms", server.address));
    assert_due(&result, 1250);
    assert_counts(&result, &[("messages/acknowledged", count(&result, "messages/sent"))]);
    let response = &result["latency_us"]["response"];
    // 500 of 1250 messages were due during the stall.
    assert!(real(&response["p99"]) >= 450_000.0, "{result:#}");
    assert!(real(&response["max"]) >= 490_000.0, "{result:#}");
    assert!(real(&response["p90"]) >= 250_000.0, "{result:#}");
}

#[test]
fn stages_send_the_messages_of_their_area_and_each_has_a_row() {
    let server = serve("message=0");
    let address = server.address("message");
    let options =
        "-c 4 --rate 400@250ms,400..1200@500ms --active 1@250ms,1..4@500ms --open-rate 100@20ms,200@1s";
    let result = result(&format!("message={address} {options}"));
    let rows = result["stages"].as_array().unwrap();
    let settings = |row: &Value| {
        let settings = row["settings"].as_array().unwrap().iter();
        settings
            .map(|it| format!("{}={}", it["option"], it["value"]))
            .collect::<Vec<_>>()
            .join(" ")
            .replace('"', "")
    };
    assert_eq!(
        rows.iter().map(settings).collect::<Vec<_>>(),
        ["open_rate=100", "open_rate=200", "rate=400 active=1", "rate=400..1200 active=1..4"]
    );
    assert!(real(&result["duration_seconds"]) >= 0.75, "{result:#}");
    assert_due(&result, 500);
    let due = |row: &Value| (count(row, "sent") + count(row, "never_sent"), real(&row["offered_rate"]));
    if count(&result, "messages/never_sent") == 0 {
        assert_eq!([due(&rows[2]), due(&rows[3])], [(100, 400.0), (400, 800.0)], "{result:#}");
    }
    assert_eq!(count(&rows[0], "opened") + count(&rows[1], "opened"), 4);
    assert_eq!(count(&result, "run/options/rate_stages/1/to"), 1200);
    assert_eq!(result["run"]["options"]["rate"], Value::Null);
    let table = run_with(&format!("message={address} -c 1 --active 1@50ms,0@10ms")).stdout;
    assert!(table.contains("\n1: active 1  "), "{table}");
    server.stop_cleanly();
}

#[test]
fn stages_that_cannot_be_run_are_refused_in_one_line() {
    for (options, why) in [
        ("--rate 5@1s,7", "stage 2 '7', at position 6: expected a number or a ramp and a duration"),
        ("--rate 5@1s -d 2s", "--duration is 2s, and the stages of --rate last 1s"),
        ("--active 1@1s,51@1s", "--active must not exceed --connections"),
        ("--open-rate 5@1s,5..0@1s", "the last stage of --open-rate must end above 0"),
    ] {
        let output = command(&format!("message {options}")).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(why), "{error}");
    }
}
