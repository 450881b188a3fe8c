//! Ending a connection: the last answer must reach a peer that is still sending.

#![expect(clippy::disallowed_methods, reason = "blocking threads read the clock themselves")]

use std::io::Read;
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use super::{Driver, READ_BYTES};
use crate::conn::stream_session::Effect;

impl Driver<'_> {
    /// Ends the connection, because the server stops.
    pub(super) fn stop(&mut self) {
        let effect = self.session.stop();
        self.apply(effect);
    }

    /// Does what a change of state requires.
    pub(super) fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::HalfClose => self.linger(),
            // The socket is closed when the thread ends.
            Effect::Nothing | Effect::Close => {}
        }
    }

    /// Ends our side, then reads and discards what still comes.
    fn linger(&mut self) {
        if self.stream().shutdown(Shutdown::Write).is_err() {
            return;
        }
        if self.connection.is_ended() {
            return self.linger_after_end();
        }
        let deadline = Instant::now() + self.shared.limits.linger_timeout;
        let mut buffer = [0; READ_BYTES];
        let mut discarded_bytes = 0;
        while discarded_bytes <= self.shared.limits.linger_bytes_max {
            match self.read(&mut buffer, Some(deadline)) {
                Ok(0) | Err(_) => return,
                Ok(bytes) => discarded_bytes += bytes,
            }
        }
    }

    /// The same after draining has shut the read side: a read no longer waits, nor returns the end of the peer's side.
    /// When both sides have ended, the socket has no peer any more.
    fn linger_after_end(&mut self) {
        let deadline = Instant::now() + self.shared.limits.drain_linger_timeout;
        let mut buffer = [0; READ_BYTES];
        let mut pause = ENDED_PAUSE;
        // A peer that sends more now is reset by the kernel, since both sides are shut: the bytes read here came before.
        while self.stream().peer_addr().is_ok() && Instant::now() < deadline {
            while self.stream().read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
            thread::sleep(pause);
            pause = (2 * pause).min(ENDED_PAUSE_MAX);
        }
    }
}

/// Between two reads of a socket whose read side is shut, which do not wait.
pub(super) const ENDED_PAUSE: Duration = Duration::from_millis(5);

/// The longest such pause while lingering.
const ENDED_PAUSE_MAX: Duration = Duration::from_millis(40);
