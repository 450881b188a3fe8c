//! The reference server on tokio, in its usual style: `tokio-server current|multi [PORT]`.
//!
//! A task and a buffer for each connection, one write for all frames of a read. No journal, no limits, no deadlines.

use std::io;

use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

mod message;

fn main() -> io::Result<()> {
    let mut builder = match std::env::args().nth(1).as_deref() {
        Some("current") => tokio::runtime::Builder::new_current_thread(),
        Some("multi") => tokio::runtime::Builder::new_multi_thread(),
        _ => return Err(io::Error::other("usage: tokio-server current|multi [PORT]")),
    };
    builder.enable_io().build()?.block_on(serve())
}

async fn serve() -> io::Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&message::address(2)?.into())?;
    socket.set_nonblocking(true)?;
    socket.listen(4096)?;
    let listener = TcpListener::from_std(socket.into())?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            // An error of a connection ends only that connection.
            let _ = talk(stream).await;
        });
    }
}

async fn talk(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut unread, mut out) = (Vec::with_capacity(message::BUFFER_BYTES), Vec::new());
    let mut goes_on = true;
    while goes_on && stream.read_buf(&mut unread).await? > 0 {
        let consumed;
        (consumed, goes_on) = message::answer(&unread, &mut out)?;
        stream.write_all(&out).await?;
        unread.drain(..consumed);
        out.clear();
    }
    stream.shutdown().await
}
