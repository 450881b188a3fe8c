//! The client of the five services: what is said to a server, in which order, and what is printed of it.
//!
//! It blocks, with one server at a time and a timeout on everything. Sockets are in the
//! files below this one, so it knows no bytes on the wire but whole texts, and it never ends the process:
//! whatever a server sends, the outcome is replies printed one a line, or a [`ClientError`].
//!
//! | service | said | printed |
//! |---|---|---|
//! | `message` | each text as a frame, then `Disconnect !` | each reply but the last |
//! | `greeting`, `daytime` | nothing | what arrives |
//! | `reply` | each text on a connection of its own | each answer |
//! | `month` | `hello`, each text as a datagram, then `0` | the introduction and each answer but the last |
//!
//! A text that is itself the farewell of its service (`Disconnect !`, and for `month` the number 0) ends the
//! conversation: its reply is printed, and texts after it are not sent.

mod address;
mod datagram;
mod deadline;
mod error;
mod input;
mod stream;

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::time::Duration;

use crate::frame;
use crate::journal::escape::escape;
use crate::service::endpoint::Endpoint;
use crate::service::greeting::GREETING;
use crate::service::message::{DISCONNECT, REFUSAL_PREFIX};
use crate::service::month::{ERROR_PREFIX, INTRODUCTION, Month};
use crate::service::reply::REPLY;
use crate::service::{DatagramService, Output, Session};

use datagram::{Datagrams, Verdict};
use deadline::Deadline;
pub use error::{Awaited, ClientError, Failure};
use input::Texts;
pub use input::{LINE_BYTES_MAX, Lines};
use stream::Stream;

/// What to say, to whom, and for how long to wait.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server.
    pub endpoint: Endpoint,
    /// What to send. When there is none and the service needs some, lines of input are sent.
    pub texts: Vec<String>,
    /// How long connecting may take, and each reply from the moment its request begins to be sent. A host
    /// of several addresses gives each an equal share of it. Looking up the host's name has the
    /// resolver's own limits.
    pub timeout: Duration,
    /// How often a datagram that is not answered is sent again. All tries together wait for `timeout`.
    pub retries: u32,
}

/// Talks to a server on behalf of whoever started the program: texts that the options lack come from
/// standard input, replies go to standard output. A person at a terminal is prompted, on standard error so
/// that standard output holds nothing but replies.
///
/// # Errors
/// As [`talk`].
pub fn run(options: &Options) -> Result<(), ClientError> {
    let (stdin, mut stderr) = (io::stdin(), io::stderr());
    let prompted = stdin.is_terminal() && stderr.is_terminal();
    let prompt = prompted.then_some(&mut stderr as &mut dyn Write);
    talk(options, Lines::new(&mut stdin.lock(), prompt), &mut io::stdout().lock())
}

/// Talks to a server: texts that the options lack come from `lines`, replies go to `replies`, one a line,
/// [escaped](crate::journal::escape), each flushed as soon as it is there.
///
/// # Errors
/// [`Failure::Usage`] before anything is sent, or else the first thing that went wrong. Replies before it
/// were printed.
pub fn talk<'a>(options: &'a Options, lines: Lines<'a>, replies: &mut dyn Write) -> Result<(), ClientError> {
    let texts = match options.texts.as_slice() {
        [] => Texts::Typed(lines),
        given => Texts::Given(given.iter()),
    };
    let outcome = check(options).and_then(|conversation| match conversation {
        Conversation::Frames => exchange_frames(options, texts, replies),
        Conversation::Arrival(is_whole) => print_answer(options, None, is_whole, replies),
        Conversation::Requests(is_whole) => send_requests(options, texts, is_whole, replies),
        Conversation::Months => ask_for_months(options, texts, replies),
    });
    outcome.map_err(|failure| ClientError { endpoint: options.endpoint.clone(), failure })
}

/// How a service is talked to.
enum Conversation {
    /// Frames, each replied to with one.
    Frames,
    /// The server speaks first and last.
    Arrival(IsWhole),
    /// One request and one answer a connection.
    Requests(IsWhole),
    /// Datagrams in a session.
    Months,
}

/// Whether an answer on a stream, that only the end of the stream ends otherwise, is known to be whole.
type IsWhole = fn(&[u8]) -> bool;

fn check(options: &Options) -> Result<Conversation, Failure> {
    let name = options.endpoint.service.name;
    let conversation = match name {
        "message" => Conversation::Frames,
        "greeting" => Conversation::Arrival(|answer| answer == GREETING.as_bytes()),
        "daytime" => Conversation::Arrival(|answer| answer.ends_with(b"\n")),
        "reply" => Conversation::Requests(|answer| answer == REPLY.as_bytes()),
        "month" => Conversation::Months,
        unknown => return Err(Failure::Usage(format!("the client does not speak {unknown}"))),
    };
    if matches!(conversation, Conversation::Arrival(_)) && !options.texts.is_empty() {
        return Err(Failure::Usage(format!("{name} takes no text, the server alone speaks")));
    }
    if options.endpoint.port == 0 {
        return Err(Failure::Usage("port 0 is for servers, a client needs the port of one".into()));
    }
    if options.timeout.is_zero() {
        return Err(Failure::Usage("a timeout of 0 leaves no time for an answer".into()));
    }
    Ok(conversation)
}

fn exchange_frames(options: &Options, mut texts: Texts<'_>, replies: &mut dyn Write) -> Result<(), Failure> {
    let mut stream = Stream::connect(&options.endpoint, options.timeout)?;
    while let Some(text) = texts.next()? {
        print(exchange_frame(&mut stream, &text, options.timeout)?.as_bytes(), replies)?;
        if text == DISCONNECT {
            return Ok(());
        }
    }
    // Everything asked for is done. Servers that close on the farewell before they answer it, or never
    // answer it, took nothing from that; one that answers with a refusal is heard.
    match exchange_frame(&mut stream, DISCONNECT, options.timeout) {
        Err(failure) if !failure.is_silence() => Err(failure),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn exchange_frame(stream: &mut Stream, text: &str, timeout: Duration) -> Result<String, Failure> {
    let deadline = Deadline::after(timeout);
    let mut wire = Vec::new();
    frame::append(text, &mut wire);
    stream.send(&wire, &deadline)?;
    let reply = stream.receive_frame(&deadline)?;
    match reply.strip_prefix(REFUSAL_PREFIX) {
        Some(reason) => Err(Failure::Refusal(reason.into())),
        None => Ok(reply),
    }
}

fn send_requests(
    options: &Options,
    mut texts: Texts<'_>,
    is_whole: IsWhole,
    replies: &mut dyn Write,
) -> Result<(), Failure> {
    while let Some(text) = texts.next()? {
        print_answer(options, Some(&text), is_whole, replies)?;
    }
    Ok(())
}

/// Prints what a server sends on a connection of its own, after the request if there is one.
///
/// The answer ends where it is known to be whole, because some servers close late, or else where the server
/// ends the stream. When neither happens in time, what came is printed all the same, and then it is a
/// failure: half an answer must not pass for one.
fn print_answer(
    options: &Options,
    request: Option<&str>,
    is_whole: IsWhole,
    replies: &mut dyn Write,
) -> Result<(), Failure> {
    let mut stream = Stream::connect(&options.endpoint, options.timeout)?;
    let deadline = Deadline::after(options.timeout);
    match request {
        None => {}
        // No bytes can only be said by ending our side. After a request that has some it stays open: there
        // are servers that take its end for a peer that has gone.
        Some("") => stream.end(),
        Some(request) => stream.send(request.as_bytes(), &deadline)?,
    }
    let outcome = stream.receive_answer(is_whole, &deadline);
    let answer = stream.into_unread();
    if !answer.is_empty() {
        print(trim_line_ends(&answer), replies)?;
    }
    outcome
}

fn ask_for_months(options: &Options, mut texts: Texts<'_>, replies: &mut dyn Write) -> Result<(), Failure> {
    let addresses = address::resolve(&options.endpoint)?;
    let (mut datagrams, introduction) =
        address::first_to_answer(&addresses, options.timeout, |address, share| {
            let mut datagrams = Datagrams::connect(address)?;
            // A hello that is sent again finds the session open and is answered with an error: any answer
            // will do.
            let introduction = datagrams.ask(HELLO, share, options.retries, &|_| Verdict::Answer)?;
            Ok((datagrams, introduction))
        })?;
    print(trim_line_ends(&introduction), replies)?;
    while let Some(text) = texts.next()? {
        let expected = Expected::of(&text);
        let judge = |answer: &[u8]| expected.judge(answer);
        let answer = datagrams.ask(text.as_bytes(), options.timeout, options.retries, &judge)?;
        print(trim_line_ends(&answer), replies)?;
        if expected.ends_session {
            return Ok(());
        }
    }
    // So that the server need not remember us until it finds the session idle. Nothing depends on it.
    datagrams.tell(b"0");
    Ok(())
}

/// What the service `month` has to answer, by which answers to earlier requests are told from the answer
/// to this one: datagrams carry no number, and may come late, twice or never.
struct Expected {
    answer: Vec<u8>,
    ends_session: bool,
}

impl Expected {
    fn of(text: &str) -> Self {
        let mut answer = Vec::new();
        // Answers do not depend on the peer, which only records would name.
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut out = Output::new(nobody, &mut answer, None);
        let ends_session = Month.received(Session::Open, text.as_bytes(), &mut out) == Session::None;
        Self { answer, ends_session }
    }

    fn judge(&self, answer: &[u8]) -> Verdict {
        let is_error = |bytes: &[u8]| bytes.starts_with(ERROR_PREFIX.as_bytes());
        if answer == self.answer || (is_error(answer) && is_error(&self.answer)) {
            Verdict::Answer
        } else if answer == INTRODUCTION.as_bytes() {
            // It came twice, or the session had expired and this text has opened another: to ask again is
            // right in both cases, while there are tries left.
            Verdict::LastResort
        } else {
            Verdict::Perhaps
        }
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

/// The datagram that opens a session of `month`.
const HELLO: &[u8] = b"hello";

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_as_usage(endpoint: &str, texts: &[&str], timeout: Duration) -> String {
        let options = Options {
            endpoint: endpoint.parse().unwrap(),
            texts: texts.iter().map(ToString::to_string).collect(),
            timeout,
            retries: 0,
        };
        let error = talk(&options, Lines::new(&mut io::empty(), None), &mut io::sink()).unwrap_err();
        assert!(error.is_usage(), "{error}");
        error.to_string()
    }

    #[test]
    fn wrong_usage_is_said_before_anything_is_sent() {
        let second = Duration::from_secs(1);
        assert_eq!(
            refused_as_usage("greeting", &["hi"], second),
            "greeting=127.0.0.1:12345: greeting takes no text, the server alone speaks"
        );
        assert_eq!(
            refused_as_usage("message=0", &["hi"], second),
            "message=127.0.0.1:0: port 0 is for servers, a client needs the port of one"
        );
        assert_eq!(
            refused_as_usage("month", &["1"], Duration::ZERO),
            "month=127.0.0.1:8091: a timeout of 0 leaves no time for an answer"
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
    fn an_answer_is_known_by_its_text() {
        let may = Expected::of(" 5\n");
        assert_eq!(may.judge(b"May"), Verdict::Answer);
        assert_eq!(may.judge(b"June"), Verdict::Perhaps);
        assert_eq!(may.judge(b"Error: expected an integer\n"), Verdict::Perhaps);
        assert_eq!(may.judge(INTRODUCTION.as_bytes()), Verdict::LastResort);
        let error = Expected::of("x");
        assert_eq!(error.judge(b"Error: in other words"), Verdict::Answer);
        assert_eq!(error.judge(b"May"), Verdict::Perhaps);
    }

    #[test]
    fn only_zero_ends_a_session() {
        assert!(Expected::of("0").ends_session);
        assert!(Expected::of(" 00 ").ends_session);
        assert!(["", "1", "10", "x", "-0"].iter().all(|text| !Expected::of(text).ends_session));
    }
}
