//! What `doctor` predicts, held against what happens, and what scripts see of it.

mod common;

use std::process::{Command, Output, Stdio};

use common::{ACKNOWLEDGEMENT, Peer, Serve, loopline};
use serde_json::Value;

/// All five services, which is what the prediction is about.
const ALL_SERVICES: &str = "message=0 greeting=0 daytime=0 reply=0 month=0";

/// A hard limit that any shell may set.
const LOW: &str = "ulimit -n 300";

/// `loopline doctor` with `arguments`, started by a shell that has run `script`.
fn doctor_after(script: &str, arguments: &str) -> Output {
    let program = loopline();
    let mut shell = Command::new("sh");
    for (name, _) in program.get_envs() {
        shell.env_remove(name);
    }
    shell.args(["-c", &format!("{script} && exec \"$@\""), "sh"]).arg(program.get_program()).arg("doctor");
    shell.args(arguments.split_whitespace()).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The verdict of `doctor` on `role`.
fn verdict_after(script: &str, arguments: &str, role: &str) -> Value {
    let output = doctor_after(script, &format!("{arguments} --json -"));
    let result: Value = serde_json::from_slice(&output.stdout).expect("standard output is JSON");
    let verdict = result["verdicts"][role].clone();
    assert!(verdict["connections"].is_u64(), "{result}");
    verdict
}

#[test]
fn as_many_are_served_as_it_says_and_the_next_is_refused() {
    for (model, role) in [("loop", "serve"), ("threads", "serve_threads")] {
        let verdict = verdict_after(LOW, "", role);
        assert_eq!(verdict["limited_by"], "descriptors of a process");
        let predicted = usize::try_from(verdict["connections"].as_u64().unwrap()).unwrap();

        let arguments = format!("{ALL_SERVICES} --journal none --model {model}");
        let server = Serve::under(&format!("{LOW}; exec \"$@\""), &arguments).start();
        let mut peers: Vec<Peer> = (0..predicted).map(|_| server.connect("message")).collect();
        peers.iter_mut().for_each(|peer| peer.say("inside"));
        let refusal = server.connect("message").receive_frame();
        assert_eq!(refusal, format!("Error: the server is full, it serves {predicted} connections"));

        // One leaves, and there is room for one.
        let gone = peers.pop().unwrap();
        drop(gone);
        common::eventually("there is room again", || {
            let mut peer = server.connect("message");
            peer.try_send(&common::frame("in its place")).ok()?;
            (peer.receive_frame() == ACKNOWLEDGEMENT).then_some(())
        });
        server.stop_well();
    }
}

#[test]
fn the_soft_limit_does_not_count_for_it_is_raised() {
    let low = verdict_after(LOW, "--connections 400", "serve");
    assert_eq!(low["fits"], false);
    let raisable = "ulimit -S -n 300 && ulimit -H -n 600";
    let verdict = verdict_after(raisable, "--connections 400", "serve");
    assert_eq!((&verdict["fits"], &verdict["lifts"]), (&true.into(), &Value::Array(vec![])));
    let predicted = verdict["connections"].as_u64().unwrap();
    assert!(predicted > low["connections"].as_u64().unwrap() && predicted < 600);

    let server = Serve::under(&format!("{raisable}; exec \"$@\""), ALL_SERVICES).start();
    let mut peers: Vec<Peer> = (0..predicted).map(|_| server.connect("message")).collect();
    peers.iter_mut().for_each(|peer| peer.say("inside"));
    assert!(server.connect("message").receive_frame().starts_with("Error: "));
    server.stop_well();
}

#[test]
fn the_command_for_descriptors_lifts_them_or_it_says_that_it_is_refused_here() {
    let before = verdict_after(LOW, "--connections 400", "serve");
    let lift = &before["lifts"][0];
    let command = lift["commands"][0].as_str().unwrap();
    assert_eq!(lift["limit"], "descriptors of a process");
    if command.starts_with("sudo ") {
        assert!(command.contains("--nofile=512:512"), "{command}");
        return eprintln!("NOT OBEYED, for want of privileges: {command}");
    }
    let obeyed = format!("{LOW} && {command}");
    if doctor_after(&obeyed, "").status.success() {
        assert_eq!(verdict_after(&obeyed, "--connections 400", "serve")["fits"], true);
    } else {
        assert!(lift["advice"].as_str().unwrap().contains("CAP_SYS_RESOURCE"), "{lift}");
    }
}

#[test]
fn the_command_for_ports_lifts_them() {
    let narrow = "sysctl -q -w net.ipv4.ip_local_port_range='40000 40099'";
    let Some(before) = beyond_in_its_own_network(narrow) else {
        return eprintln!("NOT OBEYED: no network of its own can be had to try it in");
    };
    assert_eq!((&before["connections"], &before["fits"]), (&100.into(), &false.into()));
    let command = before["lifts"][0]["commands"][0].as_str().unwrap();
    let after = beyond_in_its_own_network(&format!("{narrow} && {command} >&2")).unwrap();
    assert_eq!(after["fits"], true, "{after}");
}

/// The verdict on driving 200 connections beyond loopback in a network whose settings `script` may change,
/// where the system allows to make one.
fn beyond_in_its_own_network(script: &str) -> Option<Value> {
    let mut unshare = Command::new("unshare");
    let script = format!("{script} && \"$0\" doctor --connections 200 --json -");
    unshare.args(["--map-root-user", "--net", "sh", "-c"]).arg(script).arg(loopline().get_program());
    let output = unshare.stdin(Stdio::null()).output().ok()?;
    let result: Value = serde_json::from_slice(&output.stdout).ok()?;
    Some(result["verdicts"]["drive_beyond"].clone())
}

#[test]
fn the_exit_status_tells_whether_all_fit() {
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
    assert!(text(&too_many.stdout).contains("512\n"), "there is a command that lifts it");

    assert!(doctor_after(LOW, "").status.success(), "nothing was asked for");
}

#[test]
fn the_result_is_text_for_people_and_json_for_scripts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result.json");
    let output = doctor_after(LOW, &format!("--json {}", file.display()));
    assert!(output.status.success());
    assert!(text(&output.stdout).starts_with("limit "), "{}", text(&output.stdout));
    assert!(!text(&output.stdout).contains('\x1b'));
    let result: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(result["loopline"], env!("CARGO_PKG_VERSION"));
    assert_eq!(result["asked"], Value::Null);
    assert_eq!(result["limits"][0]["allows"]["drive"], 268);

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
    for said in
        ["--connections <N>", "[env: LOOPLINE_CONNECTIONS=]", "--json <FILE|->", "[env: LOOPLINE_JSON=]"]
    {
        assert!(help.contains(said), "{help}");
    }
    assert!(help.contains("Exit status: 0 the connections fit"), "{help}");
}

#[test]
fn wrong_usage_exits_with_2() {
    for (arguments, said) in [
        ("--connections 0", "it must be at least 1"),
        ("--connections many", "expected a whole number"),
        ("--connections -5", "'-5'"),
        ("--connections", "a value is required"),
        ("message", "unexpected argument 'message'"),
    ] {
        let output = doctor_after("true", arguments);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""), "{arguments}");
        assert!(text(&output.stderr).contains(said), "{arguments}: {}", text(&output.stderr));
    }
}
