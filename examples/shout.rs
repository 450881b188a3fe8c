//! A custom service on the event loop: it returns every line in upper case.
//!
//! Run `cargo run --example shout`, then `printf 'hello\n' | nc -N 127.0.0.1 7777`, which prints `HELLO`. Ctrl-C
//! stops it. A crate of your own needs the feature `signals`, or without `take_signals` Ctrl-C ends the process
//! at once:
//!
//! ```toml
//! [dependencies]
//! loopline = { path = "…", default-features = false, features = ["signals"] }
//! ```

use std::error::Error;

use loopline::event_loop::EventLoop;
use loopline::limits::Limits;
use loopline::net::kernel::KernelNet;
use loopline::net::sockets::SocketOptions;
use loopline::service::{Action, Output, Progress, StreamService};

struct Shout;

impl StreamService for Shout {
    fn received(&self, unread: &[u8], _ended: bool, out: &mut Output<'_>) -> Progress {
        // An incomplete line stays unconsumed and is passed again when more bytes have arrived.
        let lines = unread.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        out.send(&unread[..lines].to_ascii_uppercase());
        if unread.len() - lines > 1000 {
            return Progress { consumed: lines, action: Action::Refuse("the line is too long".into()) };
        }
        Progress { consumed: lines, action: Action::Continue }
    }

    fn refused(&self, reason: &str, out: &mut Output<'_>) {
        out.send(format!("error: {reason}\n").as_bytes());
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7777".into());
    let mut net = KernelNet::new(SocketOptions::default())?;
    net.take_signals()?;
    let mut server = EventLoop::new(net, Limits::default());
    let address = server.listen(address.parse()?, Box::new(Shout))?;
    println!("listening on {address}");
    server.run()?;
    Ok(())
}
