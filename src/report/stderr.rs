//! Standard error, which may be gone, or a pipe that nobody reads.

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Whether standard error takes a line without waiting, and is still there.
pub(crate) fn takes_a_line() -> bool {
    let stderr = std::io::stderr();
    let mut descriptors = [PollFd::new(&stderr, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut descriptors, Some(&now)) {
        Ok(1) => descriptors[0].revents() == PollFlags::OUT,
        _ => false,
    }
}
