//! The service of the admin endpoint in the simulation: a request is a head, as in HTTP, and each has the same answer.

use loopline::service::{Action, Output, Progress, StreamService};

pub struct Status;

pub const STATUS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

pub const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

/// A request after which the connection ends.
pub const LAST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

/// A request that is refused, without an answer.
pub const BAD: &[u8] = b"GIT / HTTP/1.1\r\n\r\n";

impl StreamService for Status {
    fn received(&self, unread: &[u8], ended: bool, out: &mut Output<'_>) -> Progress {
        let mut consumed = 0;
        for request in unread.chunks_exact(REQUEST.len()) {
            if request == BAD {
                return Progress { consumed, action: Action::Refuse("no GET".into()) };
            }
            consumed += request.len();
            out.send(STATUS);
            if request == LAST {
                return Progress { consumed, action: Action::End };
            }
        }
        Progress { consumed, action: if ended { Action::End } else { Action::Continue } }
    }
}
