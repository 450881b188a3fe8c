//! Properties of the standard streams: whether to color text, and whether standard error can be written.

use std::env;
use std::io::IsTerminal;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Whether `stream` is a terminal with colors, and neither `NO_COLOR` nor `TERM=dumb` is set.
pub(crate) fn supports_color(stream: &impl IsTerminal) -> bool {
    let is_unset = |name: &str| env::var_os(name).is_none_or(|it| it.is_empty());
    let is_dumb = env::var_os("TERM").is_some_and(|it| it == "dumb");
    stream.is_terminal() && is_unset("NO_COLOR") && !is_dumb
}

/// Whether a line can be written to standard error without blocking. It may be closed, or a full pipe.
pub(crate) fn is_stderr_writable() -> bool {
    let stderr = std::io::stderr();
    let mut descriptors = [PollFd::new(&stderr, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut descriptors, Some(&now)) {
        Ok(1) => descriptors[0].revents() == PollFlags::OUT,
        _ => false,
    }
}
