//! The client: sends texts to one server, and prints the replies.
//!
//! It blocks, with a timeout on every step. The [client side](crate::service::client_side) of the service
//! defines requests and replies; sockets are in the files below this one. It never ends the process: whatever a
//! server sends, the outcome is replies printed one per line, or a [`ClientError`].
//!
//! | service | sent | printed |
//! |---|---|---|
//! | `message` | each text as a frame, then `Disconnect !` | each reply but the last |
//! | `greeting`, `daytime` | nothing | what arrives |
//! | `reply` | each text on a connection of its own | each answer |
//! | `month` | `hello`, each text as a datagram, then `0` | the introduction and each answer but the last |
//!
//! A text that is itself the farewell of its service (`Disconnect !`, and for `month` the number 0) ends
//! the conversation: its reply is printed, and the texts after it are not sent. If there are any, that is a
//! failure, [`Failure::EndedByText`]. Whatever ends a conversation early, the error has the number of later
//! texts and the first of them. Of lines of input, those count that were read, in one block, with the last one
//! sent; no more input is read to find others.

mod address;
mod datagram;
mod deadline;
mod error;
mod input;
#[cfg(feature = "cli")]
mod prompt;
mod stream;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use crate::journal::escape::escape;
use crate::service::endpoint::Endpoint;
use crate::service::{Answer, ClientSide, DatagramClient, StreamClient};

use datagram::{DatagramSocket, Match};
use deadline::Deadline;
pub use error::{Awaited, ClientError, Failure, Unsent};
pub use input::Lines;
use input::Texts;
use stream::Stream;

/// What to send, to which server, and how long to wait.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server.
    pub endpoint: Endpoint,
    /// The texts to send. If there are none and the service needs some, lines of input are sent.
    pub texts: Vec<String>,
    /// Maximum time to connect, and from the first byte of a request to the last of its reply; not zero.
    /// The addresses of a host share the time to connect equally. The time to look up the host's name is
    /// limited by the resolver alone.
    pub timeout: Duration,
    /// How often an unanswered datagram is sent again. All tries together take at most `timeout`.
    pub retries: u32,
}

/// Runs a conversation on the standard streams: texts that the options lack are read from standard input,
/// replies are written to standard output. On a terminal there is a prompt, which is not written to standard
/// output, so that it has nothing but replies. With the feature `cli`, lines can be edited, and earlier lines of
/// the conversation recalled.
///
/// # Errors
/// As [`run_with`].
pub fn run(options: &Options) -> Result<(), ClientError> {
    #[cfg(feature = "cli")]
    if options.texts.is_empty() && takes_text(options.endpoint.service.client_side()) {
        if let Some(prompt) = prompt::Prompt::open() {
            return converse(options, Texts::Edited(Box::new(prompt)), &mut io::stdout().lock());
        }
    }
    let (stdin, mut stderr) = (io::stdin(), io::stderr());
    let prompted = stdin.is_terminal() && stderr.is_terminal();
    let prompt = prompted.then_some(&mut stderr as &mut dyn Write);
    run_with(options, Lines::new(&mut stdin.lock(), prompt), &mut io::stdout().lock())
}

/// Runs a conversation: texts that the options lack are read from `lines`, replies are written to
/// `replies`, one per line, [escaped](crate::journal::escape), each flushed at once.
///
/// # Errors
/// [`Failure::Usage`] before anything is sent, or else the first failure. Replies before it are printed.
pub fn run_with<'a>(
    options: &'a Options,
    lines: Lines<'a>,
    replies: &mut dyn Write,
) -> Result<(), ClientError> {
    let texts = match options.texts.as_slice() {
        [] => Texts::Typed(lines),
        given => Texts::Given(given.iter()),
    };
    converse(options, texts, replies)
}

fn converse(options: &Options, mut texts: Texts<'_>, replies: &mut dyn Write) -> Result<(), ClientError> {
    let outcome = check(options).and_then(|()| match options.endpoint.service.client_side() {
        ClientSide::Stream(client) if client.server_ends_stream() => {
            use_connection_per_request(options, client, &mut texts, replies)
        }
        ClientSide::Stream(client) => use_one_connection(options, client, &mut texts, replies),
        ClientSide::Datagram(client) => use_session(options, client, &mut texts, replies),
    });
    outcome.map_err(|failure| {
        // If not even the first text was sent, the failure is enough.
        let unsent = texts.unsent().filter(|unsent| unsent.texts != options.texts.len());
        ClientError { endpoint: options.endpoint.clone(), failure, unsent }
    })
}

fn check(options: &Options) -> Result<(), Failure> {
    let service = options.endpoint.service;
    if !takes_text(service.client_side()) && !options.texts.is_empty() {
        return Err(Failure::Usage(format!("{} takes no text, only the server sends", service.name)));
    }
    if options.endpoint.port == 0 {
        return Err(Failure::Usage("port 0 is for servers, a client needs the port of one".into()));
    }
    if options.timeout.is_zero() {
        return Err(Failure::Usage("the timeout must be longer than 0".into()));
    }
    Ok(())
}

fn takes_text(client: ClientSide) -> bool {
    match client {
        ClientSide::Stream(client) => client.text_bytes().is_some(),
        ClientSide::Datagram(_) => true,
    }
}

/// The server ends the stream after each reply.
fn use_connection_per_request(
    options: &Options,
    client: &'static dyn StreamClient,
    texts: &mut Texts<'_>,
    replies: &mut dyn Write,
) -> Result<(), Failure> {
    if client.text_bytes().is_none() {
        return print_only_reply(options, client, None, replies);
    }
    while let Some(text) = texts.next()? {
        print_only_reply(options, client, Some(&text), replies)?;
    }
    Ok(())
}

/// Prints the reply on a connection of its own. If it is not complete in time, the part that came is
/// printed, and then it is a failure: part of a reply must not pass for the whole.
fn print_only_reply(
    options: &Options,
    client: &'static dyn StreamClient,
    text: Option<&str>,
    replies: &mut dyn Write,
) -> Result<(), Failure> {
    let mut stream = Stream::connect(&options.endpoint, client, options.timeout)?;
    let deadline = Deadline::after(options.timeout);
    if let Some(text) = text {
        stream.send_request(text, &deadline)?;
    }
    let (reply, outcome) = match stream.receive_reply(&deadline) {
        Ok(reply) => (reply, Ok(())),
        Err(failure) => (stream.into_unread(), Err(failure)),
    };
    if !reply.is_empty() {
        print(trim_line_ends(&reply), replies)?;
    }
    outcome
}

/// The server keeps the stream open.
fn use_one_connection(
    options: &Options,
    client: &'static dyn StreamClient,
    texts: &mut Texts<'_>,
    replies: &mut dyn Write,
) -> Result<(), Failure> {
    let mut stream = Stream::connect(&options.endpoint, client, options.timeout)?;
    if client.text_bytes().is_none() {
        let reply = stream.receive_reply(&Deadline::after(options.timeout))?;
        return print(&reply, replies);
    }
    let mut exchange = |text: &str| {
        let deadline = Deadline::after(options.timeout);
        stream.send_request(text, &deadline)?;
        stream.receive_reply(&deadline)
    };
    while let Some(text) = texts.next()? {
        print(&exchange(&text)?, replies)?;
        if client.farewell() == Some(text.as_str()) {
            return texts.ended_by(text);
        }
    }
    // Every text has its reply by now. Some servers close at the farewell before they reply to it, or never
    // reply; a refusal is reported.
    match client.farewell().map(exchange) {
        Some(Err(failure)) if !failure.is_silence() => Err(failure),
        Some(Ok(_) | Err(_)) | None => Ok(()),
    }
}

/// The server keeps a session.
fn use_session(
    options: &Options,
    client: &dyn DatagramClient,
    texts: &mut Texts<'_>,
    replies: &mut dyn Write,
) -> Result<(), Failure> {
    let addresses = address::resolve(&options.endpoint)?;
    let (mut socket, introduction) =
        address::first_to_answer(&addresses, options.timeout, |address, share| {
            let mut socket = DatagramSocket::connect(address)?;
            // A second hello finds the session open and is answered with an error: any answer will do.
            let introduction = socket.request(client.hello(), share, options.retries, &|_| Match::Certain)?;
            Ok((socket, introduction))
        })?;
    print(trim_line_ends(&introduction), replies)?;
    while let Some(text) = texts.next()? {
        let expected = client.expected_answer(&text);
        let judge = |answer: &[u8]| judge(client, &expected.datagram, answer);
        let answer = socket.request(text.as_bytes(), options.timeout, options.retries, &judge)?;
        print(trim_line_ends(&answer), replies)?;
        if expected.ends_session {
            return texts.ended_by(text);
        }
    }
    // Frees the session before it is idle for too long; nothing depends on the answer.
    let _ = socket.send(client.farewell());
    Ok(())
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

/// Prints `reply` as one line.
fn print(reply: &[u8], replies: &mut dyn Write) -> Result<(), Failure> {
    let mut line = Vec::with_capacity(reply.len() + 1);
    escape(reply, &mut line);
    line.push(b'\n');
    replies.write_all(&line).and_then(|()| replies.flush()).map_err(Failure::Output)
}

/// `text` without the line ends around it, which printing it as a line would double.
fn trim_line_ends(text: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b'\r' | b'\n');
    match (text.iter().position(is_text), text.iter().rposition(is_text)) {
        (Some(first), Some(last)) => &text[first..=last],
        (None, _) | (_, None) => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::month::{INTRODUCTION, Month};

    fn usage_error(endpoint: &str, texts: &[&str], timeout: Duration) -> String {
        let options = Options {
            endpoint: endpoint.parse().unwrap(),
            texts: texts.iter().map(ToString::to_string).collect(),
            timeout,
            retries: 0,
        };
        let error = run_with(&options, Lines::new(&mut io::empty(), None), &mut io::sink()).unwrap_err();
        assert!(error.is_usage(), "{error}");
        error.to_string()
    }

    #[test]
    fn a_usage_error_fails_before_anything_is_sent() {
        let second = Duration::from_secs(1);
        assert_eq!(
            usage_error("greeting", &["hi"], second),
            "greeting=127.0.0.1:12345: greeting takes no text, only the server sends"
        );
        assert_eq!(
            usage_error("message=0", &["hi"], second),
            "message=127.0.0.1:0: port 0 is for servers, a client needs the port of one"
        );
        assert_eq!(
            usage_error("month", &["1"], Duration::ZERO),
            "month=127.0.0.1:8091: the timeout must be longer than 0"
        );
    }

    #[test]
    fn line_ends_around_a_text_are_trimmed_and_none_inside() {
        assert_eq!(trim_line_ends(b"\nHey\n"), b"Hey");
        assert_eq!(trim_line_ends(b"Fri May\r\n"), b"Fri May");
        assert_eq!(trim_line_ends(b" a\nb "), b" a\nb ");
        assert_eq!(trim_line_ends(b"\r\n"), b"");
        assert_eq!(trim_line_ends(b""), b"");
    }

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
