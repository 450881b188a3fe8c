//! The header of the PROXY protocol, versions 1 and 2, with which a proxy reports the address of its client.
//!
//! Where a header ends, and whether it is one at all, is decided here, however it arrives; `ppp` then parses one that is
//! complete. So its parser never sees a part of a header, which it may take for a bad one.
//!
//! ```text
//!   version 1   PROXY TCP4 192.0.2.1 198.51.100.7 56324 443␍␊         one line, 107 bytes at most
//!   version 2   signature (12) | version and command | family | length (2) | addresses, TLVs (length)
//! ```

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crc::{CRC_32_ISCSI, Crc, NoTable};
use ppp::{v1, v2};

use crate::journal::escape::escaped;

/// What a complete header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProxyHeader {
    /// Its length.
    pub(crate) bytes: usize,
    /// The client of the proxy. `None`: the connection keeps its own address, because the proxy speaks for itself
    /// (`LOCAL`), or has no address that a TCP client could have.
    pub(crate) source: Option<SocketAddr>,
}

/// Parses the header at the beginning of `received`; `None`: it is not complete. A header of version 2 has at most
/// `bytes_max` bytes.
///
/// # Errors
/// What is wrong, as peers and operators read it.
pub(crate) fn parse(received: &[u8], bytes_max: usize) -> Result<Option<ProxyHeader>, String> {
    if begins_alike(received, v2::PROTOCOL_PREFIX) {
        parse_v2(received, bytes_max)
    } else if begins_alike(received, V1_PREFIX) {
        parse_v1(received)
    } else {
        let beginning: Vec<u8> = received.iter().copied().take(SHOWN_BYTES).collect();
        Err(format!("expected a PROXY header, and received '{}'", escaped(&beginning)))
    }
}

/// Whether `received` is a part of `prefix`, or begins with it.
fn begins_alike(received: &[u8], prefix: &[u8]) -> bool {
    received.iter().zip(prefix).all(|(a, b)| a == b)
}

fn parse_v1(received: &[u8]) -> Result<Option<ProxyHeader>, String> {
    let line = received.get(..V1_BYTES_MAX).unwrap_or(received);
    let Some(feed) = line.iter().position(|byte| *byte == b'\n') else {
        return match received.len() {
            V1_BYTES_MAX.. => Err(bad(&format!("no line of at most {V1_BYTES_MAX} bytes"))),
            _ => Ok(None),
        };
    };
    let (line, _) = received.split_at(feed.saturating_add(1));
    if line.strip_suffix(b"\r\n").is_none_or(|text| text.contains(&b'\r')) {
        return Err(bad(&"the line does not end in CR LF"));
    }
    let source =
        if line.strip_prefix(V1_UNKNOWN).is_some_and(|rest| rest.starts_with(b" ") || rest == b"\r\n") {
            None
        } else {
            // It would be parsed as part of a port.
            if line.contains(&b'+') {
                return Err(bad(&"a plus sign is no part of a number"));
            }
            match v1::Header::try_from(line).map_err(|error| bad(&error))?.addresses {
                v1::Addresses::Tcp4(v1::IPv4 { source_address, source_port, .. }) => {
                    Some(client(source_address.into(), source_port))
                }
                v1::Addresses::Tcp6(v1::IPv6 { source_address, source_port, .. }) => {
                    Some(client(source_address.into(), source_port))
                }
                v1::Addresses::Unknown => None,
            }
        };
    Ok(Some(ProxyHeader { bytes: line.len(), source }))
}

fn parse_v2(received: &[u8], bytes_max: usize) -> Result<Option<ProxyHeader>, String> {
    let rest = received.get(v2::PROTOCOL_PREFIX.len()..).unwrap_or(&[]);
    let command = rest.first().copied();
    if command.is_some_and(|it| it != V2_LOCAL && it != V2_PROXY) {
        return Err(bad(&"its version is not 2, or its command neither LOCAL nor PROXY"));
    }
    let Some([_, _, high, low]) = rest.first_chunk() else { return Ok(None) };
    let bytes = V2_BYTES_MIN.saturating_add(u16::from_be_bytes([*high, *low]).into());
    if bytes > bytes_max {
        return Err(bad(&format!("it announces {bytes} bytes, the limit is {bytes_max}")));
    }
    let Some(header) = received.get(..bytes) else { return Ok(None) };
    // Everything behind the command of `LOCAL` is to be ignored, an unknown family included.
    let source = if command == Some(V2_LOCAL) { None } else { proxied(header)? };
    Ok(Some(ProxyHeader { bytes, source }))
}

/// The client that a complete header of version 2 names.
fn proxied(header: &[u8]) -> Result<Option<SocketAddr>, String> {
    let parsed = v2::Header::try_from(header).map_err(|error| bad(&error))?;
    // What follows an unspecified address has no known form.
    if parsed.address_family() == v2::AddressFamily::Unspecified {
        return Ok(None);
    }
    let mut position = header.len().saturating_sub(parsed.tlv_bytes().len());
    for tlv in parsed.tlvs() {
        let tlv = tlv.map_err(|error| bad(&error))?;
        position = position.saturating_add(TLV_HEADER_BYTES);
        if tlv.kind == v2::Type::CRC32C as u8 {
            check_crc(header, position, &tlv.value)?;
        }
        position = position.saturating_add(tlv.len());
    }
    Ok(match (parsed.protocol, parsed.addresses) {
        (v2::Protocol::Stream, v2::Addresses::IPv4(it)) => {
            Some(client(it.source_address.into(), it.source_port))
        }
        (v2::Protocol::Stream, v2::Addresses::IPv6(it)) => {
            Some(client(it.source_address.into(), it.source_port))
        }
        // A client of another kind of socket has no address that could stand in the journal.
        (v2::Protocol::Stream | v2::Protocol::Datagram | v2::Protocol::Unspecified, _) => None,
    })
}

/// Checks the checksum of a header, which is its bytes `value` from `position` on.
fn check_crc(header: &[u8], position: usize, value: &[u8]) -> Result<(), String> {
    let Ok(expected) = <[u8; 4]>::try_from(value) else { return Err(bad(&"its checksum has not 4 bytes")) };
    let (before, from) = header.split_at(position);
    let (_, after) = from.split_at(expected.len());
    let crc = Crc::<u32, NoTable>::new(&CRC_32_ISCSI);
    let mut digest = crc.digest();
    // It is that of the header with zeros in its own place.
    [before, &[0; 4], after].iter().for_each(|part| digest.update(part));
    if digest.finalize() == u32::from_be_bytes(expected) {
        Ok(())
    } else {
        Err(bad(&"its checksum is wrong"))
    }
}

fn client(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip.to_canonical(), port)
}

fn bad(why: &dyn fmt::Display) -> String {
    let why = why.to_string();
    // One of the parser's texts has line ends.
    format!("bad PROXY header: {}", escaped(why.trim_end_matches('.').as_bytes()))
}

const V1_PREFIX: &[u8] = b"PROXY ";

const V1_UNKNOWN: &[u8] = b"PROXY UNKNOWN";

/// By the specification.
const V1_BYTES_MAX: usize = 107;

/// The bytes of a header of version 2 without addresses.
const V2_BYTES_MIN: usize = 16;

const V2_LOCAL: u8 = 0x20;

const V2_PROXY: u8 = 0x21;

/// The type and the length of a TLV.
const TLV_HEADER_BYTES: usize = 3;

/// Bytes of bad input that the error shows.
const SHOWN_BYTES: usize = 16;

#[cfg(test)]
mod tests;
