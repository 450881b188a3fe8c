//! `--idle-probe` against servers that reset, close, or do not reply after a silence.

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use socket2::SockRef;

use crate::common::{Signal, acknowledgement, eventually};
use crate::running::{Running, assert_counts, command, count, failed_result, real, result, run_with};
use crate::scripted::{Scripted, read_frame, serve};

#[test]
fn each_way_to_die_is_counted() {
    let server = Scripted::new(|mut stream, number| {
        let reset = |stream| SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
        read_frame(&mut stream).unwrap();
        stream.write_all(&acknowledgement()).unwrap();
        match number {
            0 => return reset(&stream),
            1 => return,
            _ => {}
        }
        if read_frame(&mut stream).is_none() {
            return;
        }
        match number {
            2 => reset(&stream),
            3 => {}
            4 => stream.write_all(b"Good morning, this is no acknowledgement").unwrap(),
            // It never replies.
            5 => drop(stream.read(&mut [0])),
            _ => {
                stream.write_all(&acknowledgement()).unwrap();
                let _ = stream.read(&mut [0]);
            }
        }
    });
    let run = result(&format!("message={} -c 8 --idle-probe 1s --timeout 1s", server.address));
    let group = &run["idle_probe"]["groups"][0];
    for (key, expected) in [
        ("connections", 8),
        ("probed", 8),
        ("alive", 2),
        ("dead", 5),
        ("reset_in_silence", 1),
        ("closed_in_silence", 1),
        ("reset_on_sending", 1),
        ("closed_on_sending", 1),
        ("unanswered", 1),
        ("unknown", 1),
        ("session_lost", 0),
        ("unfinished", 0),
    ] {
        assert_eq!(group[key], json!(expected), "{key}: {group:#}");
    }
    for times in ["reset_after_seconds", "closed_after_seconds"] {
        assert!((0.0..1.0).contains(&real(&group[times]["first"])), "{group:#}");
    }
    assert!(real(&group["longest_seconds"]) >= 1.0, "{group:#}");
    let answer = run["idle_probe"]["answer"].as_str().unwrap();
    assert!(answer.starts_with("some connections (5 of 7) die (1 silently, 1 reset, "), "{answer}");
    assert_counts(&run, &[("connections/opened", 8), ("messages/sent", 14), ("messages/acknowledged", 10)]);
    assert_eq!((&run["load_model"], &run["failed"]), (&json!("idle_probe"), &Value::Null));
}

#[test]
fn the_answer_is_when_a_server_closes_idle_connections() {
    let server = serve("message=0 --idle-timeout 1s");
    let arguments = format!("message={} -c 4 --idle-probe 3s,100ms", server.address("message"));
    let run = result(&arguments);
    let probe = &run["idle_probe"];
    assert!(probe["answer"].as_str().unwrap().starts_with("connections are closed after 1"), "{probe:#}");
    assert_eq!((real(&probe["alive_up_to_seconds"]), real(&probe["dead_from_seconds"])), (0.1, 3.0));
    assert!((1.0..3.0).contains(&real(&probe["groups"][1]["closed_after_seconds"]["first"])), "{probe:#}");
    assert_eq!(run["run"]["options"]["idle_probe_seconds"], json!([0.1, 3.0]));

    let failed = run_with(&format!("{arguments} --fail-if dead>0"));
    assert_eq!(failed.status, Some(3), "{failed:?}");
    assert!(failed.stderr.contains("dead is 2, over 0"), "{failed:?}");
    assert!(failed.stdout.contains("\nconnections are closed after 1"), "{failed:?}");
    let row = |row: &&str| {
        row.trim_start()
            .starts_with("3 s            2       2      0     2  2 closed in the silence, after 1")
    };
    assert!(failed.stdout.lines().any(|line| row(&line)), "{failed:?}");
    server.stop_cleanly();
}

#[test]
fn connections_that_do_not_open_or_do_not_answer_at_first_are_not_dead() {
    let server = Scripted::new(|mut stream, number| {
        if number == 0 {
            return;
        }
        while read_frame(&mut stream).is_some() && number > 1 {
            stream.write_all(&acknowledgement()).unwrap();
        }
        let _ = stream.read(&mut [0]);
    });
    let run = result(&format!("message={} -c 4 --idle-probe 100ms --timeout 1s", server.address));
    let group = &run["idle_probe"]["groups"][0];
    assert_eq!((&group["connections"], &group["probed"], &group["dead"]), (&json!(4), &json!(2), &json!(0)));
    assert_eq!(run["idle_probe"]["answer"], "no connection died up to 100 ms");
    assert_counts(&run, &[("connections/opened", 3), ("connections/failed", 1), ("connections/lost", 1)]);
}

#[test]
fn a_server_that_never_replies_has_failed() {
    let server = Scripted::new(|mut stream, _| while read_frame(&mut stream).is_some() {});
    let run = failed_result(&format!("message={} -c 2 --idle-probe 1h --timeout 100ms", server.address));
    assert_eq!(run["failed"], "nothing_acknowledged");
    assert_eq!(
        (count(&run, "idle_probe/dead"), &run["idle_probe"]["answer"]),
        (0, &json!("no silence was over"))
    );
}

#[test]
fn an_interrupted_probe_ends_with_what_is_known() {
    let (server, acknowledged) = Scripted::acknowledging();
    let arguments = format!("message={} -c 4 --idle-probe 10ms,1h --json -", server.address);
    let load = Running::start(&mut command(&arguments));
    eventually("half of the connections are probed", || {
        (acknowledged.load(Ordering::SeqCst) == 6).then_some(())
    });
    load.signal(Signal::INT);
    let run = load.wait().result(0);
    let groups = &run["idle_probe"]["groups"];
    assert_eq!((&groups[0]["alive"], &groups[1]["unfinished"]), (&json!(2), &json!(2)), "{groups:#}");
    assert_eq!(run["idle_probe"]["answer"], "no connection died up to 10 ms");
    assert_eq!((&run["ended_early"], &run["interrupted"]), (&json!("interrupted"), &json!(true)));
}

#[test]
fn what_a_server_sends_in_the_silence_is_its_reason_to_close() {
    let server = Scripted::new(|mut stream, _| {
        read_frame(&mut stream).unwrap();
        stream.write_all(&acknowledgement()).unwrap();
        thread::sleep(Duration::from_millis(300));
        stream.write_all(b"timeout, bye").unwrap();
    });
    let run = result(&format!("message={} -c 1 --idle-probe 30s", server.address));
    let group = &run["idle_probe"]["groups"][0];
    assert_eq!((&group["closed_in_silence"], &group["received_in_silence"]), (&json!(1), &json!(1)));
    let first = run["failures"][0]["first"].as_str().unwrap();
    assert!(first.starts_with("connection 1: the server ended the stream after a silence of "), "{first}");
    assert!(first.ends_with("; it sent \"timeout, bye\""), "{first}");
}

#[test]
fn a_datagram_server_that_forgets_a_peer_is_a_silent_death() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let received = Arc::new(AtomicUsize::new(0));
    let counting = received.clone();
    let known = Mutex::new(Vec::new());
    thread::spawn(move || {
        let mut datagram = [0; 64];
        loop {
            let (bytes, peer) = socket.recv_from(&mut datagram).unwrap();
            let mut known = known.lock().unwrap();
            // Each peer is answered once.
            if !known.contains(&peer) {
                known.push(peer);
                socket.send_to(&datagram[..bytes], peer).unwrap();
            }
            counting.fetch_add(1, Ordering::SeqCst);
        }
    });
    let arguments = format!(
        "udp={address} --send ping{{seq}} --expect ping{{seq}} -c 3 --idle-probe 200ms --timeout 500ms"
    );
    let run = result(&arguments);
    assert_eq!(run["idle_probe"]["answer"], "connections die silently within 200 ms");
    assert_eq!((count(&run, "idle_probe/dead"), received.load(Ordering::SeqCst)), (3, 6));
    assert_eq!(run["datagrams"]["lost"], json!(3));
}

#[test]
fn a_session_that_a_server_has_forgotten_is_dead() {
    let server = serve("month=0 --session-timeout 1s");
    let run = result(&format!("month={} -c 4 --idle-probe 10ms,2s --timeout 1s", server.address("month")));
    let groups = &run["idle_probe"]["groups"];
    assert_eq!((&groups[0]["alive"], &groups[1]["session_lost"]), (&json!(2), &json!(2)), "{groups:#}");
    assert_eq!(run["idle_probe"]["answer"], "connections lose their session after between 10 ms and 2 s");
    server.stop_cleanly();
}

#[test]
fn options_that_do_not_apply_are_refused_in_a_line() {
    for (arguments, line) in [
        ("hold=1 --idle-probe 1s", "hold sends nothing: --idle-probe requires a service, tcp= or udp="),
        ("message --idle-probe 1s -d 5s", "--duration does not apply to --idle-probe: "),
        ("message --idle-probe 1s --rate 5", "--rate does not apply to --idle-probe: "),
        (
            "message --idle-probe 1s --one-shot",
            "each message has its own connection: --idle-probe does not apply",
        ),
        ("message --idle-probe 1s,1s", "1s is given twice"),
        ("message --idle-probe 1s,x", "'x': expected a whole number of seconds"),
    ] {
        let run = run_with(arguments);
        assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""), "{run:?}");
        assert!(run.stderr.contains(line), "{run:?}");
    }
}
