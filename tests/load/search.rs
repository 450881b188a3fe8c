//! Searches for the largest rate or number of connections, against servers whose limit is a number.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use socket2::Type;

use crate::common::{Signal, eventually};
use crate::running::{Run, Running, command, command_after, number, run, run_with};
use crate::schema;
use crate::scripted::{Scripted, answer_with, read_to_the_end, serve, unused_port};

/// The result of a search that ended with this exit status.
fn searched(run: &Run, status: i32) -> Value {
    assert_eq!(run.status, Some(status), "{run:?}");
    let result = serde_json::from_str(&run.stdout).expect("standard output is JSON");
    schema::assert_is("SearchRecord", &result);
    result
}

/// Answers each line; the one with this number only after a while.
fn slow_at(stalled: usize) -> impl Fn(TcpStream, usize) + Send + Sync {
    move |mut stream, _| {
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        for (seq, _) in (1..).zip(lines.map_while(Result::ok)) {
            if seq == stalled {
                thread::sleep(Duration::from_millis(500));
            }
            if stream.write_all(b"ok\n").is_err() {
                return;
            }
        }
    }
}

#[test]
fn the_connections_that_a_server_allows_are_found_exactly() {
    let server = serve("message=0 --max-connections 37");
    let address = server.address("message");
    for target in [format!("message={address}"), format!("hold={address}")] {
        let found = run_with(&format!("{target} --find connections --step 100ms --json -"));
        let result = searched(&found, 0);
        assert_eq!((&result["answer"], &result["above"]["value"]), (&37.into(), &38.into()), "{result:#}");
        assert_eq!(result["above"]["end"], "connections");
        assert_eq!(result["steps"][0]["value"], 50, "the search begins with --connections");
        assert_eq!(result["steps"][0]["opened"], 37);
    }
    server.stop_cleanly();
}

#[test]
fn the_rate_at_which_a_condition_holds_is_found() {
    // At up to 15 messages per second, three are due in 200 ms.
    let server = Scripted::new(slow_at(4));
    let found = run_with(&format!(
        "tcp={} --send {{seq}}\\n --expect ok\\n -c 1 --find rate --rate 8 --step 200ms --until max>400ms --spin off --json -",
        server.address
    ));
    let result = searched(&found, 0);
    assert_eq!((&result["answer"], &result["above"]["value"]), (&15.into(), &16.into()), "{result:#}");
    assert_eq!(result["above"]["end"], "condition");
    let why = result["above"]["why"].as_str().unwrap();
    assert!(why.starts_with("max is ") && why.ends_with(" ms, over 400ms"), "{why}");
}

#[test]
fn the_connections_of_this_host_are_the_end_of_a_search() {
    let server = Scripted::new(|stream, _| read_to_the_end(&stream));
    let arguments = format!("hold={} --find connections --step 100ms", server.address);
    let found = run(&mut command_after("ulimit -n 100", &arguments));
    assert_eq!((found.status, found.stderr.as_str()), (Some(0), ""), "{found:?}");
    let answer = found.stdout.lines().next().unwrap();
    assert_eq!(
        answer,
        "at least 68 connections held in 3 of 3 steps; at 69 connections, this host was the limit: \
         68 of 69 connections opened, limited by descriptors"
    );
}

#[test]
fn an_interrupted_search_prints_what_it_knows() {
    let server = Scripted::new(|stream, _| read_to_the_end(&stream));
    let arguments = format!("hold={} -c 1 --find connections --step 200ms --json -", server.address);
    let search = Running::start(&mut command(&arguments));
    // The first step has one connection.
    eventually("the second step begins", || (server.accepted() > 1).then_some(()));
    search.signal(Signal::INT);
    let result = searched(&search.wait(), 0);
    assert_eq!(result["ended_early"], "interrupted");
    assert!(number(&result["answer"]) >= 1, "{result:#}");
}

#[test]
fn without_an_answer_the_exit_status_names_the_reason() {
    let (_port, address) = unused_port(Type::STREAM);
    let absent = run_with(&format!("hold={address} --find connections --step 100ms"));
    assert!(absent.line(1).contains("the server does not accept connections: no answer"), "{absent:?}");

    let server = Scripted::new(|stream, _| answer_with(stream, b"wrong"));
    let arguments = "--find rate --rate 2 --step 100ms --until failed>5";
    let wrong = run_with(&format!("message={} {arguments}", server.address));
    assert!(wrong.line(4).contains("no answer"), "{wrong:?}");

    let server = Scripted::new(|stream, _| read_to_the_end(&stream));
    let arguments = "--find connections -c 2 --step 100ms --until opened>0";
    let always = run_with(&format!("hold={} {arguments}", server.address));
    assert!(always.line(3).ends_with(": opened is 1, over 0"), "{always:?}");
}

#[test]
fn a_search_has_a_page_and_a_table_of_its_steps() {
    let server = serve("message=0 --max-connections 3");
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("search.html");
    let arguments = format!("message={} -c 2 --find connections --step 100ms", server.address("message"));
    let found = run(command(&arguments).arg("--report").arg(&page));
    assert_eq!(found.status, Some(0), "{found:?}");
    let first =
        "3 connections held in 3 of 3 steps; 4 connections failed in 3 of 3 steps: 3 of 4 connections opened";
    assert!(found.stdout.starts_with(first), "{}", found.stdout);
    assert!(found.stdout.contains("\nstep  connections  "), "{}", found.stdout);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains(first) && page.contains("<svg class=\"plot\""), "{page}");
    server.stop_cleanly();
}

#[test]
fn options_that_do_not_fit_a_search_are_refused_in_a_line() {
    for (arguments, line) in [
        ("message --until p99>5ms", "--until requires --find"),
        ("message --step 1s", "--step requires --find"),
        ("message --find rate", "--find rate requires --until, as in --until 'p99>5ms'"),
        (
            "message --find rate --until p99>5ms -d 1s",
            "--duration does not apply to --find: each step lasts --step",
        ),
        (
            "message --find rate --until p99>5ms --rate 1@3s",
            "--find: stages of --rate, --active and --open-rate do not apply",
        ),
        (
            "message --find rate --until p99>5ms --fail-if errors>0",
            "--fail-if does not apply to --find: the conditions are --until",
        ),
        ("message --find connections --histogram x.hlog", "--histogram does not apply to --find"),
        ("message --find connections --start-at +1s", "--start-at does not apply to --find"),
        ("message --find connections --idle-probe 1s", "--idle-probe does not apply to --find"),
        ("message --find connections --step 5ms", "--step must be at least 100ms"),
        (
            "message --find connections --one-shot",
            "each message has its own connection: --find connections does not apply",
        ),
        (
            "hold=1 --find rate --until errors>0",
            "hold sends nothing: --find rate requires a service, tcp= or udp=",
        ),
        (
            "hold=1 --find connections --until p99>5ms",
            "--until p99>5ms: p99 is not measured: nothing is sent on held connections",
        ),
        (
            "message --find connections --until lag_p99>1s",
            "--until lag_p99>1s: lag_p99 is not measured: a closed loop has no schedule",
        ),
        (
            "message --find rate --until lost_datagrams>0",
            "--until lost_datagrams>0: lost_datagrams is not measured: no datagrams were sent",
        ),
        ("--merge x.hlog --find connections", "--find does not apply to --merge"),
    ] {
        let refused = run_with(arguments);
        assert_eq!((refused.line(2), refused.stdout.as_str()), (format!("loopline: {line}").as_str(), ""));
    }
}
