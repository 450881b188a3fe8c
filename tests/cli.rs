//! The command line: arguments, environment variables, exit statuses, what is written to which stream, and
//! the client.

mod common;

use std::io::Write;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};

use common::{
    ACKNOWLEDGEMENT, DatagramPeer, Exit, GREETING, INTRODUCTION, Network, REPLY, Serve, Server, eventually,
    frame, in_namespace, loopline,
};

/// The outcome of a run that ends by itself.
#[derive(Debug)]
struct Run {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(command: &mut Command) -> Run {
    run_with_input(command, "")
}

fn run_with_input(command: &mut Command, input: &str) -> Run {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The program may exit without reading the input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = common::wait_with_output(child);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn run_words(words: &str) -> Run {
    run(loopline().args(words.split_whitespace()))
}

#[test]
fn a_usage_error_exits_with_2_and_names_the_error() {
    for (words, error) in [
        ("", "Usage: loopline"),
        ("frob", "unrecognized subcommand 'frob'"),
        ("serve --frob", "unexpected argument '--frob'"),
        ("serve -x", "unexpected argument '-x'"),
        ("serve echo=7", "unknown service 'echo', expected one of message, greeting, daytime, reply, month"),
        ("serve message=localhost", "'localhost' has no port: expected HOST:PORT or PORT"),
        ("client message=localhost hi", "'localhost' has no port: expected HOST:PORT or PORT"),
        ("load message=localhost", "'localhost' has no port: expected HOST:PORT or PORT"),
        ("load hold=localhost", "'localhost' has no port: expected HOST:PORT or PORT"),
        ("serve message=localhost:x", "'x' is not a port, expected a number from 0 to 65535"),
        ("serve message=65536", "port 65536 is out of range, expected 0 to 65535"),
        ("serve message=::1:9", "an IPv6 address goes in brackets, as in [::1]:8091"),
        ("serve message=0 greeting=", "'' is not a port"),
        ("serve --frame-timeout soon", "'soon' for '--frame-timeout"),
        (
            "serve --frame-timeout -5s",
            "'-5s' for '--frame-timeout <DUR>': expected a whole number of seconds",
        ),
        (
            "serve --idle-timeout 1.5s",
            "expected a whole number of seconds, or one with a unit (ms, s, m, h, d)",
        ),
        ("serve --write-timeout 0", "it must be at least 1ms, or off"),
        ("serve --drain-timeout off", "'off' for '--drain-timeout"),
        ("serve --drain-timeout 25d", "it must be at most 24d"),
        ("serve --session-timeout 0", "it must be at least 1ms"),
        (
            "serve --max-message 1MB",
            "expected a whole number of bytes, or one with a unit (B, KiB, MiB, GiB)",
        ),
        ("serve --max-message -1", "'-1' for '--max-message <SIZE>': expected a whole number of bytes"),
        (
            "serve --max-message 0",
            "expected at least 12 bytes, since clients end with the message 'Disconnect !'",
        ),
        ("serve --max-message 11", "expected at least 12 bytes"),
        ("serve --ack synced --journal none", "--ack synced requires a journal"),
        ("serve --max-sessions 0", "expected a whole number, at least 1"),
        ("serve --thread-stack 0", "expected at least 64KiB"),
        ("serve --thread-stack 17179869183GiB", "expected at least 64KiB, and at most 1GiB"),
        ("serve --max-per-source 0", "expected a whole number, at least 1"),
        ("serve --max-connections 0", "expected a whole number, at least 1"),
        ("serve --max-connections many", "expected a whole number"),
        ("serve --backlog 0", "expected a whole number from 1 to 65535"),
        ("serve --backlog 65536", "expected a whole number from 1 to 65535"),
        ("serve --model fork", "[possible values: loop, threads]"),
        ("serve --ack never", "[possible values: received, written, synced]"),
        ("serve --log loud", "[possible values: off, error, warn, info, debug, trace]"),
        ("serve --journal", "a value is required for '--journal"),
        ("client", "the following required arguments were not provided"),
        ("client echo hi", "unknown service 'echo'"),
        ("client Message hi", "did you mean 'message'?"),
        ("client message hi --timeout off", "'off' for '--timeout"),
        ("client message hi --timeout 0", "it must be at least 1ms"),
        ("client message hi --retries -1", "'-1' for '--retries <N>': expected a whole number from 0 to"),
        ("load message -d 0", "'0' for '--duration <DUR>': it must be at least 1ms"),
        ("load message -c 0", "expected a whole number from 1 to 100000000"),
        (
            "load message -c 1,10",
            "'1,10' for '--connections <N>': expected a whole number from 1 to 100000000",
        ),
        ("load message --rate 0", "expected a whole number from 1 to 100000000"),
        ("load message --active 0", "--active 0 requires --heartbeat"),
        ("load message --active -1", "'-1' for '--active <N|STAGES>': expected a whole number from 0"),
        ("load message --pipeline 0", "expected a whole number from 1 to 65536"),
        ("load message --open-rate -3", "'-3' for '--open-rate <N|STAGES>': expected a whole number from 1"),
        ("load message --size -1", "'-1' for '--size <SIZE>': expected a whole number of bytes"),
        ("load message --size 2GiB", "--size is at most 1GiB"),
        ("load message --warmup 0", "it must be at least 1ms"),
        ("load message --timeout 0", "it must be at least 1ms"),
        ("load message --drain-timeout 0", "it must be at least 1ms"),
        ("compare -c 0", "it must be at least 1"),
        ("compare --duration 0", "it must be at least 1ms"),
        ("compare --repeats 0", "expected a whole number from 1 to 1000"),
        ("compare --server-cores 0", "expected a whole number, at least 1"),
        ("doctor -c 0", "expected a whole number, at least 1"),
        ("client message=0 hi", "port 0 is for servers, a client needs the port of one"),
        ("client greeting hi", "greeting takes no text, only the server sends"),
        ("client daytime hi", "daytime takes no text, only the server sends"),
    ] {
        let run = run_words(words);
        assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""), "{words}: {}", run.stderr);
        assert!(run.stderr.contains(error), "{words}: {}", run.stderr);
    }
}

#[test]
fn help_names_every_option_and_its_environment_variable() {
    let serve = "model journal ack max-connections max-per-source max-message frame-timeout idle-timeout write-timeout \
                 drain-timeout backlog reuse-port max-sessions session-timeout log";
    for (command, options) in [("serve", serve), ("client", "timeout retries log")] {
        let run = run_words(&format!("{command} --help"));
        assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
        // Without the line breaks, which depend on the width of the terminal.
        let help = run.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        for option in options.split_whitespace() {
            assert!(help.contains(&format!(" --{option} ")), "{command} --help has no --{option}:\n{help}");
            let prefix = if option == "log" { String::new() } else { command.to_uppercase() + "_" };
            let variable = format!("LOOPLINE_{prefix}{}", option.to_uppercase().replace('-', "_"));
            assert!(help.contains(&format!("[env: {variable}=]")), "{variable}:\n{help}");
        }
        for (service, port) in
            [("message", 9999), ("greeting", 12345), ("daytime", 9998), ("reply", 8080), ("month", 8091)]
        {
            let lists = |line: &str| {
                let words: Vec<&str> = line.split_whitespace().collect();
                matches!(words[..], [name, _, number, ..] if name == service && number == port.to_string())
            };
            assert!(run.stdout.lines().any(lists), "{command} --help has no {service}:\n{}", run.stdout);
        }
    }
    let help = run_words("--help");
    assert_eq!(help.status, Some(0));
    assert!(["serve", "client"].iter().all(|name| help.stdout.contains(&format!("\n  {name} "))));
    assert_eq!(run_words("--version").stdout, format!("loopline {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_failure_to_listen_is_one_line_and_ends_the_server() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (tcp, udp) =
        (tcp.local_addr().map(|it| (tcp, it)).unwrap(), udp.local_addr().map(|it| (udp, it)).unwrap());
    let taken = "Address already in use (os error 98)";
    let not_ours = "Cannot assign requested address (os error 99)";
    for (endpoint, why) in [
        (format!("message={}", tcp.1), format!("cannot listen: {taken}")),
        (format!("month={}", udp.1), format!("cannot listen: {taken}")),
        ("message=203.0.113.1:0".into(), format!("cannot listen: {not_ours}")),
        ("month=203.0.113.1:0".into(), format!("cannot listen: {not_ours}")),
        ("reply=nosuch.invalid:0".into(), "cannot resolve the host: ".into()),
    ] {
        for model in common::MODELS {
            let run = run_words(&format!("serve --model {model} {endpoint}"));
            assert_eq!((run.status, run.stdout.as_str()), (Some(1), ""), "{endpoint}: {}", run.stderr);
            assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
            assert!(run.stderr.starts_with(&format!("loopline: {endpoint}: {why}")), "{}", run.stderr);

            // Endpoints that could be served do not keep it running.
            let run = run_words(&format!("serve --model {model} greeting=0 month=0 {endpoint}"));
            assert_eq!((run.status, run.stderr.lines().count()), (Some(1), 1), "{}", run.stderr);
            // The error is printed even if nothing is logged.
            let run = run_words(&format!("serve --log off --model {model} {endpoint}"));
            assert!(run.stderr.starts_with(&format!("loopline: {endpoint}: {why}")), "{}", run.stderr);
        }
    }
}

#[test]
fn a_port_of_the_system_and_a_missing_ipv6_are_one_line_that_names_the_endpoint() {
    let check = |exit: Exit, why: &str| {
        assert_eq!((exit.status.code(), exit.log.lines().count()), (Some(1), 1), "{}", exit.log);
        assert!(exit.log.starts_with(&format!("loopline: {why}")), "{}", exit.log);
    };
    in_namespace(
        a_port_of_the_system_and_a_missing_ipv6_are_one_line_that_names_the_endpoint,
        Network::Loopback,
        || {
            std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
            for endpoint in ["message=[::1]:4000", "month=[::1]:4000"] {
                let why = "cannot listen: Cannot assign requested address (os error 99)";
                check(Serve::new(endpoint).fail(), &format!("{endpoint}: {why}"));
            }
            // Without the capability, root is as any user.
            for endpoint in ["message=127.0.0.1:1", "month=127.0.0.1:1"] {
                let mut command = common::without_options("setpriv");
                command.args([
                    "--bounding-set=-net_bind_service",
                    "--inh-caps=-net_bind_service",
                    common::PROGRAM,
                ]);
                let why = "cannot listen: Permission denied (os error 13)";
                check(Serve::by(command, endpoint).fail(), &format!("{endpoint}: {why}"));
            }
        },
    );
}

#[test]
fn a_journal_that_cannot_be_opened_is_one_line() {
    for model in common::MODELS {
        let run = run_words(&format!("serve message=0 --model {model} --journal /nonexistent/journal"));
        assert_eq!(run.status, Some(1));
        let why = "cannot open the journal: No such file or directory (os error 2)";
        assert_eq!(run.stderr, format!("loopline: /nonexistent/journal: {why}\n"));
        let run = run_words(&format!("serve message=0 --model {model} --journal /"));
        assert_eq!(run.status, Some(1));
        assert!(run.stderr.starts_with("loopline: /: cannot open the journal: "), "{}", run.stderr);
    }
}

#[test]
fn a_connection_limit_above_the_descriptor_limit_is_logged_with_the_number_used() {
    let (_, most) = rlimit::Resource::NOFILE.get().unwrap();
    let arguments = "message=0 --max-connections 1000000";
    let server = Server::start(arguments);
    let used = connections_served(&server.log(), most);
    assert!(used < most && used + 200 > most, "{used} of {most}");

    // The soft limit does not matter: it is raised at the start.
    let serve = Serve::after("ulimit -S -n 256", arguments);
    assert_eq!(connections_served(&serve.start().log(), most), used);
}

fn connections_served(log: &str, most: u64) -> u64 {
    let line = format!("--max-connections 1000000 is more than the limit of {most} descriptors allows: ");
    let (_, rest) = log.split_once(&line).unwrap_or_else(|| panic!("'{line}' is not in {log}"));
    rest.split_once(" will be served at once").unwrap().0.parse().unwrap()
}

#[test]
fn a_journal_that_cannot_be_synced_is_reported() {
    let warning = "--ack synced: standard output is no file, there is nothing to sync";
    assert!(Server::start("message=0 --ack synced").stop_cleanly().log.contains(warning));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal");
    let server = Server::start(&format!("message=0 --ack synced --journal {}", file.display()));
    assert!(!server.stop_cleanly().log.contains("nothing to sync"));
    assert!(!Server::start("message=0").stop_cleanly().log.contains("nothing to sync"));
}

#[test]
fn the_environment_sets_what_arguments_do_not() {
    let thirteen = "x".repeat(13);
    let limited = || Serve::new("message=0").env("LOOPLINE_SERVE_MAX_MESSAGE", "12");
    let server = limited().start();
    let mut peer = server.connect("message");
    peer.send(frame(&thirteen));
    assert_eq!(peer.receive_frame(), "Error: the header announces 13 bytes, the limit is 12");
    server.stop_cleanly();

    let server = limited().arg("--max-message=13").start();
    server.connect("message").exchange(&thirteen);
    server.stop_cleanly();

    let ended = limited().env("LOOPLINE_LOG", "debug").start();
    drop(ended.connect("message"));
    ended.wait_for_log("closed: served");
    let ended = ended.stop_cleanly();
    assert!(ended.log.contains("DEBUG ["), "{}", ended.log);
    let server = Serve::new("message=0 --log info").env("LOOPLINE_LOG", "debug").start();
    server.connect("message").exchange("x");
    assert!(!server.stop_cleanly().log.contains("DEBUG ["));

    let server =
        Serve::new("message=0").env("LOOPLINE_SERVE_MODEL", "threads").env("LOOPLINE_SERVE_JOURNAL", "none");
    let server = server.env("LOOPLINE_SERVE_MAX_CONNECTIONS", "1").start();
    let mut inside = server.connect("message");
    inside.exchange("inside");
    assert!(server.status("Threads") > 1);
    let full = server.connect("message").receive_frame();
    assert_eq!(full, "Error: the server is full, it serves 1 connections");
    assert_eq!(server.stop_cleanly().journal, "");

    let planned = run(loopline().args(["serve", "message=0"]).env("LOOPLINE_SERVE_PREALLOCATE", "true"));
    assert!(planned.stderr.contains("--preallocate requires --max-connections"), "{}", planned.stderr);
    let server = limited().env("LOOPLINE_SERVE_PREALLOCATE", "true").arg("--max-connections=1").start();
    server.connect("message").exchange("planned");
    server.stop_cleanly();
}

#[test]
fn an_error_of_a_value_from_the_environment_names_the_variable() {
    for (words, variable, value) in [
        ("serve message=0", "LOOPLINE_SERVE_FRAME_TIMEOUT", "soon"),
        ("serve message=0", "LOOPLINE_SERVE_WRITE_TIMEOUT", "0s"),
        ("serve message=0", "LOOPLINE_SERVE_DRAIN_TIMEOUT", "off"),
        ("serve message=0", "LOOPLINE_SERVE_BACKLOG", "-1"),
        ("serve message=0", "LOOPLINE_SERVE_ACK", "maybe"),
        ("serve message=0", "LOOPLINE_SERVE_REUSE_PORT", "perhaps"),
        ("serve message=0", "LOOPLINE_SERVE_PREALLOCATE", "perhaps"),
        ("serve message=0", "LOOPLINE_LOG", "loud"),
        ("client month", "LOOPLINE_CLIENT_TIMEOUT", "0"),
        ("load message", "LOOPLINE_LOAD_CONNECTIONS", "1,10"),
        // The missing target is an error too.
        ("load --rate 5", "LOOPLINE_LOAD_DURATION", "long"),
        ("compare", "LOOPLINE_COMPARE_CONNECTIONS", "0"),
        ("doctor", "LOOPLINE_DOCTOR_CONNECTIONS", "few"),
    ] {
        let run = run(loopline().args(words.split_whitespace()).env(variable, value));
        assert_eq!(run.status, Some(2), "{variable}: {}", run.stderr);
        let named = format!("error: invalid value '{value}' for '{variable}'");
        assert!(run.stderr.starts_with(&named), "{variable}: {}", run.stderr);
    }

    let both = |argument: &str| {
        run(loopline().args(["serve", "--backlog", argument]).env("LOOPLINE_SERVE_BACKLOG", "0")).stderr
    };
    assert!(both("none").starts_with("error: invalid value 'none' for '--backlog <N>'"));
    assert!(both("0").starts_with("error: invalid value '0' for '--backlog <N>'"));

    let combined = run(loopline().args(["load", "hold=1"]).env("LOOPLINE_LOAD_RATE", "1"));
    assert_eq!(combined.status, Some(2));
    let used = "loopline: options set by the environment: LOOPLINE_LOAD_RATE\n";
    assert!(combined.stderr.ends_with(used), "{}", combined.stderr);
}

#[test]
fn a_variable_without_the_name_of_its_command_is_not_read_but_reported() {
    let server = Serve::new("message=0").env("LOOPLINE_MAX_MESSAGE", "12").start();
    server.connect("message").exchange("longer than 12 bytes");
    let log = server.stop_cleanly().log;
    let warning = "LOOPLINE_MAX_MESSAGE is not read, set LOOPLINE_SERVE_MAX_MESSAGE instead\n";
    assert!(log.contains(warning), "{log}");
}

#[test]
fn the_log_is_plain_lines_and_standard_output_is_only_the_journal() {
    let server = Server::start("message=0 greeting=0 month=0 --log trace");
    server.connect("message").exchange("recorded");
    assert_eq!(server.connect("greeting").receive_text(), GREETING);
    assert_eq!(DatagramPeer::connect(server.address("month")).request("x"), INTRODUCTION);
    let ended = server.stop_cleanly();
    assert!(!ended.log.contains('\u{1b}'), "{:?}", ended.log);
    assert_eq!(ended.messages(), ["recorded"]);
}

/// The endpoint argument of a client.
fn endpoint(server: &Server, service: &str) -> String {
    format!("{service}={}", server.address(service))
}

fn client(server: &Server, service: &str, texts: &[&str]) -> Run {
    run(loopline().arg("client").arg(endpoint(server, service)).args(texts))
}

fn client_with_input(server: &Server, service: &str, lines: &str) -> Run {
    run_with_input(loopline().arg("client").arg(endpoint(server, service)), lines)
}

impl Run {
    /// The standard output of a run that succeeded.
    fn printed(self) -> String {
        assert_eq!((self.status, self.stderr.as_str()), (Some(0), ""), "{}", self.stdout);
        self.stdout
    }

    /// The error of a run that failed, which is one line.
    fn failure(self) -> String {
        assert_eq!(self.status, Some(1), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        self.stderr.trim_end().into()
    }
}

#[test]
fn the_client_exchanges_messages_with_every_service_of_both_models() {
    const WRONG: &str = "Error: expected an integer from 1 to 12, or 0 to end\n";
    let introduced = format!("{}\n", INTRODUCTION.trim());
    let acknowledged = format!("{ACKNOWLEDGEMENT}\n");
    let replied = format!("{REPLY}\n");
    for model in common::MODELS {
        let endpoints = "message=0 greeting=0 daytime=0 reply=0 month=0 --model";
        let server = Server::start(&format!("{endpoints} {model}"));

        assert_eq!(client(&server, "message", &["one", "zwölf", ""]).printed(), acknowledged.repeat(3));
        assert_eq!(
            client_with_input(&server, "message", "two\r\nthree\n\nfour").printed(),
            acknowledged.repeat(4)
        );
        assert_eq!(client_with_input(&server, "message", "").printed(), "");
        let run = client(&server, "message", &["Disconnect !", "never sent"]);
        assert_eq!(run.stdout, acknowledged);
        let unsent = "'Disconnect !' ended the conversation; 1 later text was not sent: 'never sent'";
        assert!(run.failure().ends_with(unsent));

        assert_eq!(client(&server, "greeting", &[]).printed(), format!("{GREETING}\n"));
        let time = client(&server, "daytime", &[]).printed();
        assert!(time.len() == 25 && time.ends_with('\n'), "{time:?}");

        assert_eq!(client(&server, "reply", &["request"]).printed(), replied);
        assert_eq!(client_with_input(&server, "reply", "first\nsecond\n").printed(), replied.repeat(2));

        assert_eq!(client(&server, "month", &["5", "13"]).printed(), format!("{introduced}May\n{WRONG}"));
        assert_eq!(
            client_with_input(&server, "month", "1\n12\n").printed(),
            format!("{introduced}January\nDecember\n")
        );
        let run = client_with_input(&server, "month", "0\n3\n");
        assert_eq!(run.stdout, format!("{introduced}Goodbye\n"));
        let unsent = "'0' ended the conversation; 1 later text was not sent: '3'";
        assert!(run.failure().ends_with(unsent));
        assert_eq!(client_with_input(&server, "month", "").printed(), introduced);

        let ended = server.stop_cleanly();
        let disconnect = "Disconnect !";
        let messages =
            ["one", "zwölf", "", disconnect, "two", "three", "", "four", disconnect, disconnect, disconnect];
        assert_eq!(ended.messages(), [&messages[..], &["request", "first", "second"]].concat(), "{model}");
    }
}

#[test]
fn a_client_that_fails_prints_the_reason_in_one_line_and_exits_with_1() {
    // Bound but not listening, so that no other process takes the port.
    let closed = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    closed.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = closed.local_addr().unwrap().as_socket().unwrap();
    for service in ["message", "reply"] {
        let run = run(loopline().args(["client", &format!("{service}={address}"), "hi"]));
        assert_eq!(
            run.failure(),
            format!("loopline: {service}={address}: connection refused: is the server running?")
        );
    }
    let run = run_words("client message=nosuch.invalid:1 hi");
    assert!(run.failure().starts_with("loopline: message=nosuch.invalid:1: cannot resolve the host: "));

    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let run = run_words(&format!("client month={address} 5 --timeout 100ms --retries 1"));
    assert_eq!(run.failure(), format!("loopline: month={address}: no answer after 2 tries in 100ms"));

    let server = Server::start("message=0 --max-connections 1 --max-message 12");
    let message = endpoint(&server, "message");
    let run = client(&server, "message", &["short", "much too long"]);
    assert_eq!(run.stdout, format!("{ACKNOWLEDGEMENT}\n"), "replies before the failure are printed");
    let why = "the server refused: the header announces 13 bytes, the limit is 12";
    assert_eq!(run.failure(), format!("loopline: {message}: {why}"));
    let inside = eventually("the client before has left", || {
        let mut inside = server.connect("message");
        inside.try_send(&frame("inside")).ok()?;
        (inside.receive_frame() == ACKNOWLEDGEMENT).then_some(inside)
    });
    let why = "the server refused: the server is full, it serves 1 connections";
    assert_eq!(client(&server, "message", &["hi"]).failure(), format!("loopline: {message}: {why}"));
    drop(inside);
    server.stop_cleanly();
}

#[test]
fn a_terminal_is_prompted_and_control_d_ends_the_client() {
    let server = Server::start("message=0 month=0");
    // A dumb terminal has no editing, as in the minimal build.
    for (terminal, service, typed, reply) in [
        ("xterm", "message", "hello", ACKNOWLEDGEMENT),
        ("xterm", "month", "5", "May"),
        ("dumb", "message", "hello", ACKNOWLEDGEMENT),
    ] {
        let mut client = Typist::start(terminal, &server, service);
        for _ in 0..2 {
            client.types(&format!("{typed}\r"), reply);
        }
        client.ends_with('d');
    }
    let messages = ["hello", "hello", "Disconnect !"];
    assert_eq!(server.stop_cleanly().messages(), [messages, messages].concat());
}

#[test]
fn a_line_on_a_terminal_can_be_edited_discarded_and_recalled() {
    const UP: &str = "\x1b[A";
    const LEFT: &str = "\x1b[D";
    let server = Server::start("message=0");
    let mut client = Typist::start("xterm", &server, "message");
    client.types("first\r", ACKNOWLEDGEMENT);
    client.types(&format!("secnd{LEFT}{LEFT}o\r"), ACKNOWLEDGEMENT);
    client.types(&format!("{UP}{UP}\r"), ACKNOWLEDGEMENT);
    client.types("discarded\x03kept\r", ACKNOWLEDGEMENT);
    client.ends_with('c');
    // Another conversation has a history of its own.
    let mut client = Typist::start("xterm", &server, "message");
    client.types(&format!("{UP}new\r"), ACKNOWLEDGEMENT);
    client.ends_with('d');
    let messages = ["first", "second", "first", "kept", "Disconnect !", "new", "Disconnect !"];
    assert_eq!(server.stop_cleanly().messages(), messages);
}

#[test]
fn the_prompt_is_not_written_to_standard_output() {
    let server = Server::start("message=0");
    let folder = tempfile::tempdir().unwrap();
    let replies = folder.path().join("replies");
    let mut command = Command::new("sh");
    let script = format!("exec \"$@\" >'{}'", replies.display());
    command.args([
        "-c",
        &script,
        "sh",
        env!("CARGO_BIN_EXE_loopline"),
        "client",
        &endpoint(&server, "message"),
    ]);
    let mut client = Typist::spawn("xterm", command);
    // The reply is in the file; the next prompt follows it.
    client.types("hello\r", "\n");
    client.ends_with('d');
    assert_eq!(std::fs::read_to_string(replies).unwrap(), format!("{ACKNOWLEDGEMENT}\n"));
    server.stop_cleanly();
}

/// A client on a terminal.
struct Typist(rexpect::session::PtySession);

impl Typist {
    fn start(terminal: &str, server: &Server, service: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loopline"));
        command.args(["client", &endpoint(server, service)]);
        Self::spawn(terminal, command)
    }

    fn spawn(terminal: &str, mut command: Command) -> Self {
        command.env("TERM", terminal);
        let timeout_ms = u64::try_from(common::WAIT_MAX.as_millis()).ok();
        let mut session = rexpect::session::spawn_command(command, timeout_ms).unwrap();
        session.exp_string("> ").unwrap();
        Self(session)
    }

    /// Types `keys` at a prompt, and waits for `reply` and the next prompt.
    fn types(&mut self, keys: &str, reply: &str) {
        self.0.send(keys).unwrap();
        self.0.flush().unwrap();
        self.0.exp_string(reply).unwrap();
        self.0.exp_string("> ").unwrap();
    }

    /// Types a control character, at which the client ends.
    fn ends_with(&mut self, control: char) {
        self.0.send_control(control).unwrap();
        self.0.exp_eof().unwrap();
        let status = format!("{:?}", self.0.process().wait().unwrap());
        assert!(status.starts_with("Exited(") && status.ends_with(", 0)"), "{status}");
    }
}

#[test]
fn a_client_that_is_connected_to_its_own_port_reports_that_nothing_listens_there() {
    in_namespace(
        a_client_that_is_connected_to_its_own_port_reports_that_nothing_listens_there,
        Network::Loopback,
        || {
            // The only port that the system can assign is the one that is asked for.
            std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40000").unwrap();
            for service in ["message", "month"] {
                let endpoint = format!("{service}=127.0.0.1:40000");
                let run_of_client = run(loopline().args(["client", &endpoint, "5"]));
                let reason = "connection refused: nothing listens there, the connection had reached itself";
                assert_eq!(run_of_client.failure(), format!("loopline: {endpoint}: {reason}"));
                let load = run(loopline().args(["load", &endpoint, "-c", "1", "-d", "100ms"])).failure();
                // It may choose a source port by itself, which is another one.
                let reasons = ["nothing listens there", "Connection refused"];
                assert!(reasons.iter().any(|reason| load.contains(reason)), "{load}");
            }
        },
    );
}
