//! `doctor`: its predictions against a real server, its output and its exit status.

mod common;
#[path = "common/schema.rs"]
mod schema;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use common::{ACKNOWLEDGEMENT, PROGRAM, Peer, Serve, loopline_after, output};
use serde_json::Value;

/// All five services, which the prediction assumes.
const ALL_SERVICES: &str = "message=0 greeting=0 daytime=0 reply=0 month=0";

/// A hard limit that any process may set.
const LOW: &str = "ulimit -n 300";

/// Runs `loopline doctor` with `arguments`, in a shell after `script`.
fn doctor_after(script: &str, arguments: &str) -> Output {
    output(loopline_after(script).arg("doctor").args(arguments.split_whitespace()))
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The verdict of `doctor` on `role`.
fn verdict_after(script: &str, arguments: &str, role: &str) -> Value {
    let output = doctor_after(script, &format!("{arguments} --json -"));
    let result: Value = serde_json::from_slice(&output.stdout).expect("standard output is JSON");
    schema::assert_is("DoctorRecord", &result);
    let verdict = result["verdicts"][role].clone();
    assert!(verdict["connections"].is_u64(), "{result}");
    verdict
}

#[test]
fn the_predicted_connections_are_served_and_the_next_is_refused() {
    for (model, role) in [("loop", "serve"), ("threads", "serve_threads")] {
        let verdict = verdict_after(LOW, "", role);
        assert_eq!(verdict["limited_by"], "descriptors of a process");
        let predicted = usize::try_from(verdict["connections"].as_u64().unwrap()).unwrap();

        let arguments = format!("{ALL_SERVICES} --journal none --model {model}");
        let server = Serve::after(LOW, &arguments).start();
        let mut peers: Vec<Peer> = (0..predicted).map(|_| server.connect("message")).collect();
        peers.iter_mut().for_each(|peer| peer.exchange("inside"));
        let refusal = server.connect("message").receive_frame();
        assert_eq!(refusal, format!("Error: the server is full, it serves {predicted} connections"));

        // After one is closed, another is served.
        let gone = peers.pop().unwrap();
        drop(gone);
        common::eventually("there is room again", || {
            let mut peer = server.connect("message");
            peer.try_send(&common::frame("in its place")).ok()?;
            (peer.receive_frame() == ACKNOWLEDGEMENT).then_some(())
        });
        server.stop_cleanly();
    }
}

#[test]
fn the_soft_limit_does_not_count_since_it_is_raised() {
    let low = verdict_after(LOW, "--connections 400", "serve");
    assert_eq!(low["fits"], false);
    let raisable = "ulimit -S -n 300 && ulimit -H -n 600";
    let verdict = verdict_after(raisable, "--connections 400", "serve");
    assert_eq!((&verdict["fits"], &verdict["lifts"]), (&true.into(), &Value::Array(vec![])));
    let predicted = verdict["connections"].as_u64().unwrap();
    assert!(predicted > low["connections"].as_u64().unwrap() && predicted < 600);

    let server = Serve::after(raisable, ALL_SERVICES).start();
    let mut peers: Vec<Peer> = (0..predicted).map(|_| server.connect("message")).collect();
    peers.iter_mut().for_each(|peer| peer.exchange("inside"));
    assert!(server.connect("message").receive_frame().starts_with("Error: "));
    server.stop_cleanly();
}

#[test]
fn the_command_for_descriptors_raises_them_or_names_the_missing_privilege() {
    let before = verdict_after(LOW, "--connections 400", "serve");
    let remedy = &before["lifts"][0];
    let (command, advice) = (remedy["commands"][0].as_str().unwrap(), remedy["advice"].as_str().unwrap());
    assert_eq!(remedy["limit"], "descriptors of a process");
    // Any process may lower its limit to that of the command.
    assert_eq!(verdict_after("ulimit -n 512", "--connections 400", "serve")["fits"], true);
    let status = procfs::process::Process::myself().unwrap().status().unwrap();
    let may_raise = status.capeff >> CAP_SYS_RESOURCE & 1 == 1;
    if may_raise {
        assert_eq!(command, "ulimit -n 512");
        let raised = format!("{LOW} && {command}");
        assert_eq!(verdict_after(&raised, "--connections 400", "serve")["fits"], true);
    } else if status.euid == 0 {
        assert_eq!(command, "ulimit -n 512");
        assert!(advice.contains("CAP_SYS_RESOURCE"), "{advice}");
    } else {
        assert_eq!(command, "sudo prlimit --pid $$ --nofile=512:512");
    }
}

/// The bit of this capability, from `linux/capability.h`.
const CAP_SYS_RESOURCE: u32 = 24;

#[test]
fn the_command_for_ports_raises_them() {
    let few = "sysctl -q -w net.ipv4.ip_local_port_range='40000 40099'";
    if !in_a_network_namespace(few).is_ok_and(|output| output.status.success()) {
        return not_checked("the command for ports, without a network namespace and sysctl");
    }
    let beyond = |script: &str| {
        let output =
            in_a_network_namespace(&format!("{script} && \"$0\" doctor --connections 200 --json -")).unwrap();
        let result: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
        result["verdicts"]["drive_beyond"].clone()
    };
    let before = beyond(few);
    assert_eq!((&before["connections"], &before["fits"]), (&100.into(), &false.into()));
    let command = before["lifts"][0]["commands"][0].as_str().unwrap();
    let after = beyond(&format!("{few} && {command} >&2"));
    assert_eq!(after["fits"], true, "{after}");
}

/// Runs `script` in its own network namespace, with the path of the program as `$0`.
fn in_a_network_namespace(script: &str) -> std::io::Result<Output> {
    let mut unshare = Command::new("unshare");
    unshare.args(["--map-root-user", "--net", "sh", "-c", script]).arg(PROGRAM);
    unshare.stdin(Stdio::null()).output()
}

/// Reports a check that this machine does not allow, or fails with `LOOPLINE_NO_SKIP`, which `.ci/run` sets. The
/// line is written to standard error itself, since the test harness hides what a passing test prints.
fn not_checked(what: &str) {
    assert!(std::env::var_os("LOOPLINE_NO_SKIP").is_none(), "not checked: {what}");
    std::io::stderr().write_all(format!("NOT CHECKED: {what}\n").as_bytes()).unwrap();
}

#[test]
fn the_exit_status_is_0_if_all_fit() {
    let fits = doctor_after(LOW, "--connections 200");
    assert!(fits.status.success(), "{}", text(&fits.stderr));
    assert_eq!(text(&fits.stderr), "");
    assert!(text(&fits.stdout).contains("\nserve: yes, 200 fit; at most 245 (descriptors of a process)\n"));

    let too_many = doctor_after(LOW, "--connections 260");
    assert_eq!(too_many.status.code(), Some(1));
    assert_eq!(
        text(&too_many.stderr),
        "loopline: this machine cannot serve 260 connections, at most 245 (descriptors of a process)\n"
    );
    assert!(
        text(&too_many.stdout).contains("\ndrive: yes, 260 fit; at most 268 (descriptors of a process)\n")
    );
    assert!(text(&too_many.stdout).contains("512\n"), "the command that raises the limit");

    assert!(doctor_after(LOW, "").status.success(), "no connections asked for");
}

#[test]
fn the_result_is_text_or_json() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result.json");
    let output = doctor_after(LOW, &format!("--json {}", file.display()));
    assert!(output.status.success());
    assert!(text(&output.stdout).starts_with("limit "), "{}", text(&output.stdout));
    assert!(!text(&output.stdout).contains('\x1b'));
    // Without --connections, the commands are for a number that the user has not given.
    let examples =
        "\nexamples of raising the lowest limits; --connections N prints the commands for N connections\n";
    assert!(text(&output.stdout).contains(examples), "{}", text(&output.stdout));
    assert!(!text(&doctor_after(LOW, "--connections 9").stdout).contains("examples of"));
    let mut result: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    schema::assert_is("DoctorRecord", &result);
    assert_eq!(result["loopline"], env!("CARGO_PKG_VERSION"));
    assert_eq!(result["asked"], Value::Null);
    assert_eq!(result["limits"][0]["allows"]["drive"], 268);
    result["limits"][0]["undocumented"] = 1.into();
    let error = schema::check("DoctorRecord", &result).unwrap_err();
    assert!(error.contains("'undocumented' not allowed"), "{error}");

    let output = doctor_after(LOW, "--json /nowhere/result.json");
    assert_eq!(output.status.code(), Some(1));
    let why = "loopline: /nowhere/result.json: cannot be written: No such file or directory";
    assert!(text(&output.stderr).starts_with(why), "{}", text(&output.stderr));
}

#[test]
fn help_names_the_options_their_environment_forms_and_the_exit_status() {
    let output = doctor_after("true", "--help");
    assert!(output.status.success());
    let help = text(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in [
        "--connections <N>",
        "[env: LOOPLINE_DOCTOR_CONNECTIONS=]",
        "--json <FILE|->",
        "[env: LOOPLINE_DOCTOR_JSON=]",
    ] {
        assert!(help.contains(expected), "{help}");
    }
    assert!(help.contains("Exit status: 0 the connections fit"), "{help}");
}

#[test]
fn a_usage_error_exits_with_2() {
    for (arguments, expected) in [
        ("--connections 0", "expected a whole number, at least 1"),
        ("--connections many", "expected a whole number"),
        ("--connections -5", "'-5' for '--connections <N>'"),
        ("--connections", "a value is required"),
        ("message", "unexpected argument 'message'"),
    ] {
        let output = doctor_after("true", arguments);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""), "{arguments}");
        assert!(text(&output.stderr).contains(expected), "{arguments}: {}", text(&output.stderr));
    }
}
