//! Scripted servers.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use socket2::{Domain, Socket, Type};

use crate::common::{INTRODUCTION, MONTHS, Server, WAIT_MAX, acknowledgement};

/// A TCP server of the test, which gives each connection to a thread of its own.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) accepted: Arc<AtomicUsize>,
    pub(crate) acceptor: Option<JoinHandle<()>>,
}

impl Scripted {
    /// Runs `script` with each connection and its number, from 0.
    pub(crate) fn new(script: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopping, counting, script) = (stop.clone(), accepted.clone(), Arc::new(script));
        let acceptor = thread::spawn(move || {
            loop {
                let (stream, _) = listener.accept().unwrap();
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let number = counting.fetch_add(1, Ordering::SeqCst);
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
                stream.set_write_timeout(Some(WAIT_MAX)).unwrap();
                let script = script.clone();
                thread::spawn(move || script(stream, number));
            }
        });
        Self { address, stop, accepted, acceptor: Some(acceptor) }
    }

    /// Acknowledges each message, and counts them.
    pub(crate) fn acknowledging() -> (Self, Arc<AtomicUsize>) {
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let counting = acknowledged.clone();
        let server = Self::new(move |mut stream, _| {
            while read_frame(&mut stream).is_some() && stream.write_all(&acknowledgement()).is_ok() {
                counting.fetch_add(1, Ordering::SeqCst);
            }
        });
        (server, acknowledged)
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        drop(self.acceptor.take().unwrap().join());
    }
}

/// The body of the next frame; `None` at the end of the stream.
pub(crate) fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut header = [0; 64];
    stream.read_exact(&mut header).ok()?;
    let mut body = vec![0; std::str::from_utf8(&header).unwrap().trim_end_matches(' ').parse().unwrap()];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}

/// Answers each frame with `reply`, until the end of the stream.
pub(crate) fn answer_with(mut stream: TcpStream, reply: &[u8]) {
    while read_frame(&mut stream).is_some() && stream.write_all(reply).is_ok() {}
}

pub(crate) fn read_to_the_end(mut stream: &TcpStream) {
    let mut buffer = vec![0; 1 << 16];
    while stream.read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
}

/// A UDP server of the test, which introduces itself to each new peer.
pub(crate) struct Calendar {
    pub(crate) address: SocketAddr,
    pub(crate) stop: Arc<AtomicBool>,
    /// Requested numbers, in order.
    pub(crate) asked: Arc<Mutex<Vec<usize>>>,
    pub(crate) thread: Option<JoinHandle<()>>,
}

impl Calendar {
    /// Runs `script` with each requested number and how many were requested before, and sends the answers it
    /// returns.
    pub(crate) fn new(mut script: impl FnMut(usize, usize) -> Vec<String> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (stopping, asking) = (stop.clone(), asked.clone());
        let thread = thread::spawn(move || {
            let (mut known, mut buffer) = (HashSet::new(), [0; 2048]);
            loop {
                let (bytes, peer) = socket.recv_from(&mut buffer).unwrap();
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                if known.insert(peer) {
                    socket.send_to(INTRODUCTION.as_bytes(), peer).unwrap();
                    continue;
                }
                // A slow generator repeats its hello before it has read the introduction.
                let Ok(number) = std::str::from_utf8(&buffer[..bytes]).unwrap().parse() else { continue };
                let before = {
                    let mut asked = asking.lock().unwrap();
                    asked.push(number);
                    asked.len() - 1
                };
                for answer in script(number, before) {
                    socket.send_to(answer.as_bytes(), peer).unwrap();
                }
            }
        });
        Self { address, stop, asked, thread: Some(thread) }
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Drop for Calendar {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"", self.address).unwrap();
        drop(self.thread.take().unwrap().join());
    }
}

pub(crate) fn month(number: usize) -> String {
    MONTHS[number - 1].into()
}

/// A bound port without a listener.
pub(crate) fn unused_port(kind: Type) -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, kind, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

pub(crate) fn serve(endpoints: &str) -> Server {
    Server::start(&format!("{endpoints} --journal none"))
}
