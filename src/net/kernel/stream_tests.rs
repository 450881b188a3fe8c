//! Connections on the kernel's network.

#[cfg(all(feature = "cli", target_os = "linux"))]
use std::io::Write;
use std::io::{ErrorKind, Read};
#[cfg(all(feature = "cli", target_os = "linux"))]
use std::net::Shutdown;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use mio::net::TcpListener;
use socket2::{Domain, Socket, Type};

use super::KernelNet;
use crate::conn::token::{ConnToken, Source};
use crate::net::sockets::SocketOptions;
use crate::net::{Event, Listen, Poller, StreamIo};

/// How long to wait for what must happen.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How long to wait for what must not happen.
const QUIET: Duration = Duration::from_millis(200);

fn poll(net: &mut KernelNet, timeout: Duration) -> Vec<Event> {
    let mut events = Vec::new();
    net.poll(16, Some(timeout), |event| events.push(event)).unwrap();
    events
}

fn accept(net: &mut KernelNet, listener: &TcpListener) -> mio::net::TcpStream {
    loop {
        match net.accept(listener) {
            Ok((stream, _)) => return stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => drop(poll(net, WAIT_MAX)),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A peer with a small receive buffer.
fn connect(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.into()
}

/// A registered connection, and its peer.
fn connected() -> (KernelNet, mio::net::TcpStream, TcpStream) {
    let mut net = KernelNet::new(SocketOptions::default()).unwrap();
    let (listener, address) = net.listen("127.0.0.1:0".parse().unwrap(), Source::Listener(0).into()).unwrap();
    let peer = connect(address);
    let mut stream = accept(&mut net, &listener);
    net.register(&mut stream, Source::Conn(ConnToken { key: 0, generation: 0 }).into()).unwrap();
    (net, stream, peer)
}

#[test]
fn a_peer_that_reads_slowly_is_seen_to_read_long_before_a_third_of_the_buffers_is_free() {
    let (mut net, stream, mut peer) = connected();
    let answer = vec![b'x'; 64 * 1024];
    let mut taken_bytes = 0;
    loop {
        match net.write(&stream, &answer) {
            Ok(bytes) => taken_bytes += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if poll(&mut net, QUIET).is_empty() {
                    break;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(taken_bytes < 1 << 20, "the kernel has taken {taken_bytes} bytes for a peer that does not read");
    peer.read_exact(&mut vec![0; 200 * 1024]).unwrap();
    let is_writable = poll(&mut net, WAIT_MAX).iter().any(|event| event.writable);
    assert!(is_writable, "the peer has read 200 KiB");
}

#[cfg(all(feature = "cli", target_os = "linux"))]
#[test]
fn bytes_below_the_low_water_mark_are_reported_at_the_end_of_the_stream_or_without_the_mark() {
    let (mut net, stream, mut peer) = connected();
    let is_reported =
        |net: &mut KernelNet, wait| poll(net, wait).iter().any(|event| event.readable || event.ended);
    assert!(!is_reported(&mut net, WAIT_MAX), "it is writable, and nothing has been sent");
    net.set_low_water_mark(&stream, 100_000);
    peer.write_all(&vec![b'x'; 50_000]).unwrap();
    assert!(!is_reported(&mut net, QUIET), "half of it has arrived");
    peer.write_all(&vec![b'x'; 50_000]).unwrap();
    assert!(is_reported(&mut net, WAIT_MAX), "all of it has arrived");
    let mut bytes = vec![0; 200_000];
    assert_eq!(net.read(&stream, &mut bytes).unwrap(), 100_000);
    peer.write_all(b"x").unwrap();
    assert!(!is_reported(&mut net, QUIET), "the mark stays");
    net.set_low_water_mark(&stream, 1);
    assert!(is_reported(&mut net, WAIT_MAX), "it had arrived before");
    net.set_low_water_mark(&stream, 100_000);
    peer.write_all(b"x").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    assert!(is_reported(&mut net, WAIT_MAX), "the stream has ended");
}
