//! The parsers of the full and the minimal build agree on every option of `serve`.

use super::full;
use super::minimal::{self, Command};
use crate::server::options::ServeOptions;
use crate::service::ALL;

fn minimal_options(arguments: &[&str]) -> Result<ServeOptions, String> {
    let arguments = ["serve"].iter().chain(arguments);
    match minimal::parse(std::iter::empty(), lexopt::Parser::from_args(arguments)) {
        Ok(Command::Serve(options, _)) => Ok(*options),
        Ok(Command::Print(text)) => panic!("prints {text}"),
        Err(error) => Err(error.to_string()),
    }
}

const GOOD: &[&[&str]] = &[
    &[],
    &["message"],
    &["message=0", "message=[::1]:0", "month=0.0.0.0:8091", "daytime=localhost:9999"],
    &["--model", "loop"],
    &["--model=threads"],
    &["--journal", "-"],
    &["--journal", "none"],
    &["--journal", "/tmp/journal"],
    &["--ack", "received"],
    &["--ack", "written"],
    &["--ack=synced"],
    &["--max-connections", "1"],
    &["--max-per-source", "3"],
    &["--max-message", "64KiB"],
    &["--max-message=12"],
    &["--max-memory", "64MiB"],
    &["--max-message", "12", "--max-memory", "2MiB"],
    &["--ack", "synced", "--journal", "-"],
    &["--ack", "written", "--journal", "none"],
    &["--frame-timeout", "250ms", "--idle-timeout", "5m", "--write-timeout", "off"],
    &["--drain-timeout", "1h"],
    &["--frame-timeout", "30", "--idle-timeout", "5", "--drain-timeout", "7"],
    &["--thread-stack", "64KiB"],
    &["--model", "threads", "--thread-stack=2MiB"],
    &["--backlog", "65535"],
    &["--reuse-port"],
    &["--preallocate", "--max-connections", "10"],
    &["message+proxy", "daytime+proxy=[::1]:0", "month"],
    &["--proxy-protocol"],
    &["--metrics", "9464"],
    &["--metrics=[::1]:0", "--drain-delay", "5s"],
    &["--metrics", "metrics.example:9464", "--drain-delay=0"],
    &["--journal-format", "text"],
    &["--journal-format=json"],
    &["--max-sessions", "9", "--session-timeout", "1d"],
    &["--udp-replies", "1"],
    &["--udp-replies", "1000000"],
    &["--udp-replies=off"],
    &["message=1", "--reuse-port", "reply=2"],
    &["--sandbox", "auto"],
    &["--sandbox=off", "--user", "nobody"],
    &["--sandbox", "on", "--user=1000:daemon"],
    &["--log", "debug"],
    &["--", "message"],
];

const BAD: &[&[&str]] = &[
    &["echo"],
    &["message=65536"],
    &["message+prxy"],
    &["month+proxy"],
    &["--proxy-protocol=maybe"],
    &["--metrics", "0.0.0.0"],
    &["--metrics", "::1:9464"],
    &["--drain-delay", "off"],
    &["--journal-format", "xml"],
    &["message=::1:1"],
    &["--model", "processes"],
    &["--ack", "never"],
    &["--max-connections", "0"],
    &["--max-connections", "many"],
    &["--max-per-source", "0"],
    &["--thread-stack", "17179869183GiB"],
    &["--max-message", "1MB"],
    &["--max-message", "0"],
    &["--max-message", "11B"],
    &["--max-message", "-1"],
    &["--max-memory", "off"],
    &["--ack", "synced", "--journal", "none"],
    &["--preallocate"],
    &["--preallocate=perhaps", "--max-connections", "10"],
    &["--preallocate", "--max-connections", "10", "--model", "threads"],
    &["--preallocate", "--max-connections", "10", "--metrics", "0"],
    &["--frame-timeout", "0"],
    &["--frame-timeout", "-5s"],
    &["--drain-timeout", "off"],
    &["--thread-stack", "16KiB"],
    &["--thread-stack", "big"],
    &["--backlog", "0"],
    &["--backlog", "65536"],
    &["--session-timeout", "25d"],
    &["--udp-replies", "0"],
    &["--udp-replies", "1000001"],
    &["--udp-replies", "on"],
    &["--sandbox", "yes"],
    &["--log", "loud"],
    &["--journal"],
    &["--no-such-option"],
    &["-x"],
];

#[test]
fn both_parsers_read_the_same_options() {
    for arguments in GOOD {
        let clap = full::serve_options(arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        let lexopt = minimal_options(arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        assert_eq!(format!("{clap:?}"), format!("{lexopt:?}"), "{arguments:?}");
    }
}

#[test]
fn both_parsers_reject_the_same_arguments_and_name_the_wrong_value() {
    for arguments in BAD {
        let wrong = arguments.last().unwrap();
        for (parser, outcome) in
            [("clap", full::serve_options(arguments)), ("lexopt", minimal_options(arguments))]
        {
            let error = outcome.expect_err(&format!("{parser} accepts {arguments:?}"));
            assert!(error.contains(wrong) || error.contains("expected"), "{parser}, {arguments:?}: {error}");
        }
    }
}

#[test]
fn a_negative_number_is_a_wrong_value_and_not_an_unknown_option() {
    for option in ["--metrics", "--udp-replies", "--max-connections", "--drain-delay", "--max-message"] {
        let error = full::serve_options(&[option, "-1"]).unwrap_err();
        assert!(error.contains(&format!("invalid value '-1' for '{option} ")), "{error}");
    }
}

#[test]
fn arguments_take_precedence_over_the_environment() {
    let parse = |arguments: &[&str]| {
        let environment = [
            ("max-message", "2KiB".into()),
            ("reuse-port", "true".into()),
            ("preallocate", "true".into()),
            ("max-connections", "10".into()),
        ];
        let arguments = ["serve"].iter().chain(arguments);
        minimal::parse(environment.into_iter(), lexopt::Parser::from_args(arguments)).unwrap()
    };
    let Command::Serve(options, _) = parse(&[]) else { panic!("it serves") };
    assert_eq!((options.message_bytes_max, options.sockets.reuse_port), (2048, true));
    assert_eq!((options.connections_max, options.preallocate), (Some(10), true));
    let Command::Serve(options, _) = parse(&["--max-message", "1KiB"]) else { panic!("it serves") };
    assert_eq!(options.message_bytes_max, 1024);
}

#[test]
fn each_option_has_a_variable_of_its_command() {
    let program = full::program();
    let mut checked = 0;
    for (prefix, command) in program
        .get_subcommands()
        .map(|command| (format!("LOOPLINE_{}_", command.get_name().to_uppercase()), command))
        .chain([("LOOPLINE_".into(), &program)])
    {
        for (option, name) in command.get_arguments().filter_map(|option| Some((option, option.get_long()?)))
        {
            let variable = prefix.clone() + &name.to_uppercase().replace('-', "_");
            let found = option.get_env().map(|variable| variable.to_str().unwrap());
            // A list of logs replaces the target, which is no option either.
            let expected = (name != "merge").then_some(variable.as_str());
            assert_eq!(found, expected, "--{name} of {}", command.get_name());
            if command.get_name() == "serve" || name == "log" {
                assert_eq!(found, Some(minimal::variable(name).as_str()));
            }
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn an_invalid_value_of_the_environment_is_reported_with_its_variable() {
    let environment = std::iter::once(("backlog", "0".into()));
    let error = minimal::parse(environment, lexopt::Parser::from_args(["serve"])).unwrap_err();
    assert!(error.to_string().starts_with("invalid value '0' for 'LOOPLINE_SERVE_BACKLOG': "), "{error}");
}

#[test]
fn both_help_texts_list_the_same_options_and_every_service() {
    let Command::Print(help) =
        minimal::parse(std::iter::empty(), lexopt::Parser::from_args(["--help"])).unwrap()
    else {
        panic!("it prints")
    };
    let clap = full::serve_options(&["--help"]).unwrap_err();
    let options = |help: &str| {
        let mut options: Vec<String> =
            help.split_whitespace().filter(|word| word.starts_with("--")).map(str::to_owned).collect();
        options.iter_mut().for_each(|option| *option = option.trim_end_matches(',').to_owned());
        options.sort();
        options.dedup();
        options.retain(|option| option != "--version");
        options
    };
    assert_eq!(options(&help), options(&clap));
    for service in ALL {
        assert!(help.contains(service.name), "{} in {help}", service.name);
        assert!(clap.contains(&format!("\n  {} ", service.name)), "{} in {clap}", service.name);
        assert!(clap.contains(service.summary()), "{} in {clap}", service.name);
    }
}
