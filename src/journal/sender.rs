//! The sender of a line as text. It is formatted once for consecutive lines of one peer.

use std::io::Write;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

/// The beginning of a line of text, `[192.0.2.1:4000] `, and the peer that it names.
#[derive(Debug)]
pub(super) struct Sender {
    peer: SocketAddr,
    text: [u8; TEXT_BYTES_MAX],
    bytes: usize,
}

impl Sender {
    pub(super) fn new(peer: SocketAddr) -> Self {
        let mut text = [0; TEXT_BYTES_MAX];
        let bytes = format(peer, &mut text);
        Self { peer, text, bytes }
    }

    /// The sender is `peer` from now on.
    pub(super) fn set(&mut self, peer: SocketAddr) {
        if self.peer != peer {
            self.peer = peer;
            self.bytes = format(peer, &mut self.text);
        }
    }

    /// The same for an IPv4 address.
    #[inline]
    pub(super) fn set_short(&mut self, peer: SocketAddrV4) {
        if self.peer != SocketAddr::V4(peer) {
            self.peer = SocketAddr::V4(peer);
            self.bytes = format_v4(peer, &mut self.text);
        }
    }

    /// Appends it to `line`, in brackets, with a space behind them.
    #[inline]
    pub(super) fn append_to(&self, line: &mut Vec<u8>) {
        let end = line.len() + self.bytes;
        match self.text.first_chunk::<SHORT_BYTES>() {
            // A copy of a constant length is no call.
            Some(short) if self.bytes <= SHORT_BYTES => line.extend_from_slice(short),
            _ => line.extend_from_slice(&self.text),
        }
        line.truncate(end);
    }

    /// The address alone.
    #[cfg(feature = "cli")]
    pub(super) fn address(&self) -> &[u8] {
        &self.text[1..self.bytes - 2]
    }
}

fn format(peer: SocketAddr, text: &mut [u8; TEXT_BYTES_MAX]) -> usize {
    match peer {
        SocketAddr::V4(peer) => format_v4(peer, text),
        SocketAddr::V6(peer) => format_v6(peer, text),
    }
}

/// Writes `[[address]:port] ` and returns its length.
#[inline(never)]
fn format_v6(peer: SocketAddrV6, text: &mut [u8; TEXT_BYTES_MAX]) -> usize {
    let mut rest = &mut text[..];
    write!(rest, "[{peer}] ").expect("the longest address fits");
    TEXT_BYTES_MAX - rest.len()
}

/// Writes `[a.b.c.d:port] ` and returns its length. By `core::fmt`, it would cost more than all else that a line does.
fn format_v4(peer: SocketAddrV4, text: &mut [u8; TEXT_BYTES_MAX]) -> usize {
    text[0] = b'[';
    let mut end = 1;
    for octet in peer.ip().octets() {
        let Decimal { digits_and_dot, bytes } = DECIMALS[usize::from(octet)];
        text[end..end + 4].copy_from_slice(&digits_and_dot);
        end += usize::from(bytes);
    }
    text[end - 1] = b':';
    // Five digits, the first in the lowest byte; leading zeros are shifted out.
    let pair = |number: u32| u64::from(PAIRS[number as usize]);
    let port = u32::from(peer.port());
    let digits = u64::from(port / 10_000) + (pair(port / 100 % 100) << 8) + (pair(port % 100) << 24);
    let zeros = (digits | 1 << 32).trailing_zeros() / 8;
    let port_text = (digits + u64::from_le_bytes(*b"00000] \0")) >> (8 * zeros);
    text[end..end + 8].copy_from_slice(&port_text.to_le_bytes());
    end + 7 - zeros as usize
}

/// An octet in decimal, and a dot.
#[derive(Clone, Copy)]
struct Decimal {
    digits_and_dot: [u8; 4],
    /// Of these, how many are used.
    bytes: u8,
}

static DECIMALS: [Decimal; 256] = {
    let mut all = [Decimal { digits_and_dot: [0; 4], bytes: 0 }; 256];
    let mut octet = 0u8;
    loop {
        let [hundreds, tens, ones] = [b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10];
        all[octet as usize] = match octet {
            0..10 => Decimal { digits_and_dot: [ones, b'.', 0, 0], bytes: 2 },
            10..100 => Decimal { digits_and_dot: [tens, ones, b'.', 0], bytes: 3 },
            100.. => Decimal { digits_and_dot: [hundreds, tens, ones, b'.'], bytes: 4 },
        };
        if octet == u8::MAX {
            break all;
        }
        octet += 1;
    }
};

/// The two digits of each number below 100, the first in the lower byte.
static PAIRS: [u16; 100] = {
    let mut all = [0; 100];
    let mut number = 0u16;
    while number < 100 {
        all[number as usize] = number / 10 + ((number % 10) << 8);
        number += 1;
    }
    all
};

/// The longest address is one of IPv6 with a scope.
const TEXT_BYTES_MAX: usize = "[[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535] ".len();

/// An IPv4 address takes at most these, and what is written in one go ends before them.
const SHORT_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn appended(sender: &Sender) -> String {
        let mut line = b"before ".to_vec();
        sender.append_to(&mut line);
        String::from_utf8(line).unwrap()
    }

    fn check(sender: &mut Sender, peer: SocketAddr) {
        match peer {
            SocketAddr::V4(short) if short.port() % 2 == 0 => sender.set_short(short),
            SocketAddr::V4(_) | SocketAddr::V6(_) => sender.set(peer),
        }
        assert_eq!(appended(sender), format!("before [{peer}] "));
        #[cfg(feature = "cli")]
        assert_eq!(sender.address(), peer.to_string().as_bytes());
    }

    #[test]
    fn every_octet_and_every_port_has_its_digits() {
        let mut sender = Sender::new((Ipv4Addr::UNSPECIFIED, 0).into());
        assert_eq!(appended(&sender), "before [0.0.0.0:0] ");
        for number in 0..=u16::MAX {
            let [high, low] = number.to_be_bytes();
            check(&mut sender, (Ipv4Addr::new(low, high, low, high), number).into());
        }
    }

    #[test]
    fn the_longest_addresses_fit() {
        let mut sender = Sender::new((Ipv4Addr::BROADCAST, u16::MAX).into());
        assert_eq!(appended(&sender), "before [255.255.255.255:65535] ");
        let longest = SocketAddrV6::new(Ipv6Addr::from([0xff; 16]), u16::MAX, 0, u32::MAX);
        check(&mut sender, longest.into());
        assert_eq!(sender.bytes, TEXT_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn a_sender_is_written_as_the_standard_library_writes_it(
            peers in proptest::collection::vec(any::<(SocketAddr, bool)>(), 1..8),
        ) {
            let mut sender = Sender::new(peers[0].0);
            for (peer, again) in peers {
                check(&mut sender, peer);
                if again {
                    check(&mut sender, peer);
                }
            }
        }
    }
}
