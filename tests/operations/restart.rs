//! Restarts under load with an inherited listener: none is refused, none reset, and each message is acknowledged.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::activator::Activator;
use crate::common::{Exit, MODELS, WAIT_MAX, acknowledgement, frame, stall};

/// Connects, sends a message and the farewell, and reads the acknowledgement and the end.
fn exchange(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, WAIT_MAX)?;
    stream.set_read_timeout(Some(WAIT_MAX))?;
    stream.write_all(&frame("text"))?;
    let mut reply = vec![0; acknowledgement().len()];
    stream.read_exact(&mut reply)?;
    assert_eq!(reply, acknowledgement());
    // The server may have ended its side, because it stops: that is no reset.
    stream.write_all(&frame("Disconnect !"))?;
    stream.read_to_end(&mut reply).map(drop)
}

#[test]
fn restarts_under_load_refuse_and_reset_no_connection() {
    let restarts = std::env::var("LOOPLINE_RESTARTS").map_or(5, |restarts| restarts.parse().unwrap());
    for model in MODELS {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let activator = Activator::default().with("message", listener);
        let (stop, exchanges) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (stop, exchanges) = (stop.clone(), exchanges.clone());
                thread::spawn(move || {
                    while !stop.load(Ordering::SeqCst) {
                        exchange(address).unwrap_or_else(|error| panic!("a connection has failed: {error}"));
                        exchanges.fetch_add(1, Ordering::SeqCst);
                        stall(BETWEEN_CONNECTS);
                    }
                })
            })
            .collect();
        let mut messages = 0;
        for _ in 0..restarts {
            let server = activator.serve(&format!("--model {model}")).start();
            stall(Duration::from_millis(100));
            messages += texts(&server.stop_cleanly());
        }
        let server = activator.serve(&format!("--model {model}")).start();
        stop.store(true, Ordering::SeqCst);
        clients.into_iter().for_each(|client| client.join().unwrap());
        messages += texts(&server.stop_cleanly());
        assert_eq!(messages, exchanges.load(Ordering::SeqCst), "{model}: each message is in a journal");
    }
}

fn texts(ended: &Exit) -> usize {
    ended.messages().iter().filter(|message| **message == "text").count()
}

/// Together about a thousand connects a second.
const CLIENTS: usize = 20;
const BETWEEN_CONNECTS: Duration = Duration::from_millis(20);
