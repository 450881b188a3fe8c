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
        let mut sender = Self { peer, text: [0; TEXT_BYTES_MAX], bytes: 0 };
        sender.format();
        sender
    }

    /// The sender is `peer` from now on.
    #[inline]
    pub(super) fn set(&mut self, peer: SocketAddr) {
        if self.peer != peer {
            self.peer = peer;
            self.format();
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

    fn format(&mut self) {
        self.bytes = match self.peer {
            SocketAddr::V4(peer) => format_v4(peer, &mut self.text),
            SocketAddr::V6(peer) => format_v6(peer, &mut self.text),
        };
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
        text[end..end + 4].copy_from_slice(&DECIMALS[usize::from(octet)]);
        end += 2 + usize::from(octet >= 10) + usize::from(octet >= 100);
    }
    text[end - 1] = b':';
    // Five digits, the first in the lowest byte; leading zeros are shifted out.
    let pair = |number: u64| number / 10 + ((number % 10) << 8);
    let port = u64::from(peer.port());
    let digits = port / 10_000 + (pair(port / 100 % 100) << 8) + (pair(port % 100) << 24);
    let zeros = (digits | 1 << 32).trailing_zeros() / 8;
    let port_text = (digits + u64::from_le_bytes(*b"00000] \0")) >> (8 * zeros);
    text[end..end + 8].copy_from_slice(&port_text.to_le_bytes());
    end + 7 - zeros as usize
}

/// Each octet in decimal, and a dot.
static DECIMALS: [[u8; 4]; 256] = {
    let mut all = [[0; 4]; 256];
    let mut octet = 0u8;
    loop {
        let [hundreds, tens, ones] = [b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10];
        all[octet as usize] = match octet {
            0..10 => [ones, b'.', 0, 0],
            10..100 => [tens, ones, b'.', 0],
            100.. => [hundreds, tens, ones, b'.'],
        };
        if octet == u8::MAX {
            break all;
        }
        octet += 1;
    }
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
        sender.set(peer);
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
