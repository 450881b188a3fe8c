//! Restarts under load with an inherited listener: none is refused, none reset, and each message is acknowledged.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::activator::Activator;
use crate::common::{Clock, Exit, MODELS, WAIT_MAX, acknowledgement, frame, stall};

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
    let restarts: usize = std::env::var("LOOPLINE_RESTARTS").map_or(5, |restarts| restarts.parse().unwrap());
    for model in MODELS {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let activator = Activator::default().with("message", listener);
        let (stop, exchanges) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clock = Arc::new(Clock::start());
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (stop, exchanges, clock) = (stop.clone(), exchanges.clone(), clock.clone());
                thread::spawn(move || {
                    let mut due = BETWEEN_CONNECTS / CLIENTS * number;
                    while !stop.load(Ordering::SeqCst) {
                        exchange(address).unwrap_or_else(|error| panic!("a connection has failed: {error}"));
                        exchanges.fetch_add(1, Ordering::SeqCst);
                        // A client that is late makes up for it.
                        due += BETWEEN_CONNECTS;
                        stall(due.saturating_sub(clock.elapsed()));
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
        let (connects, elapsed) = (exchanges.load(Ordering::SeqCst), clock.elapsed());
        let rate = connects as u128 * 1000 / elapsed.as_millis();
        println!("{model}: {restarts} restarts, {connects} connects in {elapsed:.1?}: {rate} a second");
        if restarts >= RESTARTS_LONG {
            assert!(rate >= CONNECTS_PER_SECOND, "{model}: {rate} connects a second");
        }
        messages += texts(&server.stop_cleanly());
        assert_eq!(messages, connects, "{model}: each message is in a journal");
    }
}

fn texts(ended: &Exit) -> usize {
    ended.messages().iter().filter(|message| **message == "text").count()
}

/// The least rate of a long run, in which clients that were late have made up for it.
const CONNECTS_PER_SECOND: u128 = 1000;
const RESTARTS_LONG: usize = 100;

/// Together they offer 1,250 connects a second.
const CLIENTS: u32 = 25;
const BETWEEN_CONNECTS: Duration = Duration::from_millis(20);
