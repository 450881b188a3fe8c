//! The service of the administrative endpoint in the simulation: each `?` is answered, and what comes before one is a
//! frame.

use loopline::service::{Action, Output, Progress, StreamService};

pub struct Status;

pub const STATUS: &str = "status";

impl StreamService for Status {
    fn received(&self, unread: &[u8], ended: bool, out: &mut Output<'_>) -> Progress {
        let consumed = unread.iter().rposition(|byte| *byte == b'?').map_or(0, |last| last + 1);
        let requests = unread.iter().filter(|byte| **byte == b'?').count();
        out.send(STATUS.repeat(requests).as_bytes());
        Progress { consumed, action: if ended { Action::End } else { Action::Continue } }
    }
}
