//! A session with a server of datagrams.

use std::fmt;

use super::address::first_to_answer;
use super::datagram::{DatagramSocket, Match};
use super::error::{ClientError, Failure};
use super::retry::retry;
use super::server::Server;
use crate::service::{Answer, DatagramClient};

/// A session of the service `month`. Dropping it ends it on the server, if the datagram that does so is not lost.
pub struct MonthSession {
    server: Server,
    side: &'static dyn DatagramClient,
    /// `None` after a failure, and after a request that ended the session.
    socket: Option<DatagramSocket>,
    pub(super) introduction: Vec<u8>,
}

impl MonthSession {
    /// Opens a session of the service that has `side`.
    pub(super) fn open(server: Server, side: &'static dyn DatagramClient) -> Result<Self, Failure> {
        let (socket, introduction) = retry(&server, || open(&server, side))?;
        Ok(Self { server, side, socket: Some(socket), introduction })
    }

    /// What the server sends to a new peer.
    #[must_use]
    pub fn introduction(&self) -> String {
        String::from_utf8_lossy(&self.introduction).into_owned()
    }

    /// Sends `text`, a number from 1 to 12, and returns the answer: the name of the month, or a line that begins with
    /// `Error:`. After 0, which ends the session, the next request opens another.
    ///
    /// # Errors
    /// [`Failure::NoAnswer`], or a failure of the network.
    pub fn ask(&mut self, text: &str) -> Result<String, ClientError> {
        let answer = self.exchange(text).map_err(|failure| self.server.error("month", failure))?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Whether the session is open: the last request was not 0, and did not fail.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// Sends `text`, again as often as failures may be retried, and returns the answer.
    pub(super) fn exchange(&mut self, text: &str) -> Result<Vec<u8>, Failure> {
        let expected = self.side.expected_answer(text);
        let (server, side) = (&self.server, self.side);
        let judge = |answer: &[u8]| judge(side, &expected.datagram, answer);
        retry(server, || {
            let mut socket = match self.socket.take() {
                Some(socket) => socket,
                None => open(server, side)?.0,
            };
            let answer = socket.request(text.as_bytes(), server.timeout, server.datagram_retries, &judge)?;
            if !expected.ends_session {
                self.socket = Some(socket);
            }
            Ok(answer)
        })
    }
}

impl fmt::Debug for MonthSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MonthSession").field(&self.server).finish()
    }
}

impl Drop for MonthSession {
    fn drop(&mut self) {
        if let Some(socket) = &self.socket {
            // Frees the session before it is idle for too long; nothing depends on the answer.
            let _ = socket.send(self.side.farewell());
        }
    }
}

/// Opens a session with the first address that answers.
fn open(server: &Server, side: &dyn DatagramClient) -> Result<(DatagramSocket, Vec<u8>), Failure> {
    let addresses = server.addresses()?;
    first_to_answer(&addresses, server.timeout, |address, share| {
        let mut socket = DatagramSocket::connect(address)?;
        // A second hello finds the session open and is answered with an error: any answer will do.
        let introduction =
            socket.request(side.hello(), share, server.datagram_retries, &|_| Match::Certain)?;
        Ok((socket, introduction))
    })
}

/// Matches an answer with the request that should be answered with `expected`: datagrams carry no number,
/// and may come late, twice or never.
fn judge(client: &dyn DatagramClient, expected: &[u8], answer: &[u8]) -> Match {
    let (expected_kind, kind) = (client.classify(expected), client.classify(answer));
    if answer == expected || (expected_kind, kind) == (Answer::Error, Answer::Error) {
        Match::Certain
    } else if kind == Answer::Opened {
        // A duplicate, or the session had expired and this text has opened another. In both cases it is
        // right to send the request again.
        Match::LastResort
    } else {
        Match::Possible
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::month::{INTRODUCTION, Month};

    #[test]
    fn an_answer_is_matched_by_its_text() {
        let judge = |text: &str, answer: &[u8]| judge(&Month, &Month.expected_answer(text).datagram, answer);
        assert_eq!(judge(" 5\n", b"May"), Match::Certain);
        assert_eq!(judge(" 5\n", b"June"), Match::Possible);
        assert_eq!(judge(" 5\n", b"Error: expected an integer\n"), Match::Possible);
        assert_eq!(judge(" 5\n", INTRODUCTION.as_bytes()), Match::LastResort);
        assert_eq!(judge("x", b"Error: in other words"), Match::Certain);
        assert_eq!(judge("x", b"May"), Match::Possible);
    }
}
