//! `SO_RCVLOWAT`, which neither the standard library nor `socket2` can set: bytes are reported when this many have arrived.

use nix::sys::socket::sockopt::SetUsize;

/// The low-water mark of received bytes. Linux limits it to half of the largest receive buffer, and reports fewer bytes
/// when no more fit, when the kernel is short of memory, and at the end of the stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReceiveLowWater;

nix::setsockopt_impl!(ReceiveLowWater, libc::SOL_SOCKET, libc::SO_RCVLOWAT, usize, SetUsize);
