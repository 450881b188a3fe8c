//! The lock that makes one process the only writer of a journal file.
//!
//! It is a POSIX record lock (`F_SETLK`) on the whole file, exclusive and advisory. It belongs to the process, and
//! not to a descriptor: standard output that two servers have inherited from one shell is still locked by one of them,
//! all threads of a server hold it, a child process does not, and it ends with the process, however that ends. The
//! kernel reports which process holds it. Containers that share the file share the lock, and so do machines that share
//! it by NFS, unless it is mounted with `nolock`.
//!
//! The price: closing any descriptor of the file releases the lock, so a process that holds it must not open the file
//! a second time.

use std::fs::File;
use std::io;

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};

/// Takes the lock.
///
/// # Errors
/// Another process has it, or the file system has no locks.
pub(super) fn lock(file: &File) -> io::Result<()> {
    for _ in 0..ATTEMPTS_MAX {
        match fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::ACCESS | Errno::AGAIN) => {}
            Err(error) => {
                return Err(io::Error::new(
                    error.kind(),
                    format!("cannot lock it: {}", io::Error::from(error)),
                ));
            }
        }
        // It may have been released meanwhile.
        if let Some(holder) = fcntl_getlk(file, &Flock::from(FlockType::WriteLock))? {
            return Err(held_by(holder.pid.map_or(0, |pid| pid.as_raw_nonzero().get())));
        }
    }
    Err(held_by(0))
}

/// The error if the process `pid` has the lock. The kernel reports 0 for a process of another container, and a number
/// that is not positive for one of another machine.
fn held_by(pid: i32) -> io::Error {
    let holder = if pid > 0 {
        format!("process {pid}")
    } else {
        "a process in another container or on another machine".into()
    };
    io::Error::new(
        io::ErrorKind::ResourceBusy,
        format!("it is in use by {holder}, and has one writer at a time"),
    )
}

const ATTEMPTS_MAX: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_has_the_lock_is_named_if_it_is_known() {
        assert_eq!(held_by(42).to_string(), "it is in use by process 42, and has one writer at a time");
        for unknown in [0, -1] {
            assert!(held_by(unknown).to_string().contains("another container or on another machine"));
        }
    }
}
