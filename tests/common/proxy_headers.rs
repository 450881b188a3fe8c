//! Headers of the PROXY protocol, as a proxy sends them.

/// A header of version 1.
pub(crate) const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n";

/// A header of version 2: the same client, and a TLV to skip.
pub(crate) const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11\xc0\0\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb\x04\0\x02ab";

/// LOCAL: the proxy itself.
pub(crate) const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// The same for another client.
pub(crate) fn line_of(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 198.51.100.7 56324 443\r\n").into_bytes()
}
