//! What the threads share, without threads.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;
use crate::conn::CloseReason;
use crate::conn::admission::Refusal;
use crate::journal::{Ack, Sink};
use crate::server::threads::admission::Admission;
use crate::server::threads::connection;
use crate::service::message::Message;

/// The line of a message.
fn lines(message: &[u8]) -> Lines {
    let mut lines = Lines::default();
    lines.add(([127, 0, 0, 1], 4000).into(), "message", message);
    lines
}

/// A disk that fails to sync once and reports success after that.
struct Forgetful {
    syncs: usize,
}

impl Sink for Forgetful {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.syncs += 1;
        if self.syncs == 1 { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    }
}

#[test]
fn a_journal_that_has_failed_is_not_tried_again() {
    let (events, received) = mpsc::channel();
    let journal = Journal::to(Box::new(Forgetful { syncs: 0 }), Ack::Synced);
    let shared = Shared::new(Limits::default(), journal, 0, events);
    assert!(!shared.commit(&mut lines(b"lost")));
    assert!(!shared.commit(&mut lines(b"after it")));
    assert!(matches!(received.try_recv(), Ok(MainEvent::JournalFailed(_))));
    assert!(received.try_recv().is_err(), "the failure is reported once");
}

fn shared(limits: Limits) -> Arc<Shared> {
    Arc::new(Shared::new(limits, Journal::none(), 0, mpsc::channel().0))
}

/// Both sides of a connection.
fn connect() -> (TcpStream, TcpStream, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, address) = listener.accept().unwrap();
    (peer, stream, address)
}

fn admit(shared: &Arc<Shared>) -> Result<Admission, Refusal> {
    let (_, stream, address) = connect();
    Admission::new(shared, stream, address, false).map_err(|(_, refusal)| refusal)
}

#[test]
fn refused_connections_take_no_place_of_served_ones() {
    let shared = shared(Limits { connections_max: 2, refusals_max: 2, ..Limits::default() });
    let served: Vec<Admission> = (0..2).map(|_| admit(&shared).unwrap()).collect();
    assert!(served.iter().all(|admission| admission.refusal.get().is_none()));
    let refused: Vec<Admission> = (0..2).map(|_| admit(&shared).unwrap()).collect();
    assert!(refused.iter().all(|admission| admission.refusal.get() == Some(Refusal::Full(2))));
    assert_eq!(admit(&shared).err(), Some(Refusal::Full(2)), "it is refused without a thread");
    drop(served);
    let next: Vec<Admission> = (0..2).map(|_| admit(&shared).unwrap()).collect();
    assert!(next.iter().all(|admission| admission.refusal.get().is_none()));
    drop(next);
    drop(refused);
    assert_eq!(shared.connections(), 0);
}

#[test]
fn a_source_has_as_many_connections_as_it_may() {
    let limits = Limits { connections_per_source_max: Some(1), refusals_max: 1, ..Limits::default() };
    let shared = shared(limits);
    let served = admit(&shared).unwrap();
    let refused = admit(&shared).unwrap();
    assert_eq!((served.refusal.get(), refused.refusal.get()), (None, Some(Refusal::SourceFull(1))));
    assert_eq!(admit(&shared).err(), Some(Refusal::SourceFull(1)));
    drop(refused);
    assert!(admit(&shared).unwrap().refusal.get().is_some());
    drop(served);
    assert!(admit(&shared).unwrap().refusal.get().is_none());
}

#[test]
fn a_connection_that_was_accepted_when_draining_begins_has_time_for_its_first_frame() {
    let shared = shared(Limits::default());
    let (mut peer, stream, address) = connect();
    let Ok(admission) = Admission::new(&shared, stream, address, false) else { panic!("there is room") };
    shared.drain();
    let serving = thread::spawn(move || connection::serve(&admission, &Message::new(1 << 20)));
    peer.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let nothing = peer.read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock, "it is open, and its peer has sent nothing");
    peer.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    peer.write_all(format!("{:<64}text", 4).as_bytes()).unwrap();
    let mut answer = Vec::new();
    peer.read_to_end(&mut answer).unwrap();
    assert!(!answer.is_empty(), "the frame is answered, and then the connection ends");
    drop(peer);
    assert_eq!(serving.join().unwrap(), CloseReason::Stopped);
}

#[test]
fn those_that_hold_most_are_closed_when_memory_is_short() {
    let shared = shared(Limits { memory_bytes_max: 1 << 20, ..Limits::default() });
    let admissions: Vec<Admission> = (0..4).map(|_| admit(&shared).unwrap()).collect();
    let hold = |index: usize, kib: usize| shared.hold(&admissions[index].connection, kib << 10);
    let evicted = || admissions.iter().map(|one| one.connection.is_evicted()).collect::<Vec<_>>();
    hold(0, 500);
    hold(1, 300);
    hold(2, 50);
    assert_eq!(evicted(), [false; 4]);
    hold(3, 100);
    assert_eq!(evicted(), [true, false, false, false], "the one that holds most");
    assert_eq!(shared.memory.used(), 450 << 10);
    drop(admissions);
    assert_eq!(shared.memory.used(), 0);
}

#[test]
fn memory_that_is_kept_for_the_next_frames_counts_and_is_freed_first() {
    let shared = shared(Limits { memory_bytes_max: 16 << 20, ..Limits::default() });
    let admission = admit(&shared).unwrap();
    let mut unread = Unread::new();
    shared.with_spare_maps(|maps| unread.append(&vec![b'1'; 1 << 20], maps));
    let len = unread.len();
    unread.consume(len);
    shared.release_memory(&mut unread, true);
    assert_eq!(shared.memory.used(), 1 << 20);
    shared.hold(&admission.connection, 14 << 20);
    assert_eq!((shared.memory.used(), admission.connection.is_evicted()), (14 << 20, false));
}

#[test]
fn threads_that_find_the_budget_exceeded_at_once_close_no_more_than_one_of_them_would() {
    let shared = shared(Limits { memory_bytes_max: 1 << 20, ..Limits::default() });
    let admissions: Vec<Admission> = (0..4).map(|_| admit(&shared).unwrap()).collect();
    let hold = |index: usize| shared.memory.set(&admissions[index].connection.held, (230 + index) << 10);
    (0..4).for_each(hold);
    assert!(shared.memory.to_free() > 0);
    // The threads of three connections, after they have counted their bytes.
    (0..3).for_each(|_| shared.evict_worst());
    let evicted = admissions.iter().map(|one| one.connection.is_evicted()).collect::<Vec<_>>();
    assert_eq!(evicted, [false, false, false, true]);
    // The thread of a connection that is closed already ends soon.
    shared.hold(&admissions[3].connection, 10 << 20);
    assert!(admissions[..3].iter().all(|one| !one.connection.is_evicted()));
}

#[test]
fn a_hangup_during_a_write_reopens_the_journal_when_it_has_been_written() {
    /// A disk whose writes take until they are let go on.
    struct Slow {
        begun: Sender<()>,
        go_on: mpsc::Receiver<()>,
        reopened: Arc<AtomicBool>,
    }

    impl Sink for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.begun.send(()).unwrap();
            self.go_on.recv().unwrap();
            Ok(bytes.len())
        }

        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn reopen(&mut self) -> io::Result<()> {
            self.reopened.store(true, Ordering::SeqCst);
            Ok(())
        }
    }

    let ((begun, begins), (go_on, goes_on)) = (mpsc::channel(), mpsc::channel());
    let reopened = Arc::new(AtomicBool::new(false));
    let slow = Slow { begun, go_on: goes_on, reopened: reopened.clone() };
    let journal = Journal::to(Box::new(slow), Ack::Written);
    let shared = Arc::new(Shared::new(Limits::default(), journal, 0, mpsc::channel().0));
    let writing = shared.clone();
    let writer = thread::spawn(move || writing.commit(&mut lines(b"line")));
    begins.recv().unwrap();
    shared.reopen_journal();
    assert!(!reopened.load(Ordering::SeqCst), "a line is being written");
    go_on.send(()).unwrap();
    assert!(writer.join().unwrap());
    assert!(reopened.load(Ordering::SeqCst), "no further message is needed");
}

#[test]
fn draining_does_not_end_a_connection_whose_bytes_wait() {
    let shared = shared(Limits::default());
    let (mut peer, stream, address) = connect();
    let Ok(admission) = Admission::new(&shared, stream, address, false) else { panic!("it is refused") };
    peer.write_all(b"x").unwrap();
    // The byte has arrived.
    assert_eq!(admission.connection.stream.peek(&mut [0]).unwrap(), 1);
    shared.drain();
    shared.finish();
    assert!(!admission.connection.is_ended(), "its byte is not read yet");
    let _ = (&admission.connection.stream).read(&mut [0]).unwrap();
    shared.finish();
    assert!(admission.connection.is_ended());
    assert_eq!((shared.connections(), shared.unfinished()), (1, 0));
}

#[test]
fn draining_leaves_a_new_connection_time_for_its_first_frame() {
    let shared = shared(Limits::default());
    let (_peer, stream, address) = connect();
    let Ok(admission) = Admission::new(&shared, stream, address, false) else { panic!("it is refused") };
    shared.drain();
    assert!(!admission.connection.is_ended());
    shared.finish();
    assert!(admission.connection.is_ended());
}
