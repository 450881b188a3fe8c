//! A chat room: each line is sent to everybody in the room, by one thread, however many they are.
//!
//! Run `cargo run --features handlers --example chat`, then `nc 127.0.0.1 7778` in several terminals. The first line of a peer is its name.
//! `/quit` ends the connection, and Ctrl-C the server. A crate of your own needs two features:
//!
//! ```toml
//! [dependencies]
//! loopline = { path = "…", default-features = false, features = ["handlers", "signals"] }
//! ```

use std::error::Error;
use std::time::Duration;

use loopline::CloseReason;
use loopline::event_loop::EventLoop;
use loopline::event_loop::handlers::{ConnContext, ConnId, Context, Group, Handler};
use loopline::limits::Limits;
use loopline::net::kernel::KernelNet;
use loopline::net::sockets::SocketOptions;

/// The room.
struct Chat;

const EVERYBODY: Group = Group(0);

/// A peer that has not said its name after this time is asked for it again.
const REMINDER: Duration = Duration::from_secs(30);

const LINE_BYTES_MAX: usize = 1000;

impl Handler for Chat {
    /// The name of the peer, when it is known.
    type Conn = Option<String>;
    type Message = String;

    fn opened(&mut self, cx: &mut ConnContext<'_>) -> Option<String> {
        cx.send(b"Your name?\n");
        cx.set_timer(REMINDER);
        None
    }

    fn received(&mut self, name: &mut Option<String>, unread: &[u8], cx: &mut ConnContext<'_>) -> usize {
        let mut consumed = 0;
        for line in unread.split_inclusive(|byte| *byte == b'\n') {
            if line.len() > LINE_BYTES_MAX {
                cx.refuse("the line is too long");
                break;
            }
            let Some(text) = line.strip_suffix(b"\n") else { break };
            consumed += line.len();
            let text = String::from_utf8_lossy(text.trim_ascii());
            if text == "/quit" {
                cx.end();
                break;
            }
            if let Some(name) = name {
                cx.publish(EVERYBODY, format!("{name}: {text}\n").as_bytes());
            } else if !text.is_empty() {
                cx.cancel_timer();
                announce(cx, &format!("{text} has come\n"));
                let id = cx.id();
                cx.join(id, EVERYBODY);
                cx.send(format!("Welcome, {text}: {} are here\n", cx.members(EVERYBODY)).as_bytes());
                *name = Some(text.into());
            }
        }
        consumed
    }

    fn timer(&mut self, _name: &mut Option<String>, cx: &mut ConnContext<'_>) {
        cx.send(b"Your name, please?\n");
        cx.set_timer(REMINDER);
    }

    fn closed(&mut self, _id: ConnId, name: Option<String>, _reason: CloseReason, cx: &mut Context<'_>) {
        if let Some(name) = name {
            announce(cx, &format!("{name} has left\n"));
        }
    }

    /// Another thread has something to say.
    fn message(&mut self, text: String, cx: &mut Context<'_>) {
        cx.publish(EVERYBODY, format!("* {text}\n").as_bytes());
    }

    fn refused(reason: &str, reply: &mut Vec<u8>) {
        reply.extend_from_slice(format!("error: {reason}\n").as_bytes());
    }
}

/// Says who comes and goes, unless there are so many that nobody would read it.
fn announce(cx: &mut Context<'_>, text: &str) {
    if cx.members(EVERYBODY) < 100 {
        cx.publish(EVERYBODY, text.as_bytes());
    }
}

#[expect(clippy::disallowed_methods, reason = "the loop is one thread, and the terminal has another")]
fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7778".into());
    let mut net = KernelNet::new(SocketOptions::default())?;
    net.take_signals()?;
    let mut server = EventLoop::new(net, Limits::default());
    let chat = server.add_handler(Chat)?;
    println!("listening on {}", server.listen_for(&chat, address.parse()?)?);
    // Lines of this terminal are announcements.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if chat.post(line).is_err() {
                eprintln!("the server is busy or has stopped: this line is not sent");
            }
        }
    });
    server.run()?;
    Ok(())
}
