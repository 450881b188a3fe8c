//! `message` for the reference servers: frames in, acknowledgments out, for correct peers.

use std::io;
use std::net::SocketAddr;

/// The size of a read, and of the buffer of a connection.
pub(crate) const BUFFER_BYTES: usize = 4096;

const HEADER_BYTES: usize = 64;

/// The address of the argument with this number, which is a port, or of any port.
///
/// # Errors
///
/// An argument that is no port.
pub(crate) fn address(argument: usize) -> io::Result<SocketAddr> {
    let port = std::env::args().nth(argument).map_or(Ok(0), |port| port.parse());
    Ok(SocketAddr::from(([127, 0, 0, 1], port.map_err(io::Error::other)?)))
}

/// Replies to all whole frames at the beginning of `unread`, and returns their bytes and whether the stream goes on.
///
/// # Errors
///
/// A header that does not begin with a length.
pub(crate) fn answer(unread: &[u8], out: &mut Vec<u8>) -> io::Result<(usize, bool)> {
    let mut consumed = 0;
    while let Some((header, rest)) = unread[consumed..].split_at_checked(HEADER_BYTES) {
        let digits = header.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let length = std::str::from_utf8(&header[..digits]).ok().and_then(|digits| digits.parse().ok());
        let length: usize = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "bad header"))?;
        let Some(body) = rest.get(..length) else { break };
        consumed += HEADER_BYTES + length;
        out.extend_from_slice(ACKNOWLEDGEMENT);
        if body == b"Disconnect !" {
            return Ok((consumed, false));
        }
    }
    Ok((consumed, true))
}

const ACKNOWLEDGEMENT: &[u8] =
    b"33                                                              Message received successfully....";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_frames_are_answered_and_the_rest_stays() {
        let frame = format!("{:<64}abc", 3);
        let disconnect = format!("{:<64}Disconnect !", 12);
        let mut out = Vec::new();
        assert_eq!(answer(&frame.repeat(2).as_bytes()[..133], &mut out).unwrap(), (67, true));
        assert_eq!(out, format!("{:<64}Message received successfully....", 33).as_bytes());
        assert_eq!(answer(format!("{disconnect}{frame}").as_bytes(), &mut out).unwrap(), (76, false));
        assert!(answer(&[b'x'; 64], &mut out).is_err());
    }
}
