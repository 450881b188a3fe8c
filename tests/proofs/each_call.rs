//! SIGKILL at each system call of a short session: the start on a file with a torn last line, a few messages, and the
//! end. After each kill, the server is started again on the same file.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::thread;

use crate::common::{MODELS, Serve, Signal, WAIT_MAX, acknowledgement, frame, has_no_strace};
use crate::crowd::{Tally, Texts, text};
use crate::records::Records;
use crate::{ACKS, number, seed, server};

/// The acknowledged line that the file has at first, as message 0 of connection 0, and a torn one.
const FILE: &str = "[127.0.0.1:1] 0/0\n[127.0.0.1:1] 0/";

/// Calls that are never left out.
const CALLS: [&str; 6] = ["write", "fdatasync", "fsync", "sendto", "ftruncate", "fcntl"];

/// Of the other calls, the short form takes one in this many.
const STRIDE: u64 = 20;

#[test]
fn after_sigkill_at_any_system_call_every_acknowledged_message_is_in_the_file() {
    if has_no_strace() {
        return;
    }
    thread::scope(|scope| {
        for model in MODELS {
            scope.spawn(move || ACKS.map(|ack| kill_at_each_call(model, ack)));
        }
    });
}

fn kill_at_each_call(model: &str, ack: &str) {
    let stride = if number("LOOPLINE_EVERY_CALL").is_some() { 1 } else { STRIDE };
    let calls = recorded_calls(model, ack);
    let (mut points, mut kills) = (seed(), 0);
    for (call, times) in &calls {
        let stride = if CALLS.contains(&call.as_str()) { 1 } else { stride };
        // A run may call it more often than the recorded one. It has no further call when it is not killed.
        for nth in 1..times + 100 {
            points += 1;
            if points % stride > 0 && nth <= *times {
                continue;
            }
            let is_killed = is_killed_at(call, nth, model, ack);
            kills += u32::from(is_killed);
            if !is_killed && nth > *times {
                break;
            }
        }
    }
    let all: u64 = calls.values().sum();
    println!("{model}, {ack}: {kills} kills at {all} calls of {} kinds, none lost", calls.len());
    assert!(kills > 10, "the session has calls");
}

/// The system calls of a session without a kill, and how often each occurs.
fn recorded_calls(model: &str, ack: &str) -> BTreeMap<String, u64> {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    assert!(!has_died(&directory.path().join("journal"), &trace, &["-e", "trace=all"], model, ack));
    let mut calls = BTreeMap::new();
    for line in fs::read_to_string(trace).unwrap().lines() {
        let call = line.split_once(' ').map_or("", |(_, call)| call.trim_start()).split_once('(');
        // `exit_group` and the like do not return, but can be killed all the same.
        if let Some((name, _)) = call.filter(|(name, _)| !name.starts_with(['<', '+', '-'])) {
            *calls.entry(name.to_string()).or_default() += 1;
        }
    }
    calls
}

/// Runs a session that is killed at the `nth` call in one of its threads, then checks the file. Returns whether it was
/// killed.
fn is_killed_at(call: &str, nth: u64, model: &str, ack: &str) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let inject = format!("inject={call}:signal=KILL:when={nth}");
    let options = ["-e", &format!("trace={call}"), "-e", &inject];
    has_died(&directory.path().join("journal"), &directory.path().join("trace"), &options, model, ack)
}

/// Runs a session on a new file, starts the server again and checks the file. Returns whether it was killed.
fn has_died(journal: &Path, trace: &Path, options: &[&str], model: &str, ack: &str) -> bool {
    fs::write(journal, FILE).unwrap();
    let arguments = format!("message=0 --model {model} --ack {ack} --journal");
    let serve = Serve::traced(trace, options, &arguments).arg(journal);
    let mut tallies = vec![Tally { connection: 0, sent: 1, acknowledged: 1 }];
    let ended = match serve.try_start() {
        Ok(server) => {
            tallies.extend(talk(server.address("message"), 1));
            server.stop()
        }
        Err(ended) => ended,
    };
    let is_killed = ended.status.signal() == Some(Signal::KILL.as_raw());
    assert!(is_killed || ended.status.success(), "{options:?}: {:?}\n{}", ended.status, ended.log);

    let server = server(model, ack, journal).start();
    let address = server.address("message");
    let after = talk(address, 100);
    assert!(after.iter().all(|tally| tally.acknowledged == tally.sent), "the server goes on: {after:?}");
    tallies.extend(after);
    server.signal(Signal::KILL);
    server.wait();
    Records::read(journal, Texts::Short).check(&tallies);
    is_killed
}

/// Which of two connections sends how many messages in one write, and then reads their acknowledgements.
const STEPS: [(usize, u64); 4] = [(0, 1), (1, 3), (0, 1), (1, 1)];

/// A session of two connections, up to the end of the server.
fn talk(address: SocketAddr, first_connection: u64) -> Vec<Tally> {
    let streams: Vec<TcpStream> = (0..2).map_while(|_| TcpStream::connect(address).ok()).collect();
    let tally = |connection| Tally { connection, sent: 0, acknowledged: 0 };
    let mut tallies: Vec<Tally> = (first_connection..).take(streams.len()).map(tally).collect();
    for (index, messages) in STEPS {
        let (Some(mut stream), Some(tally)) = (streams.get(index), tallies.get_mut(index)) else { continue };
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        let numbers = tally.sent..tally.sent + messages;
        let frames: Vec<u8> =
            numbers.flat_map(|it| frame(text(Texts::Short, tally.connection, it))).collect();
        tally.sent += messages;
        let _ = stream.write_all(&frames);
        for _ in 0..messages {
            let mut received = acknowledgement();
            if stream.read_exact(&mut received).is_ok() {
                assert_eq!(received, acknowledgement());
                tally.acknowledged += 1;
            }
        }
    }
    streams.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    tallies
}
