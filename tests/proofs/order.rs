//! The order of system calls: no byte of an acknowledgement is sent before the call that records its message has
//! returned. The calls are traced; what each write has recorded follows from its place in the journal.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;

use crate::common::{MODELS, Serve, acknowledgement, has_no_strace};
use crate::crowd::{Crowd, Style, Texts};
use crate::records::Records;
use crate::{ACKS, number, seed};

/// Messages of each run without `LOOPLINE_TRACED_MESSAGES`.
const MESSAGES: u64 = 3000;

/// Stops the server at the traced calls only, which is faster. (In strace 6.1, nothing can be injected with it.)
const FAST: &str = "--seccomp-bpf";

/// Every call that can accept a connection, write to the journal, sync it, or send.
const CALLS: &str = "trace=accept,accept4,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sendmmsg,sendfile,\
                     splice,fdatasync,fsync,io_uring_enter";

#[test]
fn no_acknowledgement_is_sent_before_its_message_is_written_or_synced() {
    if has_no_strace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for model in MODELS {
        for ack in ACKS {
            let (journal, trace) = (directory.path().join("journal"), directory.path().join("trace"));
            let arguments = format!("message=0 --model {model} --ack {ack} --journal");
            let serve = Serve::traced(&trace, &[FAST, "-e", CALLS], &arguments).arg(&journal);
            let acknowledged = run(serve, 1);
            let name = journal.display().to_string();
            check(&format!("{model}, {ack}"), &journal, &trace, &name, ack == "synced", acknowledged);
            fs::remove_file(&journal).unwrap();
        }
    }
}

#[test]
fn no_acknowledgement_to_a_slow_reader_is_sent_before_its_message_is_written_to_a_full_pipe() {
    if has_no_strace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for model in MODELS {
        let (journal, trace) = (directory.path().join("journal"), directory.path().join("trace"));
        let (mut reader, writer) = std::io::pipe().unwrap();
        rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
        let pipe =
            fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader))).unwrap();
        let reading = thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let arguments = format!("message=0 --model {model}");
        let acknowledged = run(Serve::traced(&trace, &[FAST, "-e", CALLS], &arguments).stdout(writer), 5);
        fs::write(&journal, reading.join().unwrap()).unwrap();
        check(&format!("{model}, pipe"), &journal, &trace, &pipe.display().to_string(), false, acknowledged);
    }
}

/// Returns the number of messages that were acknowledged. Of eight peers, `slow_in_8` read slowly.
fn run(serve: Serve, slow_in_8: u8) -> u64 {
    let server = serve.start();
    let mut crowd =
        Crowd::new(server.address("message"), 24, Texts::Short, 0, seed(), Style::Busy { slow_in_8 });
    crowd.run_until(number("LOOPLINE_TRACED_MESSAGES").unwrap_or(MESSAGES));
    let tallies = crowd.finish();
    server.stop_cleanly();
    tallies.iter().map(|tally| tally.acknowledged).sum()
}

/// Follows the calls in `trace` to the journal, which is `name` there, and to the peers.
fn check(what: &str, journal: &Path, trace: &Path, name: &str, is_synced: bool, acknowledged: u64) {
    assert_eq!(Records::read(journal, Texts::Short).messages(), acknowledged, "{what}");
    let file = fs::read(journal).unwrap();
    let calls = fs::read_to_string(trace).unwrap();
    let mut order = Order::new(line_ends(&file), name, is_synced);
    for line in calls.lines() {
        order.follow(line);
    }
    assert_eq!(order.written_bytes, file.len() as u64, "{what}: every write to the journal was traced");
    let sent_bytes: u64 = order.peers.values().map(|peer| peer.sent_bytes).sum();
    assert_eq!(sent_bytes, acknowledged * ACKNOWLEDGEMENT_BYTES, "{what}: every send was traced");
    println!(
        "{what}: {acknowledged} acknowledgements in {} sends, {} of them partial, after {} writes and {} syncs",
        order.sends, order.partial_sends, order.writes, order.syncs
    );
}

/// Of each sender, where its lines end in the journal.
fn line_ends(file: &[u8]) -> HashMap<SocketAddr, Vec<u64>> {
    let mut ends: HashMap<SocketAddr, Vec<u64>> = HashMap::new();
    let mut end = 0;
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        end += line.len() as u64;
        let (sender, _) = str::from_utf8(line).unwrap()[1..].split_once("] ").unwrap();
        ends.entry(sender.parse().unwrap()).or_default().push(end);
    }
    ends
}

/// What the calls up to now have recorded and sent.
struct Order<'a> {
    line_ends: HashMap<SocketAddr, Vec<u64>>,
    /// The journal as descriptors show it.
    journal: String,
    is_synced: bool,
    /// By the socket as descriptors show it.
    peers: HashMap<String, SentTo>,
    written_bytes: u64,
    /// Bytes of the journal for which an acknowledgement may be sent.
    recorded_bytes: u64,
    /// Of each thread, the call that has not returned, and how much was recorded when it began.
    begun: HashMap<&'a str, Begun<'a>>,
    writes: u64,
    syncs: u64,
    sends: u64,
    partial_sends: u64,
}

struct Begun<'a> {
    call: &'a str,
    written_bytes: u64,
    recorded_bytes: u64,
}

struct SentTo {
    address: SocketAddr,
    sent_bytes: u64,
    /// Messages of earlier connections from the same address.
    earlier_messages: u64,
}

impl<'a> Order<'a> {
    fn new(line_ends: HashMap<SocketAddr, Vec<u64>>, journal: &str, is_synced: bool) -> Self {
        Self {
            line_ends,
            journal: format!("<{journal}>"),
            is_synced,
            peers: HashMap::new(),
            written_bytes: 0,
            recorded_bytes: 0,
            begun: HashMap::new(),
            writes: 0,
            syncs: 0,
            sends: 0,
            partial_sends: 0,
        }
    }

    /// A line is a call and its result, or one of the two if other threads are traced in between.
    fn follow(&mut self, line: &'a str) {
        let (thread, line) = line.split_once(' ').expect("a line begins with its thread");
        let line = line.trim_start();
        if line.starts_with("+++") || line.starts_with("---") {
            return;
        }
        let (call, result) = match line.strip_prefix("<... ") {
            Some(rest) => ("", Some(rest)),
            None => match line.strip_suffix(" <unfinished ...>") {
                Some(call) => (call, None),
                None => (line, Some(line)),
            },
        };
        if !call.is_empty() {
            let (written_bytes, recorded_bytes) = (self.written_bytes, self.recorded_bytes);
            let before = self.begun.insert(thread, Begun { call, written_bytes, recorded_bytes });
            assert!(before.is_none(), "a call has begun before the last has returned: {line}");
            let writers = self.begun.values().filter(|begun| self.writes_journal(begun.call)).count();
            assert!(writers <= 1, "two threads write to the journal at once: {line}");
        }
        if let Some(result) = result {
            let begun = self.begun.remove(thread).expect("a call returns after it has begun");
            self.returned(&begun, result);
        }
    }

    fn writes_journal(&self, call: &str) -> bool {
        !is_sync(call) && descriptor(call).is_some_and(|it| it.ends_with(&self.journal))
    }

    fn returned(&mut self, begun: &Begun<'_>, line: &str) {
        let (_, result) = line.rsplit_once(" = ").unwrap_or_else(|| panic!("no result: {line}"));
        if result.starts_with(['-', '?']) {
            return;
        }
        let name = begun.call.split('(').next().unwrap();
        let on = descriptor(begun.call).unwrap_or_else(|| panic!("no descriptor: {}", begun.call));
        if name.starts_with("accept") {
            self.accepted(line, result);
        } else if on.ends_with(&self.journal) {
            assert!(is_sync(begun.call) || name == "write", "a call that this proof does not know: {line}");
            if is_sync(begun.call) {
                self.syncs += 1;
                self.recorded_bytes = self.recorded_bytes.max(begun.written_bytes);
            } else {
                self.writes += 1;
                self.written_bytes += result.parse::<u64>().expect("a number of bytes");
                if !self.is_synced {
                    self.recorded_bytes = self.written_bytes;
                }
            }
        } else if let Some(peer) = self.peers.get_mut(socket(on)) {
            assert!(["write", "sendto"].contains(&name), "a call that this proof does not know: {line}");
            peer.sent_bytes += result.parse::<u64>().expect("a number of bytes");
            self.sends += 1;
            self.partial_sends += u64::from(peer.sent_bytes % ACKNOWLEDGEMENT_BYTES > 0);
            let messages = peer.earlier_messages + peer.sent_bytes.div_ceil(ACKNOWLEDGEMENT_BYTES);
            let needed = self.line_ends[&peer.address][usize::try_from(messages).unwrap() - 1];
            assert!(
                begun.recorded_bytes >= needed,
                "ACKNOWLEDGED TOO EARLY: {line}\nmessage {messages} of {} is recorded at {needed}, but only {} \
                 bytes were recorded before",
                peer.address,
                begun.recorded_bytes
            );
        }
    }

    /// `{…, sin_port=htons(43092), sin_addr=inet_addr("127.0.0.1")}, …) = 9<socket:[4711]>`
    fn accepted(&mut self, line: &str, result: &str) {
        let between = |start, end| Some(line.split_once(start)?.1.split_once(end)?.0);
        let port = between("htons(", ")").expect("a port").parse().expect("a port");
        let host: std::net::IpAddr = between("inet_addr(\"", "\"").expect("an address").parse().unwrap();
        let address = SocketAddr::new(host, port);
        let earlier = self.peers.values().filter(|peer| peer.address == address);
        let earlier_messages = earlier.map(|peer| peer.sent_bytes / ACKNOWLEDGEMENT_BYTES).sum();
        let peer = SentTo { address, sent_bytes: 0, earlier_messages };
        assert!(self.peers.insert(socket(result).into(), peer).is_none(), "a socket is new: {line}");
    }
}

/// `4</tmp/journal>` in `write(4</tmp/journal>, ""..., 20) = 20`.
fn descriptor(call: &str) -> Option<&str> {
    let start = call.find('(')? + 1;
    Some(&call[start..=start + call[start..].find('>')?])
}

/// `socket:[4711]` in `9<socket:[4711]>`.
fn socket(descriptor: &str) -> &str {
    descriptor.split_once('<').map_or("", |(_, name)| name.trim_end_matches('>'))
}

fn is_sync(call: &str) -> bool {
    call.starts_with("fdatasync") || call.starts_with("fsync")
}

const ACKNOWLEDGEMENT_BYTES: u64 = 97;

#[test]
fn an_acknowledgement_has_the_length_that_the_proof_counts_with() {
    assert_eq!(acknowledgement().len() as u64, ACKNOWLEDGEMENT_BYTES);
}
