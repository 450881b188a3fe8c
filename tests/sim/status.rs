//! The service of the admin endpoint in the simulation: each `?` is answered, and what comes before one is a
//! frame.

use loopline::service::{Action, Output, Progress, StreamService};

pub struct Status;

pub const STATUS: &str = "status";

impl StreamService for Status {
    fn received(&self, unread: &[u8], ended: bool, out: &mut Output<'_>) -> Progress {
        let mut consumed = 0;
        for request in unread.split_inclusive(|byte| *byte == b'?').filter(|it| it.ends_with(b"?")) {
            consumed += request.len();
            out.send(STATUS.as_bytes());
        }
        Progress { consumed, action: if ended { Action::End } else { Action::Continue } }
    }
}
