//! `client --retry` against a server that is killed and started again.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use super::common::{ACKNOWLEDGEMENT, Serve, Signal, loopline};

/// An address of its own: on another, a connection of any program could take the port while the server is away.
const ENDPOINT: &str = "message=127.0.77.1:0";

#[test]
fn each_acknowledged_line_is_in_the_journal_in_order_though_the_server_is_killed_under_the_client() {
    const KILLS: usize = 4;
    const LINES_PER_KILL: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let start = |endpoint: &str| Serve::new(endpoint).arg("--journal").arg(&journal).start();
    let mut server = start(ENDPOINT);
    let endpoint = format!("message={}", server.address("message"));
    let mut command = loopline();
    command.args(["client", &endpoint, "--retry"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = command.spawn().unwrap();
    let (mut input, output) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
    let mut replies = BufReader::new(output).lines();
    let mut expect_replies = |count: usize| {
        for _ in 0..count {
            assert_eq!(replies.next().expect("the client is running").unwrap(), ACKNOWLEDGEMENT);
        }
    };
    let lines: Vec<String> = (1..=KILLS * LINES_PER_KILL).map(|number| format!("line {number}")).collect();
    for chunk in lines.chunks(LINES_PER_KILL) {
        input.write_all((chunk.join("\n") + "\n").as_bytes()).unwrap();
        expect_replies(LINES_PER_KILL / 4);
        server.signal(Signal::KILL);
        server.wait();
        server = start(&endpoint);
        expect_replies(LINES_PER_KILL - LINES_PER_KILL / 4);
    }
    drop(input);
    assert!(client.wait().unwrap().success());
    server.stop_cleanly();

    let journal = fs::read_to_string(&journal).unwrap();
    let mut recorded: Vec<&str> = journal.lines().map(|line| line.split_once("] ").unwrap().1).collect();
    assert_eq!(recorded.pop(), Some("Disconnect !"));
    // A line whose acknowledgement was lost is there twice, one after the other.
    recorded.dedup();
    assert_eq!(recorded, lines);
}

#[test]
fn a_client_that_is_refused_reports_it_once_and_goes_on_when_the_server_is_there() {
    let start = |endpoint: &str| Serve::new(endpoint).arg("--journal").arg("none").start();
    let server = start(ENDPOINT);
    let address = server.address("message");
    server.stop_cleanly();
    let mut command = loopline();
    command.args(["client", &format!("message={address}"), "--retry", "--", "one", "two"]);
    let mut client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(client.stderr.take().unwrap()).lines();
    let line = log.next().expect("the client reports why it waits").unwrap();
    let expected =
        format!("] {address}: connection refused: is the server running? (trying again for up to 60s)");
    assert!(line.starts_with("WARN ") && line.ends_with(&expected), "{line}");
    let server = start(&format!("message={address}"));
    let ended = client.wait_with_output().unwrap();
    assert!(ended.status.success());
    assert_eq!(String::from_utf8(ended.stdout).unwrap(), format!("{ACKNOWLEDGEMENT}\n").repeat(2));
    assert_eq!(log.count(), 0, "one line for all attempts");
    server.stop_cleanly();
}
