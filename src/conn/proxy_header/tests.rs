//! Headers as the specification shows them, and what is none.

#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

use super::*;

const BYTES_MAX: usize = 1024;

/// A header of version 2.
fn v2_header(command: u8, family: u8, parts: &[&[u8]]) -> Vec<u8> {
    let rest = parts.concat();
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    header.extend(rest);
    header
}

/// `192.0.2.1:56324` to `198.51.100.7:443`.
const V4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 0x01, 0xbb];

/// `[2001:db8::1]:56324` to `[2001:db8::2]:443`.
const V6: &[u8] = &[
    0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, //
    0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, //
    0xdc, 0x04, 0x01, 0xbb,
];

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind, high, low], value].concat()
}

/// Parses a header that is complete, with bytes behind it, and each part of it.
#[track_caller]
fn source_of(header: &[u8]) -> Option<SocketAddr> {
    for end in 0..header.len() {
        assert_eq!(parse(&header[..end], BYTES_MAX), Ok(None), "{end} of {} bytes", header.len());
    }
    let parsed = parse(&[header, b"\r\nPROXY"].concat(), BYTES_MAX).unwrap().unwrap();
    assert_eq!(parsed.bytes, header.len());
    parsed.source
}

#[track_caller]
fn address_of(header: &[u8]) -> String {
    source_of(header).unwrap().to_string()
}

#[track_caller]
fn error_of(received: &[u8]) -> String {
    parse(received, BYTES_MAX).unwrap_err()
}

#[test]
fn a_line_of_version_1_names_the_client() {
    for (line, source) in [
        ("TCP4 192.168.0.1 192.168.0.11 56324 443", "192.168.0.1:56324"),
        ("TCP4 255.255.255.255 255.255.255.255 65535 65535", "255.255.255.255:65535"),
        ("TCP4 10.0.0.1 10.0.0.2 0 0", "10.0.0.1:0"),
        ("TCP6 2001:db8::1 2001:DB8::2 56324 443", "[2001:db8::1]:56324"),
        ("TCP6 ::ffff:192.0.2.1 ::1 56324 443", "192.0.2.1:56324"),
        (
            "TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
        ),
    ] {
        assert_eq!(address_of(format!("PROXY {line}\r\n").as_bytes()), source, "{line}");
    }
}

#[test]
fn an_unknown_client_of_version_1_has_the_address_of_the_connection_whatever_follows() {
    let longest = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                   65535 65535\r\n";
    assert_eq!(longest.len(), V1_BYTES_MAX);
    for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN \r\n", "PROXY UNKNOWN a b c d e f g h +1\r\n", longest] {
        assert_eq!(source_of(line.as_bytes()), None, "{line}");
    }
    assert_eq!(source_of(b"PROXY UNKNOWN \xff\r\n"), None);
}

#[test]
fn a_line_that_is_not_exactly_of_version_1_is_refused() {
    for (line, why) in [
        ("TCP4 01.2.3.4 5.6.7.8 80 443\r\n", "invalid IP address for the source"),
        ("TCP4 1.2.3.4 5.6.7.256 80 443\r\n", "invalid IP address for the destination"),
        ("TCP4 ::1 ::1 80 443\r\n", "invalid IP address"),
        ("TCP6 1.2.3.4 5.6.7.8 80 443\r\n", "invalid IP address"),
        ("TCP6 fe80::1%lo ::1 80 443\r\n", "invalid IP address"),
        ("TCP4 1.2.3.4 5.6.7.8 080 443\r\n", "invalid TCP port for the source"),
        ("TCP4 1.2.3.4 5.6.7.8 80 0443\r\n", "invalid TCP port for the destination"),
        ("TCP4 1.2.3.4 5.6.7.8 +80 443\r\n", "a plus sign"),
        ("TCP4 1.2.3.4 5.6.7.8 65536 443\r\n", "invalid TCP port"),
        ("TCP4 1.2.3.4 5.6.7.8 80 443 \r\n", "Header"),
        ("TCP4 1.2.3.4 5.6.7.8  80 443\r\n", "invalid TCP port"),
        ("TCP4 1.2.3.4 5.6.7.8 80\r\n", "Header"),
        ("TCP4\r\n", "Header"),
        ("tcp4 1.2.3.4 5.6.7.8 80 443\r\n", "invalid protocol"),
        ("UDP4 1.2.3.4 5.6.7.8 80 443\r\n", "invalid protocol"),
        (" TCP4 1.2.3.4 5.6.7.8 80 443\r\n", "invalid protocol"),
        ("UNKNOWNS\r\n", "invalid protocol"),
        ("TCP4 1.2.3.4 5.6.7.8 80 443\n", "does not end in CR LF"),
        ("UNKNOWN\n", "does not end in CR LF"),
        ("UNKNOWN \r \r\n", "does not end in CR LF"),
        ("UNKNOWN \r\r\n", "does not end in CR LF"),
        ("\r\n", "Header"),
    ] {
        let error = error_of(format!("PROXY {line}").as_bytes());
        assert!(error.starts_with("bad PROXY header: ") && error.contains(why), "{line:?}: {error}");
        assert!(!error.contains(['\r', '\n']), "{error:?}");
    }
}

#[test]
fn a_line_of_version_1_has_107_bytes_at_most() {
    let line = |bytes: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(bytes - 16));
    assert_eq!(source_of(line(107).as_bytes()), None);
    let late = line(108);
    assert_eq!(parse(&late.as_bytes()[..106], BYTES_MAX), Ok(None));
    for end in [107, 108] {
        let error = "bad PROXY header: no line of at most 107 bytes";
        assert_eq!(error_of(&late.as_bytes()[..end]), error);
    }
}

#[test]
fn a_header_of_version_2_names_the_client() {
    assert_eq!(address_of(&v2_header(0x21, 0x11, &[V4])), "192.0.2.1:56324");
    assert_eq!(address_of(&v2_header(0x21, 0x21, &[V6])), "[2001:db8::1]:56324");
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1];
    assert_eq!(address_of(&v2_header(0x21, 0x21, &[&mapped, &V6[16..]])), "192.0.2.1:56324");
}

#[test]
fn tlvs_are_skipped() {
    let tlvs =
        [tlv(0x01, b"h2"), tlv(0x04, &[]), tlv(0x05, &[7; 128]), tlv(0xee, b"\r\n"), tlv(0x20, &[1; 75])];
    assert_eq!(address_of(&v2_header(0x21, 0x11, &[V4, &tlvs.concat()])), "192.0.2.1:56324");
    assert_eq!(address_of(&v2_header(0x21, 0x21, &[V6, &tlvs.concat()])), "[2001:db8::1]:56324");
}

#[test]
fn a_header_without_an_address_of_a_tcp_client_keeps_that_of_the_connection() {
    let unix = [b'/'; 216];
    for header in [
        // LOCAL, whatever follows: nothing, addresses, fewer bytes than the family has, an unknown family.
        v2_header(0x20, 0x00, &[]),
        v2_header(0x20, 0x11, &[V4]),
        v2_header(0x20, 0x11, &[]),
        v2_header(0x20, 0xff, &[b"what ever"]),
        // Unspecified, with bytes that are no TLVs.
        v2_header(0x21, 0x00, &[]),
        v2_header(0x21, 0x00, &[b"xx"]),
        v2_header(0x21, 0x01, &[V4]),
        v2_header(0x21, 0x10, &[V4]),
        // Datagrams, and sockets of Unix.
        v2_header(0x21, 0x12, &[V4]),
        v2_header(0x21, 0x22, &[V6, &tlv(0x04, b"")]),
        v2_header(0x21, 0x31, &[&unix]),
        v2_header(0x21, 0x32, &[&unix, &tlv(0x04, b"1")]),
    ] {
        assert_eq!(source_of(&header), None, "{header:?}");
    }
}

#[test]
fn a_header_that_is_not_exactly_of_version_2_is_refused() {
    let error = |command, family, parts: &[&[u8]]| error_of(&v2_header(command, family, parts));
    for command in [0x00, 0x01, 0x11, 0x22, 0x2f, 0x31] {
        assert!(error(command, 0x11, &[V4]).contains("its version is not 2, or its command"), "{command:x}");
        // As soon as that byte is there.
        assert!(error_of(&v2_header(command, 0x11, &[V4])[..13]).contains("its version"));
    }
    assert!(error(0x21, 0x41, &[V4]).contains("Address Family"));
    assert!(error(0x21, 0x13, &[V4]).contains("Invalid protocol"));
    assert!(error(0x21, 0x11, &[&V4[..11]]).contains("11 bytes cannot store the 12 bytes"));
    assert!(error(0x21, 0x21, &[V4]).contains("12 bytes cannot store the 36 bytes"));
    assert!(error(0x21, 0x31, &[V6]).contains("36 bytes cannot store the 216 bytes"));
    assert!(error(0x21, 0x11, &[V4, &[4]]).contains("leftover"));
    assert!(error(0x21, 0x11, &[V4, &tlv(4, b"abc")[..5]]).contains("not long enough to contain TLV"));
}

#[test]
fn a_header_of_version_2_has_as_many_bytes_as_the_limit_allows() {
    let header = |bytes: usize| v2_header(0x21, 0x11, &[V4, &tlv(0x04, &vec![0; bytes - 31])]);
    assert_eq!(address_of(&header(BYTES_MAX)), "192.0.2.1:56324");
    let beyond = header(BYTES_MAX + 1);
    for end in [16, 17, beyond.len()] {
        let error = "bad PROXY header: it announces 1025 bytes, the limit is 1024";
        assert_eq!(error_of(&beyond[..end]), error);
    }
    assert_eq!(parse(&beyond[..15], BYTES_MAX), Ok(None), "the length is not complete");
}

#[test]
fn a_checksum_is_verified() {
    // The checksum, computed bit by bit as RFC 4960 has it.
    let crc32c = |bytes: &[u8]| {
        !bytes.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 }
            })
        })
    };
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    for (before, after) in
        [(tlv(4, b""), tlv(1, b"h2")), (tlv(1, b"h2"), Vec::new()), (Vec::new(), Vec::new())]
    {
        let with = |crc: [u8; 4]| v2_header(0x21, 0x11, &[V4, &before, &tlv(3, &crc), &after]);
        let crc = crc32c(&with([0; 4])).to_be_bytes();
        assert_eq!(address_of(&with(crc)), "192.0.2.1:56324");
        for bit in 0..32 {
            let wrong = (u32::from_be_bytes(crc) ^ 1 << bit).to_be_bytes();
            assert_eq!(error_of(&with(wrong)), "bad PROXY header: its checksum is wrong");
        }
    }
    assert_eq!(
        error_of(&v2_header(0x21, 0x11, &[V4, &tlv(3, &[0; 3])])),
        "bad PROXY header: its checksum has not 4 bytes"
    );
    // Of LOCAL, everything is ignored.
    assert_eq!(source_of(&v2_header(0x20, 0x00, &[&tlv(3, &[0; 4]), &tlv(0x20, &[0; 5])])), None);
}

#[test]
fn what_is_no_header_is_refused_at_its_first_byte_that_differs() {
    for (received, differs) in [
        (&b"GET / HTTP/1.1\r\n"[..], 0),
        (b"PROXX", 4),
        (b"PROXYTCP4", 5),
        (b"proxy TCP4", 0),
        (b"5    ", 0),
        (b"\r\n\r\nQUIT", 4),
        (b"\r\n\r\n\0\r\nQUIT\0", 11),
        (b"\x16\x03\x01", 0),
    ] {
        assert_eq!(parse(&received[..differs], BYTES_MAX), Ok(None), "{received:?}");
        let error = error_of(&received[..=differs]);
        assert!(error.starts_with("expected a PROXY header, and received '"), "{error}");
    }
    assert_eq!(
        error_of(b"GET / HTTP/1.1\r\nHost: a\r\n"),
        "expected a PROXY header, and received 'GET / HTTP/1.1\\r\\n'"
    );
}
