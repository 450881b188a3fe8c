//! Results of several generators that are merged.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::common::{Clock, eventually};
use crate::running::{Running, assert_counts, command, count, number, real, run};
use crate::schema;
use crate::scripted::serve;

/// The JSON results of short runs, and their histogram logs.
fn results(folder: &Path, names: &[&str]) -> Vec<(PathBuf, PathBuf)> {
    let server = serve("message=0");
    let arguments = format!("message={} -c 2 -d 300ms -r 100", server.address("message"));
    let files = names.iter().map(|name| {
        let [json, log] = ["json", "hlog"].map(|kind| folder.join(format!("{name}.{kind}")));
        let done = run(command(&arguments).arg("--json").arg(&json).arg("--histogram").arg(&log));
        assert_eq!((done.status, done.stderr.as_str()), (Some(0), ""));
        (json, log)
    });
    let files = files.collect();
    server.stop_cleanly();
    files
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The merged result in `text`.
fn merged(text: &str) -> Value {
    let result: Value = serde_json::from_str(text).expect("standard output is JSON");
    schema::assert_is("MergeRecord", &result);
    result
}

#[test]
fn results_and_logs_are_merged_into_one_result() {
    let folder = tempfile::tempdir().unwrap();
    let files = results(folder.path(), &["a", "b", "c"]);
    let [a, b, c] = [&files[0].0, &files[1].0, &files[2].0].map(|path| read(path));
    let page = folder.path().join("page.html");
    let all = command("--json - --fail-if errors>0 --fail-if opened<6 --merge")
        .args(files.iter().map(|(json, _)| json))
        .arg("--report")
        .arg(&page)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(all.status.success(), "{}", String::from_utf8_lossy(&all.stderr));
    let result = merged(&String::from_utf8(all.stdout).unwrap());
    for key in [
        "messages/sent",
        "messages/acknowledged",
        "connections/opened",
        "latency_us/response/count",
        "bytes/sent",
    ] {
        let sum = [&a, &b, &c].iter().map(|of| count(of, key)).sum();
        assert_counts(&result, &[(key, sum)]);
    }
    let rates: f64 = [&a, &b, &c].iter().map(|of| real(&of["messages"]["rate"])).sum();
    assert!((real(&result["messages"]["rate"]) - rates).abs() < 1e-6);
    let seconds = result["seconds"].as_array().unwrap();
    let answered: u64 = seconds.iter().map(|second| number(&second["answered"])).sum();
    assert_eq!(answered, count(&result, "messages/acknowledged"), "{result:#}");
    assert_eq!((&result["results"], &result["logs"], &result["missing"]), (&json!(3), &json!(0), &json!([])));
    let page = fs::read_to_string(page).unwrap();
    for part in ["several generators", ">a<", ">b<", ">c<", ">sum<"] {
        assert!(page.contains(part), "{part}");
    }
    // On a busy machine, a generator may be late.
    assert_eq!(page.contains("Generators ok."), result["valid"] == json!(true));

    // With a log instead of a result, its counts are unknown.
    let mixed = run(command("--json - --fail-if errors>0 --merge").args([&files[0].0, &files[1].1]));
    assert_eq!(mixed.status, Some(3), "{mixed:?}");
    assert!(mixed.stderr.contains("errors is unknown: not every generator has counts"), "{mixed:?}");
    let result = merged(&mixed.stdout);
    assert_counts(&result, &[("messages/sent", count(&a, "messages/sent")), ("logs", 1), ("results", 1)]);
    let samples = count(&a, "latency_us/response/count") + count(&b, "latency_us/response/count");
    assert_counts(&result, &[("latency_us/response/count", samples)]);
    assert_eq!(
        (&result["generators"][1]["finished"], &result["generators"][1]["messages"]),
        (&json!(true), &Value::Null)
    );
}

#[test]
fn a_generator_without_a_result_is_named_and_the_others_are_merged() {
    let folder = tempfile::tempdir().unwrap();
    let files = results(folder.path(), &["a"]);
    let [missing, empty, cut] =
        ["missing.json", "empty.json", "cut.json"].map(|name| folder.path().join(name));
    fs::write(&empty, "").unwrap();
    let text = fs::read_to_string(&files[0].0).unwrap();
    fs::write(&cut, &text[..text.len() / 2]).unwrap();
    let run = run(command("--merge").arg(&files[0].0).args([&missing, &empty, &cut]));
    assert_eq!(run.status, Some(1));
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].ends_with("missing.json: No such file or directory (os error 2)"), "{lines:?}");
    assert!(lines[1].ends_with("empty.json: the file is empty"), "{lines:?}");
    assert!(lines[2].contains("cut.json: the result is incomplete (EOF while parsing"), "{lines:?}");
    assert_eq!(run.stdout.lines().filter(|line| line.starts_with("missing: ")).count(), 3, "{}", run.stdout);
    assert!(run.stdout.contains("counts and rates are those of 1 of 4 generators\n"), "{}", run.stdout);
    assert!(run.stdout.contains("\nmessages     "), "{}", run.stdout);
}

#[test]
fn a_result_and_the_log_of_its_run_are_not_merged() {
    let folder = tempfile::tempdir().unwrap();
    let files = results(folder.path(), &["a"]);
    let (json, log) = &files[0];
    let copy = folder.path().join("copy.json");
    fs::write(&copy, fs::read_to_string(json).unwrap().replace(',', ", ")).unwrap();
    for second in [log, &copy] {
        let run = run(command("--merge").args([json, second]));
        let (second, json) = (second.display(), json.display());
        let line = format!("loopline: {second}: of the same run as {json}, so its samples would count twice");
        assert_eq!((run.line(2), run.stdout.as_str()), (line.as_str(), ""));
    }
    // The sum cannot be merged with its parts.
    let sum = folder.path().join("sum.json");
    assert_eq!(run(command("--merge").arg(json).arg("--json").arg(&sum)).status, Some(0));
    let refused = run(command("--merge").arg(&sum));
    assert!(refused.line(1).ends_with("sum.json: a merged result: name those of its generators instead"));
}

#[test]
fn a_killed_generator_leaves_a_log_that_is_named_as_such() {
    let server = serve("message=0");
    let folder = tempfile::tempdir().unwrap();
    let [log, json] = ["killed.hlog", "whole.json"].map(|name| folder.path().join(name));
    let arguments = format!("message={} -c 2 -r 100 -d", server.address("message"));
    let clock = Clock::start();
    let load = Running::start(command(&format!("{arguments} 1h")).arg("--histogram").arg(&log));
    eventually("the log has two seconds", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        (text.matches("Tag=response").count() >= 2).then_some(())
    });
    drop(load); // It is killed.
    assert!(clock.elapsed().as_secs_f64() >= 1.0);
    assert_eq!(run(command(&format!("{arguments} 200ms --json")).arg(&json)).status, Some(0));
    let run = run(command("--merge").args([&json, &log]));
    assert_eq!(run.status, Some(1), "{}", run.stdout);
    assert!(
        run.stderr.contains("killed.hlog: killed, or still running: its log ends after "),
        "{}",
        run.stderr
    );
    let line = run.stdout.lines().find(|line| line.contains("killed.hlog")).expect("it is named");
    assert!(line.contains("killed, or still running: its log ends after "), "{line}");
    server.stop_cleanly();
}
