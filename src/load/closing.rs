//! The end of a run that another run follows: connections are closed so that the server has closed them too before the
//! next run opens its own. Otherwise, those of both could count against a limit of the server.

use std::io;

use crate::conn::token::Source;
use crate::net::{ClientNet, Token};

/// Ends `streams`, whose positions are the keys of their tokens, and waits until the server has closed them, unless it
/// closes none for a second. A stop request ends the wait.
///
/// # Errors
/// The poller is broken.
pub(super) fn close_and_wait<N: ClientNet>(
    net: &mut N,
    mut streams: Vec<Option<N::Stream>>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    for slot in &mut streams {
        if slot.as_ref().is_some_and(|stream| net.half_close(stream).is_err()) {
            slot.take().into_iter().for_each(|stream| net.close(stream));
        }
        // Its end may have arrived before.
        close_if_ended(net, slot, &mut buffer);
    }
    let mut left = streams.iter().flatten().count();
    let mut events = Vec::with_capacity(EVENTS_MAX);
    let mut until_ns = net.now_ns() + WAIT_NS;
    while left > 0 {
        let now_ns = net.now_ns();
        if now_ns >= until_ns {
            break;
        }
        net.poll_until(&mut events, EVENTS_MAX, now_ns, until_ns, false)?;
        let polled_ns = net.now_ns();
        for event in events.drain(..) {
            if event.token == Token::STOP {
                net.stop_requests();
                left = 0;
            }
            let Source::Conn(id) = event.token.into() else { continue };
            let Some(slot) = streams.get_mut(id.key as usize) else { continue };
            if close_if_ended(net, slot, &mut buffer) {
                left = left.saturating_sub(1);
                until_ns = polled_ns + WAIT_NS;
            }
        }
    }
    streams.into_iter().flatten().for_each(|stream| net.close(stream));
    Ok(())
}

/// Discards what has arrived, and closes the stream if the server has ended it. Returns whether it did.
fn close_if_ended<N: ClientNet>(net: &mut N, slot: &mut Option<N::Stream>, buffer: &mut [u8]) -> bool {
    let Some(stream) = slot else { return false };
    loop {
        match net.read(stream, buffer) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Ok(0) | Err(_) => break,
        }
    }
    slot.take().into_iter().for_each(|stream| net.close(stream));
    true
}

const BUFFER_BYTES: usize = 1 << 16;

const EVENTS_MAX: usize = 1024;

/// How long to wait for a server that closes no connection.
const WAIT_NS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::token::ConnToken;
    use crate::load::fake_net::FakeNet;
    use crate::net::{Connect, StreamIo};

    /// A network with this number of connections. A reply of the server is the end of its stream, half a second later.
    fn network(connections: u32) -> (FakeNet, Vec<Option<usize>>) {
        let mut net = FakeNet { request_bytes: 1, reply_delay_ns: WAIT_NS / 2, ..FakeNet::default() };
        let peer = ([127, 0, 0, 1], 1).into();
        let token = |key| Source::Conn(ConnToken { key, generation: 0 }).into();
        let mut streams = Vec::new();
        for key in 0..connections {
            let mut stream = net.connect(None, peer).unwrap();
            net.watch(&mut stream, token(key)).unwrap();
            streams.push(Some(stream));
        }
        (net, streams)
    }

    #[test]
    fn it_waits_until_the_server_has_closed_its_ends() {
        let (mut net, streams) = network(2);
        net.deliver(0, b"rest");
        net.deliver(0, b"");
        net.write(&1, b"x").unwrap();
        close_and_wait(&mut net, streams).unwrap();
        assert!(net.pipes.iter().all(|pipe| pipe.is_closed));
        assert_eq!(net.now_ns, WAIT_NS / 2);
    }

    #[test]
    fn a_server_that_closes_nothing_is_given_a_second() {
        let (mut net, mut streams) = network(3);
        streams.push(None);
        net.write(&1, b"x").unwrap();
        close_and_wait(&mut net, streams).unwrap();
        assert!(net.pipes.iter().all(|pipe| pipe.is_closed));
        assert_eq!(net.now_ns, WAIT_NS / 2 + WAIT_NS, "from the last that it has closed");
    }

    #[test]
    fn a_stop_request_ends_the_wait() {
        let (mut net, streams) = network(1);
        net.stop_at_ns = Some(1000);
        close_and_wait(&mut net, streams).unwrap();
        assert_eq!((net.now_ns, net.pipes[0].is_closed), (1000, true));
    }
}
