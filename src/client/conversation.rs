//! `client`: sends texts to one server, and prints the replies.
//!
//! The [client side](crate::service::ClientSide) of the service defines requests and replies. It never ends the
//! process: whatever a server sends, the outcome is replies printed one per line, or a [`ClientError`].
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

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use super::connection::{Connection, only_reply};
use super::error::{ClientError, Failure};
use super::input::{Lines, Texts};
use super::month::MonthSession;
use super::prompt::Prompt;
use super::server::{PORT_0, Server, TIMEOUT_0};
use crate::journal::escape::escape;
use crate::service::endpoint::Endpoint;
use crate::service::{ClientSide, DatagramClient, StreamClient};

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
    /// As [`Client::retry`](super::Client::retry).
    pub retry: Option<Duration>,
}

impl From<&Options> for Server {
    fn from(options: &Options) -> Self {
        Self {
            host: options.endpoint.host.clone(),
            port: options.endpoint.port,
            timeout: options.timeout,
            datagram_retries: options.retries,
            retry_limit: options.retry,
        }
    }
}

/// Runs a conversation on the standard streams: texts that the options lack are read from standard input,
/// replies are written to standard output. On a terminal there is a prompt, which is not written to standard
/// output, so that it has nothing but replies. Lines can be edited, and earlier lines of the conversation
/// recalled.
///
/// # Errors
/// As [`run_with`].
pub fn run(options: &Options) -> Result<(), ClientError> {
    if options.texts.is_empty() && takes_text(options.endpoint.service.client_side()) {
        if let Some(prompt) = Prompt::open() {
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
        ClientSide::Stream(client) if client.server_ends_stream() || client.text_bytes().is_none() => {
            use_connection_per_request(options, client, &mut texts, replies)
        }
        ClientSide::Stream(client) => use_one_connection(options, client, &mut texts, replies),
        ClientSide::Datagram(client) => use_session(options, client, &mut texts, replies),
    });
    outcome.map_err(|failure| {
        // If not even the first text was sent, the failure is enough.
        let unsent = texts.unsent().filter(|unsent| unsent.texts != options.texts.len());
        ClientError { server: options.endpoint.to_string(), failure, unsent }
    })
}

fn check(options: &Options) -> Result<(), Failure> {
    let service = options.endpoint.service;
    if !takes_text(service.client_side()) && !options.texts.is_empty() {
        return Err(Failure::Usage(format!("{} takes no text, only the server sends", service.name)));
    }
    if options.endpoint.port == 0 {
        return Err(Failure::Usage(PORT_0.into()));
    }
    if options.timeout.is_zero() {
        return Err(Failure::Usage(TIMEOUT_0.into()));
    }
    Ok(())
}

fn takes_text(client: ClientSide) -> bool {
    match client {
        ClientSide::Stream(client) => client.text_bytes().is_some(),
        ClientSide::Datagram(_) => true,
    }
}

/// The server ends the stream after each reply, or sends one without a request.
fn use_connection_per_request(
    options: &Options,
    side: &'static dyn StreamClient,
    texts: &mut Texts<'_>,
    replies: &mut dyn Write,
) -> Result<(), Failure> {
    if side.text_bytes().is_none() {
        return print_only_reply(options, side, None, replies);
    }
    while let Some(text) = texts.next()? {
        print_only_reply(options, side, Some(&text), replies)?;
    }
    Ok(())
}

/// Prints the reply on a connection of its own. If it is not complete in time, the part that came is
/// printed, and then it is a failure: part of a reply must not pass for the whole.
fn print_only_reply(
    options: &Options,
    side: &'static dyn StreamClient,
    text: Option<&str>,
    replies: &mut dyn Write,
) -> Result<(), Failure> {
    let mut part = Vec::new();
    let (reply, outcome) =
        match only_reply(&options.into(), options.endpoint.service.name, side, text, &mut part) {
            Ok(reply) => (reply, Ok(())),
            Err(failure) => (part, Err(failure)),
        };
    if !reply.is_empty() {
        print(trim_line_ends(&reply), replies)?;
    }
    outcome
}

/// The server keeps the stream open.
fn use_one_connection(
    options: &Options,
    side: &'static dyn StreamClient,
    texts: &mut Texts<'_>,
    replies: &mut dyn Write,
) -> Result<(), Failure> {
    let mut connection = Connection::open(options.into(), options.endpoint.service.name, side)?;
    while let Some(text) = texts.next()? {
        print(&connection.exchange(&text)?, replies)?;
        if side.farewell() == Some(text.as_str()) {
            return texts.ended_by(text);
        }
    }
    connection.say_farewell()
}

/// The server keeps a session.
fn use_session(
    options: &Options,
    side: &'static dyn DatagramClient,
    texts: &mut Texts<'_>,
    replies: &mut dyn Write,
) -> Result<(), Failure> {
    let mut session = MonthSession::open(options.into(), side)?;
    print(trim_line_ends(&session.introduction), replies)?;
    while let Some(text) = texts.next()? {
        print(trim_line_ends(&session.exchange(&text)?), replies)?;
        if !session.is_open() {
            return texts.ended_by(text);
        }
    }
    Ok(())
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

    fn usage_error(endpoint: &str, texts: &[&str], timeout: Duration) -> String {
        let options = Options {
            endpoint: endpoint.parse().unwrap(),
            texts: texts.iter().map(ToString::to_string).collect(),
            timeout,
            retries: 0,
            retry: None,
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
}
