//! Load from several hosts, as the guide describes it: GNU parallel starts generators over ssh.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::{self, Network, PROGRAM};
use crate::is_missing;

#[test]
fn four_hosts_drive_a_server_and_the_one_that_is_killed_is_named() {
    if is_missing("parallel") || is_missing("/usr/sbin/sshd") {
        return;
    }
    common::in_namespace(
        four_hosts_drive_a_server_and_the_one_that_is_killed_is_named,
        Network::Loopback,
        check,
    );
}

fn check() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/operations/parallel_ssh.sh");
    let mut hosts = Command::new("timeout");
    hosts.args(["--kill-after=1", "60", "unshare", "--mount", "bash", script, PROGRAM]).arg(folder.path());
    let done = common::output(hosts.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
    let log = fs::read_to_string(at("parallel.log")).unwrap_or_default();
    assert!(done.status.success(), "{done:?} {log}");
    // GNU parallel counts the commands that failed.
    assert_eq!(fs::read_to_string(at("failed")).unwrap(), "1\n", "{log}");

    let merge = |files: [&str; 4], status: i32| -> Value {
        let mut merge = common::loopline();
        let merged = common::output(merge.args(["load", "--json", "-", "--merge"]).args(files.map(at)));
        assert_eq!(merged.status.code(), Some(status), "{merged:?} {log}");
        serde_json::from_slice(&merged.stdout).unwrap()
    };
    let results = merge(["1.json", "2.json", "3.json", "4.json"], 1);
    assert_eq!(
        (&results["results"], &results["connections"]["opened"]),
        (&json!(3), &json!(30)),
        "{results:#}"
    );
    let missing = results["missing"].as_array().unwrap();
    assert!(missing.len() == 1 && missing[0].as_str().unwrap().contains("3.json: "), "{missing:?}");

    // Its log has what it measured before.
    let with_log = merge(["1.json", "2.json", "3.hlog", "4.json"], 1);
    assert_eq!((&with_log["missing"], &with_log["generators"][2]["finished"]), (&json!([]), &json!(false)));
    let samples = |of: &Value| of["latency_us"]["response"]["count"].as_u64().unwrap();
    assert!(samples(&with_log) > samples(&results), "{with_log:#}");
    let hosts: Vec<&str> = results["connections"]["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| of["first"].as_str().unwrap())
        .collect();
    assert_eq!(hosts, ["10.9.0.11", "10.9.0.12", "10.9.0.14"]);
}
