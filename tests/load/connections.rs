//! How many connections are opened, from where, and their memory.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::net::IpAddr;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::common::{PROGRAM, Signal, acknowledgement, eventually, without_options};
use crate::running::{
    Run, Running, assert_counts, command, command_after, count, failure, real, result, run, run_with,
};
use crate::scripted::{Scripted, read_frame, read_to_the_end, serve};

#[test]
fn only_the_active_connections_send_and_the_others_stay_open() {
    let senders = Arc::new(Mutex::new(HashSet::new()));
    let (sending, gone) = (senders.clone(), Arc::new(AtomicUsize::new(0)));
    let going = gone.clone();
    let server = Scripted::new(move |mut stream, number| {
        while read_frame(&mut stream).is_some() {
            sending.lock().unwrap().insert(number);
            stream.write_all(&acknowledgement()).unwrap();
        }
        going.fetch_add(1, Ordering::SeqCst);
    });
    let load =
        Running::start(&mut command(&format!("message={} -c 50 --active 5 -d 1h --json -", server.address)));
    eventually("messages are sent", || (senders.lock().unwrap().len() == 5).then_some(()));
    assert_eq!((server.accepted(), gone.load(Ordering::SeqCst)), (50, 0));
    load.signal(Signal::INT);
    let result = load.wait().result(0);
    assert_counts(&result, &[("connections/opened", 50), ("connections/lost", 0)]);
    assert_eq!(senders.lock().unwrap().len(), 5);
    eventually("all are closed", || (gone.load(Ordering::SeqCst) == 50).then_some(()));
}

#[test]
fn connections_are_opened_at_most_at_the_requested_rate() {
    let server = serve("message=0");
    let address = server.address("message");
    let result = result(&format!("hold={address} -c 40 --open-rate 50 -d 1ms"));
    assert_counts(&result, &[("connections/opened", 40)]);
    // The first at once, the last 39 fiftieths of a second later.
    assert!(real(&result["connections"]["open_seconds"]) >= 0.78, "{result:#}");
    assert!(real(&result["connections"]["open_rate"]) <= 40.0 / 0.78, "{result:#}");
    server.stop_cleanly();
}

#[test]
fn connections_come_from_the_sources_in_turn() {
    let from = Arc::new(Mutex::new(BTreeMap::<IpAddr, usize>::new()));
    let counting = from.clone();
    let server = Scripted::new(move |stream, _| {
        *counting.lock().unwrap().entry(stream.peer_addr().unwrap().ip()).or_default() += 1;
        read_to_the_end(&stream);
    });
    let arguments = format!("hold={} -c 20 -d 100ms --source 127.0.0.5,127.0.0.6", server.address);
    assert_counts(&result(&arguments), &[("connections/opened", 20)]);
    eventually("all were accepted", || (from.lock().unwrap().values().sum::<usize>() == 20).then_some(()));
    let of = |last: u8| from.lock().unwrap().get(&IpAddr::from([127, 0, 0, last])).copied();
    assert_eq!((of(5), of(6)), (Some(10), Some(10)));
}

#[test]
fn sources_of_another_address_family_are_an_error() {
    let server = serve("message=[::1]:0");
    let address = server.address("message");
    let run = run_with(&format!("message={address} -c 1 -d 100ms --source 127.0.0.5"));
    assert_eq!(run.line(2), format!("loopline: message={address}: --source has no IPv6 address"));
    server.stop_cleanly();
}

/// Runs `load` with `arguments` in a network namespace with 200 ephemeral ports and a server at
/// message=127.0.0.1:4000; `None` if the system does not allow that.
fn result_with_few_ports(arguments: &str) -> Option<Run> {
    let script = format!(
        "ip link set lo up && sysctl -q -w net.ipv4.ip_local_port_range='40000 40199' && \
         {{ \"$0\" serve message=4000 --journal none 2>\"$1\" & }} && server=$! && \
         until grep -q ' ready$' \"$1\"; do kill -0 $server || exit 98; done && \
         {{ \"$0\" load {arguments}; status=$?; }}; kill $server; exit $status"
    );
    let log = tempfile::NamedTempFile::new().unwrap();
    let in_namespace = |script: &str| {
        let mut unshare = without_options("unshare");
        unshare.args(["--map-root-user", "--net", "sh", "-c", script, PROGRAM]);
        unshare
    };
    let is_allowed = in_namespace("true").output().is_ok_and(|output| output.status.success());
    let has_ip = Command::new("ip").arg("-V").output().is_ok_and(|output| output.status.success());
    if !is_allowed || !has_ip {
        let is_skip_allowed = std::env::var_os("LOOPLINE_NO_SKIP").is_none();
        assert!(is_skip_allowed, "not checked: a network namespace is not available");
        eprintln!("NOT CHECKED: a network namespace is not available");
        return None;
    }
    Some(run(in_namespace(&script).arg(log.path())))
}

#[test]
fn on_loopback_connections_are_spread_over_sources_if_ports_run_short() {
    let Some(run) = result_with_few_ports("message=127.0.0.1:4000 -c 1000 -d 200ms --json -") else { return };
    let result = run.result(0);
    assert_counts(&result, &[("connections/opened", 1000), ("connections/failed", 0)]);
    assert_eq!(result["connections"]["limited_by"], Value::Null);
    assert!(count(&result, "messages/acknowledged") >= 1000, "{result:#}");
}

#[test]
fn a_single_source_has_as_many_connections_as_ports() {
    let arguments = "hold=127.0.0.1:4000 -c 1000 -d 100ms --source 127.0.0.9 --json -";
    let Some(run) = result_with_few_ports(arguments) else { return };
    let result = run.result(0);
    assert_eq!(result["connections"]["limited_by"], "ports");
    assert_eq!(count(&result, "connections/opened"), 200, "{result:#}");
    assert_counts(&result, &[("connections/asked", 1000), ("connections/failed", 1)]);
    assert_eq!(failure(&result, "out of ports").0, 1);
}

#[test]
fn as_many_connections_are_opened_as_there_are_descriptors() {
    let server = serve("message=0");
    let arguments = format!("message={} -c 500 -d 200ms --json -", server.address("message"));
    let result = run(&mut command_after("ulimit -n 200", &arguments)).result(0);
    assert_counts(
        &result,
        &[("connections/asked", 500), ("connections/opened", 168), ("connections/lost", 0)],
    );
    assert_eq!(result["connections"]["limited_by"], "descriptors");
    assert!(count(&result, "messages/acknowledged") >= 168);
    server.stop_cleanly();
}

#[test]
fn an_idle_connection_takes_at_most_48_bytes_and_no_cpu_time() {
    let server = serve("message=0");
    let arguments = format!("hold={} -c 18000 -d 1s", server.address("message"));
    let result = result(&arguments);
    let opened = count(&result, "connections/opened");
    if opened < 18_000 {
        eprintln!("ONLY {opened} CONNECTIONS, limited by {}", result["connections"]["limited_by"]);
        assert_eq!(result["connections"]["limited_by"], "descriptors", "{result:#}");
    }
    assert_counts(&result, &[("connections/lost", 0)]);
    if opened >= 4000 {
        let bytes = real(&result["generator"]["bytes_per_connection"]);
        // In debug builds, mio's sockets are larger.
        let bytes_max = if cfg!(debug_assertions) { 80.0 } else { 48.0 };
        assert!(bytes <= bytes_max, "{bytes}: {result:#}");
    }
    // One that does not wait is busy all the time; on a loaded machine, waking up may take a while.
    assert!(real(&result["generator"]["busy"]) < 0.5, "{result:#}");
    server.stop_cleanly();
}
