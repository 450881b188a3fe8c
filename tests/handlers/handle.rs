//! What other threads do with a handle.

#![expect(clippy::disallowed_methods, reason = "it is about threads")]

use std::io::Read;
use std::net::TcpStream;

use loopline::event_loop::EventLoop;
use loopline::event_loop::handlers::PostError;
use loopline::limits::Limits;
use loopline::net::kernel::KernelNet;
use loopline::net::sockets::SocketOptions;

use crate::script::{Log, Script, Stage};

#[test]
fn posts_are_passed_on_in_order_and_beyond_the_limit_they_are_returned() {
    let mut stage = Stage::new(1);
    let [member] = stage.peers();
    stage.order(member, &["join 0"]);
    stage.told();
    for text in ["one", "two", "three"] {
        stage.handle.post(text.into()).unwrap();
    }
    let error = stage.handle.post("four".into()).unwrap_err();
    assert_eq!(error.to_string(), "the handler has as many posts to take as it may have");
    assert_eq!(error, PostError::Full("four".into()));
    assert_eq!(error.into_inner(), "four");
    stage.run();
    assert_eq!(stage.told(), ["message: one", "message: two", "message: three"]);
    assert_eq!(stage.received(member), "onetwothree");
    stage.handle.post("four".into()).unwrap();
    stage.run();
    assert_eq!(stage.received(member), "four");
}

#[test]
fn threads_post_to_a_server_that_waits_and_stop_it() {
    let mut server = EventLoop::new(KernelNet::new(SocketOptions::default()).unwrap(), Limits::default());
    let log = Log::default();
    let handle = server.add_handler(Script::new(log.clone())).unwrap();
    let address = server.listen_for(&handle, "127.0.0.1:0".parse().unwrap()).unwrap();
    let others = std::thread::spawn(move || {
        let mut peer = TcpStream::connect(address).unwrap();
        std::io::Write::write_all(&mut peer, b"join 0\nsay joined.\n").unwrap();
        let mut received = [0; 7];
        peer.read_exact(&mut received).unwrap();
        // Each thread waits until it was heard, so that the mailbox is not full.
        for round in 0..100 {
            let clone = handle.clone();
            std::thread::spawn(move || clone.post(format!("{round:04}")).unwrap()).join().unwrap();
            let mut received = [0; 4];
            peer.read_exact(&mut received).unwrap();
            assert_eq!(received, *format!("{round:04}").as_bytes());
        }
        handle.stop().unwrap();
        let mut rest = String::new();
        peer.read_to_string(&mut rest).unwrap();
        (rest, handle)
    });
    server.run().unwrap();
    let (rest, handle) = others.join().unwrap();
    assert_eq!(rest, "");
    assert_eq!(handle.post("late".into()), Err(PostError::Stopped("late".into())));
    assert_eq!(log.lock().unwrap().iter().filter(|line| line.starts_with("message: ")).count(), 100);
}

#[test]
fn a_handle_of_another_server_is_refused() {
    let mut stage = Stage::new(1);
    let mut other = EventLoop::new(loopline::sim::SimNet::new(1), Limits::default());
    let error = other.listen_for(&stage.handle, "192.0.2.1:1".parse().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "the handler is one of another server");
    stage.run();
}
