//! Peers that are slow or silent, and a process that is stopped for a while.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::begin_a_frame;
use crate::common::{
    Clock, Peer, Server, Signal, WAIT_MAX, acknowledgement, eventually, frame, is_reset, with_each_model,
};

#[test]
fn a_slow_frame_is_closed_at_the_frame_timeout_while_others_are_served() {
    with_each_model(|model| {
        let server = Server::start(&format!("message=0 --model {model} --frame-timeout 200ms"));
        let mut good = server.connect("message");
        let mut slow = server.connect("message");
        slow.exchange("in time");
        let clock = Clock::start();
        slow.send(&frame(vec![b'x'; 1 << 20])[..64]);
        // Each byte is read alone, since the other peer is answered between two of them.
        while slow.peek().is_none() && slow.try_send(b"x").is_ok() {
            good.exchange("good");
            assert!(clock.elapsed() < WAIT_MAX, "{model}: it is never closed");
        }
        // The server counts whole milliseconds.
        assert!(clock.elapsed() >= Duration::from_millis(199), "{model}: {:?}", clock.elapsed());
        assert_eq!(slow.receive_all().0, b"", "{model}");
        good.exchange("still there");
        let ended = server.stop_cleanly();
        assert!(ended.messages().iter().all(|text| *text != "x"));
    });
}

#[test]
fn each_frame_has_the_frame_timeout_for_itself() {
    const FRAME_TIMEOUT: Duration = Duration::from_secs(1);
    let (first, second) = (frame("first"), frame("second"));
    with_each_model(|model| {
        let server = Server::start(&format!("message=0 --model {model} --frame-timeout 1s"));
        let mut good = server.connect("message");
        // A test that does not run for half of the timeout starts again.
        eventually("two frames take longer than the timeout", || {
            let mut slow = server.connect("message");
            let begun = Clock::start();
            slow.send(&first[..30]);
            good.exchange("the beginning is read");
            let mut halfway = Clock::start();
            eventually("most of the timeout is over", || {
                (begun.elapsed() > FRAME_TIMEOUT * 3 / 5).then_some(())
            });
            // The end of the first frame and the beginning of the second come together.
            let middle = [&first[30..], &second[..30]].concat();
            let mut is_open = slow.try_send(&middle).is_ok();
            let mut reply = acknowledgement();
            is_open = is_open && slow.stream.read_exact(&mut reply).is_ok();
            assert!(is_open || halfway.elapsed() > FRAME_TIMEOUT * 4 / 5, "{model}: the first frame is cut");
            halfway = Clock::start();
            eventually("the first frame's time is over", || {
                (begun.elapsed() > FRAME_TIMEOUT * 6 / 5).then_some(())
            });
            is_open = is_open && slow.try_send(&second[30..]).is_ok();
            is_open = is_open && slow.stream.read_exact(&mut reply).is_ok();
            assert!(is_open || halfway.elapsed() > FRAME_TIMEOUT * 4 / 5, "{model}: the second frame is cut");
            is_open.then_some(())
        });
        server.stop_cleanly();
    });
}

/// As in the options of the server below.
const IDLE_TIMEOUT: Duration = Duration::from_millis(700);

#[test]
fn a_silent_peer_is_closed_at_the_idle_timeout_and_an_active_one_is_not() {
    with_each_model(|model| {
        let server = Server::start(&format!("message=0 --model {model} --idle-timeout 700ms"));
        // A test that does not run for the timeout finds both closed, and starts again.
        eventually("the idle peer is closed and the active one is not", || {
            let (clock, mut pause) = (Clock::start(), Clock::start());
            let mut active = server.connect("message");
            let mut idle = server.connect("message");
            let mut is_active = true;
            while is_active && idle.peek().is_none() {
                let now = Clock::start();
                let mut reply = acknowledgement();
                is_active =
                    active.try_send(&frame("again")).is_ok() && active.stream.read_exact(&mut reply).is_ok();
                assert!(is_active || pause.elapsed() >= IDLE_TIMEOUT, "{model}: the active peer is closed");
                assert!(clock.elapsed() < WAIT_MAX, "{model}: the idle peer is never closed");
                pause = now;
            }
            let elapsed = clock.elapsed();
            assert!(elapsed >= IDLE_TIMEOUT, "{model}: {elapsed:?}");
            assert_eq!(idle.receive_text(), "");
            is_active.then_some(())
        });
        server.stop_cleanly();
    });
}

#[test]
fn the_idle_timeout_does_not_close_a_connection_inside_a_frame() {
    with_each_model(|model| {
        let options = format!("message=0 --model {model} --idle-timeout 300ms --frame-timeout off");
        let server = Server::start(&options);
        let mut begun = server.connect("message");
        let frame = frame("begun");
        begun.send(&frame[..1]);
        // Later than the other, so its idle deadline is later too.
        let mut idle = server.connect("message");
        assert_eq!(idle.receive_text(), "", "{model}: the idle one is closed");
        begun.send(&frame[1..]);
        begun.receive_acknowledgement();
        server.stop_cleanly();
    });
}

#[test]
fn peers_that_never_read_are_closed_at_the_write_timeout_with_bounded_memory() {
    const PEERS: u64 = 8;
    with_each_model(|model| {
        let server = Server::start(&format!("message=0 --model {model} --write-timeout 1s --journal none"));
        let mut good = server.connect("message");
        good.exchange("first");
        let before_kib = server.status("VmHWM");
        let address = server.address("message");
        let senders: Vec<_> =
            (0..PEERS).map(|_| thread::spawn(move || send_without_reading(address))).collect();
        while senders.iter().any(|peer| !peer.is_finished()) {
            good.exchange("good");
        }
        for peer in senders {
            // What the buffers of the kernel hold, which is less than is sent in a second.
            let sent_bytes = peer.join().unwrap();
            assert!(sent_bytes < 24 << 20, "{model}: {sent_bytes} bytes were accepted");
        }
        let grown_kib = server.status("VmHWM") - before_kib;
        assert!(grown_kib < PEERS * 1024, "{model}: {grown_kib} KiB for {PEERS} peers");
        good.exchange("last");
        server.stop_cleanly();
    });
}

/// Sends messages until the server closes the connection. Returns the number of bytes sent.
fn send_without_reading(address: SocketAddr) -> usize {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    // A small buffer is filled soon.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut peer = Peer::on(socket.into());
    let frames = frame("").repeat(1024);
    let mut sent_bytes = 0;
    loop {
        match peer.stream.write(&frames[sent_bytes % 64..]) {
            Ok(bytes) => sent_bytes += bytes,
            Err(error) if is_reset(&error) => return sent_bytes,
            Err(error) => panic!("expected a reset: {error}"),
        }
    }
}

#[test]
fn bytes_received_while_the_process_is_stopped_are_read_before_the_idle_timeout() {
    with_each_model(|model| {
        let arguments = "message=0 --metrics 0 --idle-timeout 4s --frame-timeout 4s --model";
        let server = Server::start(&format!("{arguments} {model}"));
        let mut idle = server.connect("message");
        idle.exchange("before");
        let mut in_a_frame = begin_a_frame(&server);
        server.signal(Signal::STOP);
        // What is received before it has stopped would be read at once.
        eventually("the process has stopped", || server.is_stopped().then_some(()));
        let clock = Clock::start();
        idle.send(frame("meanwhile"));
        in_a_frame.send(&frame("during")[66..]);
        eventually("both deadlines are over", || {
            (clock.elapsed() > Duration::from_millis(4200)).then_some(())
        });
        server.signal(Signal::CONT);
        idle.receive_acknowledgement();
        in_a_frame.receive_acknowledgement();
        server.signal(Signal::USR1);
        let texts = ["before", "meanwhile", "before", "during"];
        let read_bytes: usize = texts.iter().map(|text| frame(text).len()).sum();
        server.wait_for_log(&format!(" {read_bytes} bytes received"));
        server.stop_cleanly();
    });
}
