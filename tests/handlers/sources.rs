//! Descriptors of a handler, in the same loop.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use loopline::event_loop::EventLoop;
use loopline::event_loop::handlers::{ConnContext, Context, Group, Handler, SourceEvent};
use loopline::limits::Limits;
use loopline::net::kernel::KernelNet;
use loopline::net::sockets::SocketOptions;

const READERS: Group = Group(1);

/// Passes what comes out of a pipe to all connections.
struct Tap(File);

impl Handler for Tap {
    type Conn = ();
    type Message = ();

    fn opened(&mut self, cx: &mut ConnContext<'_>) {
        let id = cx.id();
        cx.join(id, READERS);
        cx.send(b"ready.");
    }

    fn received(&mut self, (): &mut (), unread: &[u8], _cx: &mut ConnContext<'_>) -> usize {
        unread.len()
    }

    fn ready(&mut self, event: SourceEvent, cx: &mut Context<'_>) {
        assert!(event.readable);
        let mut buffer = [0; 100];
        while let Ok(bytes @ 1..) = self.0.read(&mut buffer) {
            cx.publish(READERS, &buffer[..bytes]);
        }
    }
}

#[test]
fn what_comes_out_of_a_pipe_reaches_all_connections_in_a_loop_that_is_driven_from_outside() {
    let flags = rustix::pipe::PipeFlags::NONBLOCK;
    let (reader, mut writer) =
        rustix::pipe::pipe_with(flags).map(|(r, w)| (File::from(r), File::from(w))).unwrap();
    let mut server = EventLoop::new(KernelNet::new(SocketOptions::default()).unwrap(), Limits::default());
    let watched = reader.try_clone().unwrap();
    let handle = server.add_handler(Tap(reader)).unwrap();
    server.watch(&handle, &watched).unwrap();
    let address = server.listen_for(&handle, "127.0.0.1:0".parse().unwrap()).unwrap();
    let error = server.watch(&handle, File::open("/dev/null").unwrap()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);

    let mut peers = [(); 3].map(|()| TcpStream::connect(address).unwrap());
    for peer in &peers {
        peer.set_nonblocking(true).unwrap();
    }
    let mut received = [const { String::new() }; 3];
    let mut turn_until = |text: &str| {
        for round in 0.. {
            if received.iter().all(|received| received.ends_with(text)) {
                break;
            }
            assert!(round < 6000, "nobody has received {text}: {received:?}");
            server.turn_within(Some(Duration::from_millis(10))).unwrap();
            for (peer, received) in peers.iter_mut().zip(&mut received) {
                let mut buffer = [0; 1000];
                if let Ok(bytes) = peer.read(&mut buffer) {
                    received.push_str(std::str::from_utf8(&buffer[..bytes]).unwrap());
                }
            }
        }
    };
    turn_until("ready.");
    for text in ["one.", "two."] {
        writer.write_all(text.as_bytes()).unwrap();
        turn_until(text);
    }
    // Without anything to do, a turn waits no longer than it may.
    server.turn_within(Some(Duration::ZERO)).unwrap();
    assert_eq!(received, ["ready.one.two."; 3]);
}
