//! The client against scripted servers: those that it must interoperate with, and those that must not make it
//! hang, crash or report something wrong.

#![allow(clippy::disallowed_methods, reason = "scripted servers run on threads")]

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use loopline::client::{Client, ClientError, Connection, Failure, Lines, MonthSession, Options, run_with};
use loopline::frame::{self, HEADER_BYTES};
use loopline::service::message::{ACKNOWLEDGEMENT, DISCONNECT};
use loopline::service::month::INTRODUCTION;
use loopline::service::reply::REPLY;
use socket2::SockRef;

/// For what must happen: never waited for until it ends.
const PLENTY: Duration = Duration::from_secs(60);

/// For what must not happen: waited for until it ends.
const SHORT: Duration = Duration::from_millis(500);

#[test]
fn a_client_and_its_connections_can_be_moved_to_another_thread() {
    fn is_sent_between_threads<T: Send>() {}
    is_sent_between_threads::<(Client, Connection, MonthSession, ClientError)>();
}

struct Run {
    outcome: Result<(), ClientError>,
    printed: String,
}

impl Run {
    /// The output of a run that succeeded.
    fn printed(self) -> String {
        self.outcome.unwrap();
        self.printed
    }

    /// The output and the error of a run that failed, without the endpoint at the beginning of the error.
    fn failed(self, service: &str) -> (String, String) {
        let error = self.outcome.unwrap_err().to_string();
        let (endpoint, reason) = error.split_once(": ").unwrap();
        assert!(endpoint.starts_with(&format!("{service}=127.0.0.1:")), "{error}");
        (self.printed, reason.into())
    }
}

fn options(service: &str, address: SocketAddr, texts: &[&str], timeout: Duration) -> Options {
    Options {
        endpoint: format!("{service}={address}").parse().unwrap(),
        texts: texts.iter().map(ToString::to_string).collect(),
        timeout,
        retries: 0,
        retry: None,
    }
}

fn run(options: &Options) -> Run {
    run_with_input(options, "")
}

fn run_with_input(options: &Options, input: &str) -> Run {
    let mut printed = Vec::new();
    let outcome = run_with(options, Lines::new(&mut input.as_bytes(), None), &mut printed);
    Run { outcome, printed: String::from_utf8(printed).unwrap() }
}

/// A TCP server that accepts `connections` connections, one after the other, and passes them to `script`.
/// Returns what the script returns.
fn serve<T: Send + 'static>(
    connections: usize,
    mut script: impl FnMut(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<Vec<T>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // It also limits how long a connection is waited for.
    SockRef::from(&listener).set_read_timeout(Some(2 * PLENTY)).unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let accept = |_| listener.accept().unwrap().0;
        (0..connections).map(accept).map(&mut script).collect()
    });
    (address, server)
}

/// Runs a client that sends `texts` to a server of one connection.
fn run_against(
    service: &str,
    texts: &[&str],
    timeout: Duration,
    script: impl FnMut(TcpStream) + Send + 'static,
) -> Run {
    let (address, server) = serve(1, script);
    let outcome = run(&options(service, address, texts, timeout));
    server.join().unwrap();
    outcome
}

fn read_frame(stream: &mut TcpStream) -> String {
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).unwrap();
    let body_bytes = std::str::from_utf8(&header).unwrap().trim_ascii().parse().unwrap();
    let mut body = vec![0; body_bytes];
    stream.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

fn framed(body: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    frame::append(body, &mut wire);
    wire
}

/// Acknowledges frames, each acknowledgement given to `write`, until the farewell or the end of the stream.
fn acknowledge(mut stream: TcpStream, mut write: impl FnMut(&mut TcpStream, &[u8])) -> Vec<String> {
    stream.set_nodelay(true).unwrap();
    let mut bodies = Vec::new();
    while bodies.last().is_none_or(|last| last != DISCONNECT) {
        bodies.push(read_frame(&mut stream));
        write(&mut stream, &framed(ACKNOWLEDGEMENT));
    }
    bodies
}

fn wait_for_the_client_to_close(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn each_text_is_a_frame_and_the_farewell_comes_last_and_prints_nothing() {
    let (address, server) =
        serve(1, |stream| acknowledge(stream, |stream, wire| stream.write_all(wire).unwrap()));
    let outcome = run(&options("message", address, &["one", "", "grüße"], PLENTY));
    assert_eq!(outcome.printed(), format!("{ACKNOWLEDGEMENT}\n").repeat(3));
    assert_eq!(server.join().unwrap(), [["one", "", "grüße", DISCONNECT]]);
}

#[test]
fn a_farewell_among_the_texts_ends_the_conversation_and_the_later_ones_are_reported() {
    let ended = "'Disconnect !' ended the conversation; ";
    for (texts, input, unsent) in [
        (&["one", DISCONNECT, "a\nb"][..], "", "1 later text was not sent: 'a\\nb'"),
        (&["one", DISCONNECT, "two", "three"], "", "2 later texts were not sent: 'two', …"),
        (&[], "one\nDisconnect !\r\ntwo\r\n\nthree", "3 later texts were not sent: 'two', …"),
    ] {
        let (address, server) =
            serve(1, |stream| acknowledge(stream, |stream, wire| stream.write_all(wire).unwrap()));
        let outcome = run_with_input(&options("message", address, texts, PLENTY), input);
        let acknowledged = format!("{ACKNOWLEDGEMENT}\n").repeat(2);
        assert_eq!(outcome.failed("message"), (acknowledged, format!("{ended}{unsent}")));
        assert_eq!(server.join().unwrap(), [["one", DISCONNECT]]);
    }
}

#[test]
fn a_farewell_as_the_last_text_is_no_failure() {
    for (texts, input) in [(&["one", DISCONNECT][..], ""), (&[], "one\nDisconnect !\n")] {
        let (address, server) =
            serve(1, |stream| acknowledge(stream, |stream, wire| stream.write_all(wire).unwrap()));
        let outcome = run_with_input(&options("message", address, texts, PLENTY), input);
        assert_eq!(outcome.printed(), format!("{ACKNOWLEDGEMENT}\n").repeat(2));
        assert_eq!(server.join().unwrap(), [["one", DISCONNECT]]);
    }
}

#[test]
fn when_the_server_closes_early_the_later_texts_are_reported() {
    for (texts, input) in [(&["one", "two", "three", "four"][..], ""), (&[], "one\ntwo\nthree\nfour\n")] {
        let (address, server) = serve(1, |mut stream| {
            read_frame(&mut stream);
            stream.write_all(&framed(ACKNOWLEDGEMENT)).unwrap();
            read_frame(&mut stream);
        });
        let outcome = run_with_input(&options("message", address, texts, PLENTY), input);
        let reason = "the server closed the connection before replying; \
                      2 later texts were not sent: 'three', …";
        assert_eq!(outcome.failed("message"), (format!("{ACKNOWLEDGEMENT}\n"), reason.into()));
        server.join().unwrap();
    }
}

#[test]
fn without_texts_each_line_of_input_is_one() {
    let (address, server) =
        serve(1, |stream| acknowledge(stream, |stream, wire| stream.write_all(wire).unwrap()));
    let outcome = run_with_input(&options("message", address, &[], PLENTY), "one\r\n\nlast");
    assert_eq!(outcome.printed(), format!("{ACKNOWLEDGEMENT}\n").repeat(3));
    assert_eq!(server.join().unwrap(), [["one", "", "last", DISCONNECT]]);
}

#[test]
fn a_reply_may_come_with_header_and_body_apart() {
    let (address, server) = serve(1, |stream| {
        acknowledge(stream, |stream, wire| {
            stream.write_all(&wire[..HEADER_BYTES]).unwrap();
            stream.write_all(&wire[HEADER_BYTES..]).unwrap();
        })
    });
    let outcome = run(&options("message", address, &["one", "two"], PLENTY));
    assert_eq!(outcome.printed(), format!("{ACKNOWLEDGEMENT}\n").repeat(2));
    server.join().unwrap();
}

#[test]
fn a_reply_may_come_byte_by_byte() {
    let (address, server) = serve(1, |stream| {
        acknowledge(stream, |stream, wire| {
            wire.chunks(1).for_each(|byte| stream.write_all(byte).unwrap());
        })
    });
    let outcome = run(&options("message", address, &["one", "two"], PLENTY));
    assert_eq!(outcome.printed(), format!("{ACKNOWLEDGEMENT}\n").repeat(2));
    server.join().unwrap();
}

#[test]
fn any_reply_is_printed_as_one_line_without_control_characters() {
    let outcome = run_against("message", &["one"], PLENTY, |mut stream| {
        read_frame(&mut stream);
        stream.write_all(&framed("noted\n\u{1b}[2J")).unwrap();
        read_frame(&mut stream);
        stream.write_all(&framed("")).unwrap();
    });
    assert_eq!(outcome.printed(), "noted\\n\\u{1b}[2J\n");
}

#[test]
fn a_server_may_close_at_the_farewell() {
    let outcome = run_against("message", &["one"], PLENTY, |mut stream| {
        read_frame(&mut stream);
        stream.write_all(&framed(ACKNOWLEDGEMENT)).unwrap();
    });
    assert_eq!(outcome.printed(), format!("{ACKNOWLEDGEMENT}\n"));
}

#[test]
fn the_client_closes_once_the_farewell_is_acknowledged() {
    let outcome = run_against("message", &["one"], PLENTY, |mut stream| {
        for _ in 0..2 {
            read_frame(&mut stream);
            stream.write_all(&framed(ACKNOWLEDGEMENT)).unwrap();
        }
        wait_for_the_client_to_close(stream);
    });
    assert_eq!(outcome.printed(), format!("{ACKNOWLEDGEMENT}\n"));
}

#[test]
fn a_server_need_not_answer_the_farewell() {
    let outcome = run_against("message", &[], SHORT, wait_for_the_client_to_close);
    assert_eq!(outcome.printed(), "");
}

#[test]
fn a_close_before_the_reply_is_an_error() {
    let outcome = run_against("message", &["one"], PLENTY, |mut stream| drop(read_frame(&mut stream)));
    let reason = "the server closed the connection before replying".to_string();
    assert_eq!(outcome.failed("message"), (String::new(), reason));
}

#[test]
fn a_close_without_reading_is_the_same_error() {
    // Closing with bytes unread resets the connection.
    let outcome = run_against("message", &["one"], PLENTY, |mut stream| {
        stream.read_exact(&mut [0]).unwrap();
    });
    let reason = "the server closed the connection before replying".to_string();
    assert_eq!(outcome.failed("message"), (String::new(), reason));
}

#[test]
fn a_close_within_a_reply_is_an_error() {
    let outcome = run_against("message", &["one", "two"], PLENTY, |mut stream| {
        read_frame(&mut stream);
        stream.write_all(&framed(ACKNOWLEDGEMENT)).unwrap();
        read_frame(&mut stream);
        stream.write_all(&framed(ACKNOWLEDGEMENT)[..70]).unwrap();
    });
    let reason = "the server closed the connection after 70 bytes of a reply".to_string();
    assert_eq!(outcome.failed("message"), (format!("{ACKNOWLEDGEMENT}\n"), reason));
}

#[test]
fn a_server_of_another_protocol_is_refused_at_the_first_wrong_byte() {
    let outcome = run_against("message", &["one"], PLENTY, |mut stream| {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        wait_for_the_client_to_close(stream);
    });
    let reason = "the server does not speak message: header byte 0 is 'H', expected a digit".to_string();
    assert_eq!(outcome.failed("message"), (String::new(), reason));
}

#[test]
fn a_reply_over_the_limit_is_refused_at_its_header() {
    let outcome = run_against("message", &["one"], PLENTY, |mut stream| {
        stream.write_all(&frame::header((1 << 20) + 1)).unwrap();
        wait_for_the_client_to_close(stream);
    });
    let reason = "the server does not speak message: \
                  the header announces 1048577 bytes, the limit is 1048576";
    assert_eq!(outcome.failed("message"), (String::new(), reason.into()));
}

#[test]
fn a_reply_that_is_not_utf8_is_refused() {
    let outcome = run_against("message", &["one"], PLENTY, |mut stream| {
        stream.write_all(&[&frame::header(2)[..], b"a\xff"].concat()).unwrap();
        wait_for_the_client_to_close(stream);
    });
    let reason = "the server does not speak message: body byte 1 begins no UTF-8 character";
    assert_eq!(outcome.failed("message"), (String::new(), reason.into()));
}

#[test]
fn a_refusal_is_an_error_that_quotes_the_reason() {
    let outcome = run_against("message", &["one"], PLENTY, |mut stream| {
        read_frame(&mut stream);
        stream.write_all(&framed("Error: no more\nroom")).unwrap();
        wait_for_the_client_to_close(stream);
    });
    assert_eq!(outcome.failed("message"), (String::new(), "the server refused: no more\\nroom".into()));
}

#[test]
fn a_client_that_is_still_sending_reports_a_refusal() {
    // More than any socket buffer holds, and the server closes at the header: sending fails.
    let huge = "x".repeat(32 << 20);
    let outcome = run_against("message", &[&huge], PLENTY, |mut stream| {
        stream.read_exact(&mut [0; HEADER_BYTES]).unwrap();
        stream.write_all(&framed("Error: too long")).unwrap();
    });
    assert_eq!(outcome.failed("message"), (String::new(), "the server refused: too long".into()));
}

#[test]
fn a_refused_farewell_is_an_error_too() {
    let outcome = run_against("message", &[], PLENTY, |mut stream| {
        read_frame(&mut stream);
        stream.write_all(&framed("Error: the disk is full")).unwrap();
    });
    assert_eq!(outcome.failed("message"), (String::new(), "the server refused: the disk is full".into()));
}

#[test]
fn a_server_that_never_answers_ends_in_a_timeout() {
    let outcome = run_against("message", &["one"], SHORT, wait_for_the_client_to_close);
    assert_eq!(
        outcome.failed("message"),
        (String::new(), "timed out waiting for a reply after 500ms".into())
    );
}

#[test]
fn single_bytes_do_not_renew_the_timeout() {
    let outcome = run_against("message", &["one"], SHORT, |mut stream| {
        read_frame(&mut stream);
        // A mebibyte in single bytes takes far longer than the timeout, a single byte does not.
        stream.write_all(&frame::header(1 << 20)).unwrap();
        for _ in 0..1 << 20 {
            if stream.write_all(b"a").is_err() {
                break;
            }
        }
    });
    let (_, reason) = outcome.failed("message");
    assert!(reason.starts_with("timed out "), "{reason}");
}

#[test]
fn a_server_that_does_not_read_ends_in_a_timeout() {
    let huge = "x".repeat(32 << 20);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let (address, server) = serve(1, move |stream| {
        let _ = stopped.recv();
        drop(stream);
    });
    let outcome = run(&options("message", address, &[&huge], SHORT));
    drop(stop);
    server.join().unwrap();
    let reason = "timed out sending after 500ms: the server does not read".to_string();
    assert_eq!(outcome.failed("message"), (String::new(), reason));
}

#[test]
fn a_tcp_port_without_a_listener_refuses() {
    // Bound, so that no other process can listen there.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    for service in ["message", "greeting"] {
        let outcome = run(&options(service, address, &[], PLENTY));
        let reason = "connection refused: is the server running?".to_string();
        assert_eq!(outcome.failed(service), (String::new(), reason));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_server_that_does_not_accept_ends_in_a_timeout() {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    // With a full backlog the kernel drops further SYNs.
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, SHORT) {
        waiting.push(stream);
    }
    let outcome = run(&options("message", address, &["one"], SHORT));
    assert_eq!(outcome.failed("message"), (String::new(), "timed out connecting after 500ms".into()));
}

#[test]
fn a_host_that_does_not_resolve_is_an_error() {
    // A label of a name cannot be empty, so no resolver is requests.
    let options = Options { endpoint: "message=no..host:1".parse().unwrap(), ..no_texts() };
    let error = run(&options).outcome.unwrap_err().to_string();
    assert!(error.starts_with("message=no..host:1: cannot resolve the host: "), "{error}");
}

#[test]
fn a_closed_output_ends_the_conversation() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (address, server) = serve(1, |mut stream| {
        stream.write_all(b"hi").unwrap();
    });
    let options = options("greeting", address, &[], PLENTY);
    let error = run_with(&options, Lines::new(&mut io::empty(), None), &mut Gone).unwrap_err();
    assert!(
        matches!(&error.failure, Failure::Output(reason) if reason.kind() == io::ErrorKind::BrokenPipe),
        "{error}"
    );
    server.join().unwrap();
}

#[test]
fn what_arrives_is_printed_as_one_line() {
    for (service, sent, printed) in [
        ("greeting", &b"Thank you for connecting !"[..], "Thank you for connecting !\n"),
        ("greeting", b"Another\r\ngreeting\x1b\r\n", "Another\\r\\ngreeting\\u{1b}\n"),
        ("daytime", b"Fri May  7 20:36:52 2021\r\n", "Fri May  7 20:36:52 2021\n"),
        ("daytime", b"\xff", "\\xff\n"),
    ] {
        let outcome = run_against(service, &[], PLENTY, |mut stream| {
            for byte in sent.chunks(1) {
                stream.write_all(byte).unwrap();
            }
        });
        assert_eq!(outcome.printed(), printed);
    }
}

#[test]
fn a_complete_answer_is_printed_before_the_server_closes() {
    for (service, texts, answer) in [
        ("greeting", &[][..], "Thank you for connecting !"),
        ("daytime", &[], "Fri May  7 20:36:52 2021\r\n"),
        ("reply", &["hi"], REPLY),
    ] {
        let outcome = run_against(service, texts, PLENTY, |mut stream| {
            stream.write_all(answer.as_bytes()).unwrap();
            wait_for_the_client_to_close(stream);
        });
        assert_eq!(outcome.printed(), format!("{}\n", answer.trim_end()));
    }
}

#[test]
fn an_incomplete_answer_is_printed_and_is_an_error() {
    // Long enough for the bytes to arrive on any machine.
    let timeout = Duration::from_secs(1);
    let outcome = run_against("greeting", &[], timeout, |mut stream| {
        stream.write_all(b"Thank you").unwrap();
        wait_for_the_client_to_close(stream);
    });
    let reason = "timed out after 1s with 9 bytes of a reply received".to_string();
    assert_eq!(outcome.failed("greeting"), ("Thank you\n".into(), reason));
}

#[test]
fn an_empty_answer_is_an_error() {
    let outcome = run_against("daytime", &[], PLENTY, drop);
    let reason = "the server closed the connection before replying".to_string();
    assert_eq!(outcome.failed("daytime"), (String::new(), reason));
}

#[test]
fn an_endless_answer_is_cut_and_is_an_error() {
    let outcome =
        run_against("greeting", &[], PLENTY, |mut stream| while stream.write_all(&[b'a'; 4096]).is_ok() {});
    let (printed, reason) = outcome.failed("greeting");
    assert_eq!(reason, "the reply is longer than 65536 bytes");
    assert!((65_536..131_072).contains(&printed.len()), "{}", printed.len());
}

#[test]
fn each_request_has_a_connection_of_its_own_whose_sending_side_stays_open() {
    let (address, server) = serve(2, |mut stream| {
        let mut request = [0; 3];
        stream.read_exact(&mut request).unwrap();
        stream.set_nonblocking(true).unwrap();
        let still_open = stream.read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        stream.write_all(REPLY.as_bytes()).unwrap();
        (request, still_open)
    });
    let outcome = run(&options("reply", address, &["one", "two"], PLENTY));
    assert_eq!(outcome.printed(), format!("{REPLY}\n").repeat(2));
    assert_eq!(server.join().unwrap(), [(*b"one", true), (*b"two", true)]);
}

#[test]
fn an_empty_request_ends_the_sending_side() {
    let outcome = run_against("reply", &[""], PLENTY, |mut stream| {
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        stream.write_all(REPLY.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    });
    assert_eq!(outcome.printed(), format!("{REPLY}\n"));
}

/// A UDP server that answers each datagram with the datagrams that `script` returns, until it returns `None`.
/// Returns the datagrams received.
fn serve_datagrams(
    mut script: impl FnMut(&str) -> Option<Vec<String>> + Send + 'static,
) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(2 * PLENTY)).unwrap();
    let address = socket.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut came = Vec::new();
        let mut buffer = [0; 2048];
        loop {
            let (datagram_bytes, peer) = socket.recv_from(&mut buffer).unwrap();
            let datagram = std::str::from_utf8(&buffer[..datagram_bytes]).unwrap();
            came.push(datagram.to_owned());
            let Some(answers) = script(datagram) else {
                return came;
            };
            for answer in answers {
                socket.send_to(answer.as_bytes(), peer).unwrap();
            }
        }
    });
    (address, server)
}

/// The answer of a `month` server in a session.
/// The first datagram: a third of the introduction, which is at most three times as long beyond loopback.
const HELLO: &str = "hello                        ";

fn month(datagram: &str) -> String {
    match datagram {
        HELLO => INTRODUCTION.into(),
        "5" => "May".into(),
        "6" => "June".into(),
        "0" => "Goodbye".into(),
        _ => "Error: expected an integer from 1 to 12, or 0 to end\n".into(),
    }
}

const INTRODUCED: &str =
    "Hey there I am going to provide you the month, if you Provide me an integer from 1-12\n";

/// Options with tries that are long enough on any machine.
fn month_options(address: SocketAddr, texts: &[&str]) -> Options {
    Options { retries: 199, ..options("month", address, texts, PLENTY) }
}

#[test]
fn a_conversation_with_month_opens_and_ends_a_session() {
    let (address, server) = serve_datagrams(|datagram| (datagram != "0").then(|| vec![month(datagram)]));
    let outcome = run(&Options { retries: 0, ..month_options(address, &["5", "x", "6"]) });
    assert_eq!(
        outcome.printed(),
        format!("{INTRODUCED}May\nError: expected an integer from 1 to 12, or 0 to end\nJune\n")
    );
    assert_eq!(server.join().unwrap(), [HELLO, "5", "x", "6", "0"]);
}

#[test]
fn a_zero_among_the_texts_ends_the_session_and_the_later_ones_are_reported() {
    for (texts, input, unsent) in [
        (&["5", "0", "13", "abc"][..], "", Some("2 later texts were not sent: '13', …")),
        (&[], "5\n0\n6\n", Some("1 later text was not sent: '6'")),
        (&["5", "0"], "", None),
        (&[], "5\n0\n", None),
    ] {
        let (address, server) =
            serve_datagrams(|datagram| (datagram != "end").then(|| vec![month(datagram)]));
        let options = Options { retries: 0, ..month_options(address, texts) };
        let outcome = run_with_input(&options, input);
        let printed = format!("{INTRODUCED}May\nGoodbye\n");
        if let Some(unsent) = unsent {
            let reason = format!("'0' ended the conversation; {unsent}");
            assert_eq!(outcome.failed("month"), (printed, reason));
        } else {
            assert_eq!(outcome.printed(), printed);
        }
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"end", address).unwrap();
        assert_eq!(server.join().unwrap(), [HELLO, "5", "0", "end"]);
    }
}

#[test]
fn a_lost_datagram_is_sent_again() {
    let (address, server) = serve_datagrams(loses_the_first_of_each());
    assert_eq!(run(&month_options(address, &["5", "6"])).printed(), format!("{INTRODUCED}May\nJune\n"));
    assert!(server.join().unwrap().starts_with(&[HELLO.into(), HELLO.into()]));
}

fn loses_the_first_of_each() -> impl FnMut(&str) -> Option<Vec<String>> {
    let mut seen = Vec::new();
    move |datagram| {
        let is_first = !seen.iter().any(|other| other == datagram);
        seen.push(datagram.to_owned());
        (datagram != "0").then(|| if is_first { vec![] } else { vec![month(datagram)] })
    }
}

#[test]
fn an_error_in_answer_to_the_hello_is_printed_and_the_texts_are_sent() {
    let (address, server) = serve_datagrams(|datagram| match datagram {
        "0" => None,
        HELLO => Some(vec![month("not a number")]),
        _ => Some(vec![month(datagram)]),
    });
    let printed = run(&month_options(address, &["5"])).printed();
    assert_eq!(printed, "Error: expected an integer from 1 to 12, or 0 to end\nMay\n");
    server.join().unwrap();
}

#[test]
fn a_duplicate_answer_is_printed_once() {
    let (address, server) =
        serve_datagrams(|datagram| (datagram != "0").then(|| vec![month(datagram), month(datagram)]));
    let printed = run(&month_options(address, &["5", "6", "5"])).printed();
    assert_eq!(printed, format!("{INTRODUCED}May\nJune\nMay\n"));
    server.join().unwrap();
}

#[test]
fn a_late_answer_is_not_taken_for_the_answer_to_the_next_request() {
    let (address, server) = serve_datagrams(|datagram| match datagram {
        "0" => None,
        "6" => Some(vec![month("5"), month("not a number"), month("6")]),
        _ => Some(vec![month(datagram)]),
    });
    let printed = run(&month_options(address, &["5", "6"])).printed();
    assert_eq!(printed, format!("{INTRODUCED}May\nJune\n"));
    server.join().unwrap();
}

#[test]
fn a_text_is_sent_again_after_the_session_has_expired() {
    let requests = Cell::new(0);
    let (address, server) = serve_datagrams(move |datagram| {
        requests.set(requests.get() + 1);
        (datagram != "0")
            .then(|| vec![if requests.get() <= 2 { INTRODUCTION.into() } else { month(datagram) }])
    });
    assert_eq!(run(&month_options(address, &["5"])).printed(), format!("{INTRODUCED}May\n"));
    server.join().unwrap();
}

#[test]
fn the_introduction_is_printed_if_no_other_answer_comes() {
    let (address, server) = serve_datagrams(|datagram| (datagram != "0").then(|| vec![INTRODUCTION.into()]));
    let options = options("month", address, &["5"], Duration::from_secs(1));
    assert_eq!(run(&options).printed(), INTRODUCED.repeat(2));
    server.join().unwrap();
}

#[test]
fn an_unexpected_answer_is_printed_if_no_better_one_comes() {
    let (address, server) =
        serve_datagrams(|datagram| (datagram != "0").then(|| vec![datagram.to_uppercase()]));
    assert_eq!(run(&month_options(address, &["may"])).printed(), format!("{}\nMAY\n", HELLO.to_uppercase()));
    server.join().unwrap();
}

#[test]
fn an_unanswered_datagram_is_sent_once_more_than_the_retries() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    silent.set_read_timeout(Some(PLENTY)).unwrap();
    let options = options("month", silent.local_addr().unwrap(), &["5"], SHORT);
    let outcome = run(&Options { retries: 1, ..options.clone() });
    assert_eq!(outcome.failed("month"), (String::new(), "no answer after 2 tries in 500ms".into()));
    let mut buffer = [0; 64];
    for _ in 0..2 {
        assert_eq!(silent.recv(&mut buffer).unwrap(), HELLO.len());
    }
    silent.set_nonblocking(true).unwrap();
    assert!(silent.recv(&mut buffer).is_err());

    let outcome = run(&Options { retries: 0, ..options });
    assert_eq!(outcome.failed("month"), (String::new(), "no answer after 1 try in 500ms".into()));
}

#[test]
fn datagrams_from_other_addresses_are_ignored() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    silent.set_read_timeout(Some(PLENTY)).unwrap();
    let address = silent.local_addr().unwrap();
    let sender = thread::spawn(move || {
        let (_, client) = silent.recv_from(&mut [0; 16]).unwrap();
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"forged", client).unwrap();
        silent
    });
    let outcome = run(&options("month", address, &["5"], SHORT));
    assert_eq!(outcome.failed("month"), (String::new(), "no answer after 1 try in 500ms".into()));
    sender.join().unwrap();
}

#[test]
fn a_udp_port_without_a_listener_refuses() {
    // Bound, so that no other process can receive there, and connected to another address, so that it does
    // not receive our datagrams.
    let deaf = UdpSocket::bind("127.0.0.1:0").unwrap();
    deaf.connect("127.0.0.1:9").unwrap();
    let outcome = run(&options("month", deaf.local_addr().unwrap(), &["5"], PLENTY));
    let reason = "connection refused: is the server running?".to_string();
    assert_eq!(outcome.failed("month"), (String::new(), reason));
}

fn no_texts() -> Options {
    options("message", SocketAddr::from(([127, 0, 0, 1], 1)), &[], PLENTY)
}

/// Where a server closes a connection: after it has read so many bytes of a request, and written so many of the reply.
const FAULTS: [(usize, usize); 7] =
    [(0, 0), (1, 0), (HEADER_BYTES, 0), (ANY, 0), (ANY, 1), (ANY, HEADER_BYTES), (ANY, HEADER_BYTES + 1)];

/// The whole request.
const ANY: usize = usize::MAX;

/// A server that closes its first connections as `FAULTS` say: each is the fault of one message, which the next
/// connection acknowledges. Returns the messages that it has read whole.
fn serve_with_faults() -> (SocketAddr, JoinHandle<Vec<Vec<String>>>) {
    let mut faults = FAULTS.into_iter();
    serve(FAULTS.len() + 1, move |mut stream| {
        let mut bodies = Vec::new();
        if faults.len() < FAULTS.len() {
            bodies.push(read_frame(&mut stream));
            stream.write_all(&framed(ACKNOWLEDGEMENT)).unwrap();
        }
        match faults.next() {
            None => bodies.extend(acknowledge(stream, |stream, wire| stream.write_all(wire).unwrap())),
            Some((ANY, written)) => {
                bodies.push(read_frame(&mut stream));
                stream.write_all(&framed(ACKNOWLEDGEMENT)[..written]).unwrap();
            }
            Some((read, _)) => stream.read_exact(&mut vec![0; read]).unwrap(),
        }
        bodies
    })
}

#[test]
fn with_retry_each_text_is_sent_until_it_is_acknowledged_wherever_the_server_closes() {
    let (address, server) = serve_with_faults();
    let texts: Vec<String> = (1..=FAULTS.len() + 1).map(|number| number.to_string()).collect();
    let input = texts.join("\n");
    let with_retry = Options { retry: Some(PLENTY), ..options("message", address, &[], PLENTY) };
    let outcome = run_with_input(&with_retry, &input);
    assert_eq!(outcome.printed(), format!("{ACKNOWLEDGEMENT}\n").repeat(texts.len()));
    let mut received = server.join().unwrap().concat();
    assert_eq!(received.pop().as_deref(), Some(DISCONNECT));
    // Those whose request the server had read whole arrived twice.
    assert_eq!(received, ["1", "2", "3", "4", "4", "5", "5", "6", "6", "7", "7", "8"]);
}

#[test]
fn with_retry_a_silent_server_is_left_after_the_timeout() {
    let mut is_first = true;
    let (address, server) = serve(2, move |stream| {
        if std::mem::take(&mut is_first) {
            wait_for_the_client_to_close(stream);
        } else {
            acknowledge(stream, |stream, wire| stream.write_all(wire).unwrap());
        }
    });
    // The second connection must reply within the timeout, also on a busy machine.
    let timeout = Duration::from_secs(2);
    let outcome = run(&Options { retry: Some(PLENTY), ..options("message", address, &["one"], timeout) });
    assert_eq!(outcome.printed(), format!("{ACKNOWLEDGEMENT}\n"));
    server.join().unwrap();
}

#[test]
fn with_retry_a_refusal_is_final() {
    let (address, server) = serve(1, |mut stream| {
        read_frame(&mut stream);
        stream.write_all(&framed("Error: full")).unwrap();
    });
    let with_retry = Options { retry: Some(PLENTY), ..options("message", address, &["one", "two"], PLENTY) };
    let reason = "the server refused: full; 1 later text was not sent: 'two'";
    assert_eq!(run(&with_retry).failed("message"), (String::new(), reason.into()));
    server.join().unwrap();
}

#[test]
fn with_retry_the_last_failure_is_reported_after_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let limited = Options { retry: Some(SHORT), ..options("message", address, &["one", "two"], PLENTY) };
    let (printed, reason) = run(&limited).failed("message");
    assert_eq!(printed, "");
    let (failure, attempts) = reason.rsplit_once(" (").unwrap();
    assert!(failure.starts_with("connection refused: "), "{reason}");
    assert!(attempts.ends_with(" attempts, tried again for 500ms)"), "{reason}");
}

#[test]
fn with_retry_a_reply_that_was_cut_is_asked_for_again_and_printed_once() {
    let mut is_first = true;
    let (address, server) = serve(2, move |mut stream| {
        stream.read_exact(&mut [0; 3]).unwrap();
        let sent = if std::mem::take(&mut is_first) { &REPLY[..0] } else { REPLY };
        stream.write_all(sent.as_bytes()).unwrap();
    });
    let outcome = run(&Options { retry: Some(PLENTY), ..options("reply", address, &["one"], PLENTY) });
    assert_eq!(outcome.printed(), format!("{REPLY}\n"));
    server.join().unwrap();
}

/// A server of `month` that leaves the first request 5 without an answer.
fn serve_months_but_the_first() -> (SocketAddr, JoinHandle<Vec<String>>) {
    let mut requests = 0;
    serve_datagrams(move |datagram| {
        requests += usize::from(datagram == "5");
        let is_lost = requests == 1 && datagram == "5";
        (datagram != "0").then(|| if is_lost { Vec::new() } else { vec![month(datagram)] })
    })
}

#[test]
fn with_retry_month_opens_another_session_and_prints_one_introduction() {
    // The second hello opens another session.
    let (address, server) = serve_months_but_the_first();
    let options = Options { retries: 0, retry: Some(PLENTY), ..month_options(address, &["5", "6"]) };
    let outcome = run(&Options { timeout: Duration::from_secs(2), ..options });
    assert_eq!(outcome.printed(), format!("{INTRODUCED}May\nJune\n"));
    server.join().unwrap();
}

#[test]
fn with_retry_a_part_of_the_reply_to_an_earlier_attempt_is_not_printed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        stream.write_all(&REPLY.as_bytes()[..3]).unwrap();
        wait_for_the_client_to_close(stream);
    });
    let outcome = run(&Options { retry: Some(SHORT), ..options("reply", address, &["one"], SHORT) });
    let (printed, reason) = outcome.failed("reply");
    assert!(printed.is_empty() && reason.starts_with("connection refused: "), "{printed:?}, {reason}");
    server.join().unwrap();
}

#[test]
fn a_session_that_had_no_answer_is_not_open_and_the_next_request_opens_another() {
    let (address, server) = serve_months_but_the_first();
    let client = Client::new(&address.to_string()).unwrap().datagram_retries(0);
    let mut session = client.timeout(Duration::from_secs(2)).month().unwrap();
    assert!(matches!(session.ask("5").unwrap_err().failure, Failure::NoAnswer { .. }));
    assert!(!session.is_open());
    assert_eq!(session.ask("5").unwrap(), "May");
    assert!(session.is_open());
    drop(session);
    assert_eq!(server.join().unwrap(), [HELLO, "5", HELLO, "5", "0"]);
}

#[test]
fn disconnecting_sends_the_farewell() {
    let (address, server) =
        serve(1, |stream| acknowledge(stream, |stream, wire| stream.write_all(wire).unwrap()));
    let mut connection = Client::new(&address.to_string()).unwrap().timeout(PLENTY).connect().unwrap();
    connection.send("text").unwrap();
    connection.disconnect().unwrap();
    assert_eq!(server.join().unwrap(), [["text", DISCONNECT]]);
}
