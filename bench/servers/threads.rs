//! The reference server with a thread for each connection and blocking sockets: `threads-server [PORT]`.
//!
//! Stacks of 32 KiB, a buffer for each connection, one write for all frames of a read. No journal, no limits, no
//! deadlines.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use socket2::{Domain, Socket, Type};

mod message;

const STACK_BYTES: usize = 32 * 1024;

fn main() -> io::Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&message::address(1)?.into())?;
    socket.listen(4096)?;
    let listener = TcpListener::from(socket);
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept()?;
        let thread = thread::Builder::new().stack_size(STACK_BYTES);
        // An error of a connection ends only that connection; without a thread, a connection is closed.
        let _ = thread.spawn(move || {
            let _ = talk(stream);
        });
    }
}

fn talk(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut unread, mut held) = (vec![0; message::BUFFER_BYTES], 0);
    let mut out = Vec::new();
    loop {
        if held == unread.len() {
            unread.resize(2 * held, 0);
        }
        let got = stream.read(&mut unread[held..])?;
        if got == 0 {
            return Ok(());
        }
        held += got;
        let (consumed, goes_on) = message::answer(&unread[..held], &mut out)?;
        stream.write_all(&out)?;
        if !goes_on {
            return Ok(());
        }
        unread.copy_within(consumed..held, 0);
        held -= consumed;
        out.clear();
    }
}
