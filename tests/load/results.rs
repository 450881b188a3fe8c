//! Where the result is written, and the exit status.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::common::{WAIT_MAX, eventually};
use crate::running::{
    Running, assert_adds_up, assert_counts, assert_due, command, count, number, result, run, run_with,
};
use crate::schema;
use crate::scripted::{Scripted, read_to_the_end, serve};

#[test]
fn merged_logs_are_the_sum_of_their_runs() {
    let server = serve("message=0");
    let address = server.address("message");
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a.hlog", "b.hlog", "sum.hlog"].map(|name| folder.path().join(name));
    let acknowledged: u64 = paths[..2]
        .iter()
        .map(|path| {
            let arguments = format!("message={address} -c 2 -d 1100ms -r 300 --json -");
            let result = run(command(&arguments).arg("--histogram").arg(path)).result(0);
            count(&result, "messages/acknowledged")
        })
        .sum();
    assert!(acknowledged > 0);
    let merged = run(command("--merge").args(&paths[..2]).arg("--histogram").arg(&paths[2]));
    assert_eq!((merged.status, merged.stderr.as_str()), (Some(0), ""));
    let again = run(command("--merge").arg(&paths[2]));
    for text in [&merged.stdout, &again.stdout] {
        for tag in ["response", "service", "lag"] {
            let line = text.lines().find(|line| line.starts_with(tag)).expect("each has a line");
            assert_eq!(line.split_whitespace().last(), Some(&*acknowledged.to_string()), "{text}");
        }
    }

    let bad = folder.path().join("bad.hlog");
    fs::write(&bad, "no log\n").unwrap();
    let line = run(command("--merge").arg(&paths[0]).arg(&bad));
    assert_eq!(
        line.line(1),
        format!("loopline: {}: line 1: the line is not of a histogram log", bad.display())
    );
    assert_eq!(line.stdout, "");
    let missing = run(command("--merge").arg(folder.path().join("missing.hlog")));
    assert!(missing.line(1).ends_with("missing.hlog: No such file or directory (os error 2)"), "{missing:?}");
    server.stop_cleanly();
}

/// The histogram log of a short run in an open loop, in `folder`.
fn log_of_a_run(folder: &Path) -> PathBuf {
    let server = serve("message=0");
    let path = folder.join("a.hlog");
    let arguments = format!("message={} -c 2 -d 300ms -r 100 --histogram", server.address("message"));
    assert_eq!(run(command(&arguments).arg(&path)).status, Some(0));
    server.stop_cleanly();
    path
}

#[test]
fn a_log_that_would_count_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of_a_run(folder.path());
    let [link, copy] = ["link.hlog", "copy.hlog"].map(|name| folder.path().join(name));
    fs::hard_link(&log, &link).unwrap();
    fs::copy(&log, &copy).unwrap();
    let (name, sum) = (log.display(), folder.path().join("sum.hlog"));
    for (second, problem) in [
        (&log, format!("{name}: the log is given twice")),
        (&link, format!("{}: the same file as {name}, so its samples would count twice", link.display())),
        (&copy, format!("{}: a copy of {name}, so its samples would count twice", copy.display())),
    ] {
        let run = run(command("--merge").args([&log, second]).arg("--histogram").arg(&sum));
        assert_eq!((run.line(2), run.stdout.as_str()), (format!("loopline: {problem}").as_str(), ""));
        assert!(!sum.exists());
    }
}

#[test]
fn a_log_without_intervals_fails_the_merge() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of_a_run(folder.path());
    let empty = folder.path().join("empty.hlog");
    let text = fs::read_to_string(&log).unwrap();
    let header = text.split_once("Tag=").expect("it has intervals").0;
    for (content, problem) in [("", "the file is empty"), (header, "the log has no complete interval")] {
        fs::write(&empty, content).unwrap();
        let problem = format!("loopline: {}: {problem}", empty.display());
        let alone = run(command("--json - --merge").arg(&empty));
        assert_eq!((alone.line(1), alone.stdout.as_str()), (problem.as_str(), ""));
        // The others are merged.
        let run = run(command("--json - --merge").args([&log, &empty]));
        assert_eq!(run.line(1), problem);
        let result: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(result["missing"], json!([problem.strip_prefix("loopline: ")]));
    }
}

#[test]
fn merged_latencies_are_written_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let (log, json) = (log_of_a_run(folder.path()), folder.path().join("merged.json"));
    let to_stdout = run(command("--json - --merge").arg(&log));
    let to_file = run(command("--merge").arg(&log).arg("--json").arg(&json));
    assert_eq!((to_stdout.status, to_file.status), (Some(0), Some(0)), "{to_stdout:?} {to_file:?}");
    assert!(to_file.stdout.contains("of 1 log over "), "{}", to_file.stdout);
    let [result, in_file] = [to_stdout.stdout, fs::read_to_string(&json).unwrap()].map(|text| {
        let mut result: Value = serde_json::from_str(&text).unwrap();
        schema::assert_is("MergeRecord", &result);
        result.as_object_mut().unwrap().remove("run").unwrap();
        result
    });
    assert_eq!(result, in_file);
    assert_counts(
        &result,
        &[("logs", 1), ("latency_us/service/count", count(&result, "latency_us/response/count"))],
    );
    assert!(result["schedule_lag_us"]["max"].is_f64(), "{result}");
}

#[test]
fn thresholds_apply_to_merged_latencies() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of_a_run(folder.path());
    let merge = |thresholds: &str| run(command(thresholds).arg("--merge").arg(&log));
    let fine = merge("--fail-if p50>100s --fail-if lag_max>100s");
    assert_eq!((fine.status, fine.stderr.as_str()), (Some(0), ""));
    let broken = merge("--fail-if service_max>0us --fail-if p99>100s");
    let lines: Vec<&str> = broken.stderr.lines().collect();
    assert_eq!((broken.status, lines.len()), (Some(3), 2), "{broken:?}");
    assert!(lines[0].starts_with("loopline: --fail-if service_max>0us: service_max is "), "{lines:?}");
    assert!(lines[1].ends_with(": p99 is unknown: there are too few samples, so it may be over 100s"));
    assert!(broken.stdout.contains("of 1 log over "), "{}", broken.stdout);
    let unknown = run(command("--fail-if p99>100s --json - --merge").arg(&log));
    let result: Value = serde_json::from_str(&unknown.stdout).unwrap();
    let judged = json!([{"expression": "p99>100s", "value": null, "met": false}]);
    assert_eq!(result["thresholds"], judged);
    let refused = merge("--fail-if errors>0");
    let problem =
        "loopline: --fail-if errors>0: a histogram log has only response, service, lag and connect times";
    assert_eq!((refused.line(2), refused.stdout.as_str()), (problem, ""));
}

#[test]
fn the_result_is_also_written_to_files() {
    let server = serve("message=0");
    let endpoint = format!("message={}", server.address("message"));
    let folder = tempfile::tempdir().unwrap();
    let [page, json] = ["run.html", "run.json"].map(|name| folder.path().join(name));
    // A longer file is truncated.
    fs::write(&json, "x".repeat(100_000)).unwrap();
    let arguments = format!("{endpoint} -c 2 -d 200ms");
    let run = run(command(&arguments).arg("--report").arg(&page).arg("--json").arg(&json));
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
    assert!(run.stdout.starts_with(&format!("{endpoint}, closed loop, ")), "{}", run.stdout);
    assert!(
        ["connections ", "messages ", "rate ", "latency ", "response "]
            .iter()
            .all(|name| run.stdout.contains(&format!("\n{name}")))
    );
    let page = fs::read_to_string(&page).unwrap();
    assert!(page.starts_with("<!") && page.contains(&endpoint) && page.trim_end().ends_with("</html>"));
    assert_adds_up(&serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap());
    server.stop_cleanly();
}

#[test]
fn every_second_is_written_as_json() {
    let server = serve("message=0");
    let arguments = format!("message={} -c 2 -d 2100ms -r 100", server.address("message"));
    let result = result(&arguments);
    let seconds = result["seconds"].as_array().unwrap();
    assert!(seconds.len() >= 3, "{seconds:?}");
    for key in ["sent", "answered"] {
        let sum: u64 = seconds.iter().map(|second| number(&second[key])).sum();
        assert_eq!(sum, count(&result, "messages/sent"), "{key}: {seconds:?}");
    }
    server.stop_cleanly();
}

#[test]
fn a_file_that_cannot_be_created_is_an_error_before_the_run() {
    let server = Scripted::new(|stream, _| read_to_the_end(&stream));
    for option in ["--report", "--json", "--histogram"] {
        let arguments = format!("message={} -d 30s {option} /nosuch/file", server.address);
        let message = "loopline: /nosuch/file: cannot be written: No such file or directory (os error 2)";
        let run = run_with(&arguments);
        assert_eq!((run.line(1), run.stdout.as_str()), (message, ""));
    }
    assert_eq!(server.accepted(), 0);
}

#[test]
fn an_error_of_writing_a_result_is_reported() {
    let server = serve("message=0");
    for option in ["--report", "--json", "--histogram"] {
        let arguments = format!("message={} -c 1 -d 200ms {option} /dev/full", server.address("message"));
        let run = run_with(&arguments);
        let message = "loopline: /dev/full: cannot be written: No space left on device (os error 28)";
        assert_eq!(run.line(1), message);
    }
    server.stop_cleanly();
}

#[test]
fn an_output_that_is_an_input_or_another_output_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of_a_run(folder.path());
    let before = fs::read(&log).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&log, &link).unwrap();
    for option in ["--json", "--report", "--histogram"] {
        for path in [&log, &link] {
            let refused = run(command("--merge").arg(&log).arg(option).arg(path));
            let (path, log) = (path.display(), log.display());
            let problem = format!("loopline: {option} {path}: would overwrite {log}, which is read");
            assert_eq!((refused.line(2), refused.stdout.as_str()), (problem.as_str(), ""));
        }
    }
    assert_eq!(fs::read(&log).unwrap(), before);
    let server = Scripted::new(|stream, _| read_to_the_end(&stream));
    let arguments = format!("message={} -d 30s --json", server.address);
    let refused = run(command(&arguments).arg(&link).arg("--histogram").arg(&log));
    let problem = format!("loopline: --histogram {}: the same file as that of --json", log.display());
    assert_eq!(refused.line(2), problem);
    assert_eq!((fs::read(&log).unwrap(), server.accepted()), (before, 0));
}

#[test]
fn a_usage_error_does_not_overwrite_files() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("precious.hlog");
    fs::write(&log, "precious").unwrap();
    let run = run(command("message --pipeline 2 --rate 5 --histogram").arg(&log));
    assert_eq!(run.status, Some(2));
    assert_eq!(fs::read_to_string(&log).unwrap(), "precious");
}

#[test]
fn an_exceeded_threshold_exits_with_3_and_is_named() {
    let server = serve("message=0");
    let address = server.address("message");
    let arguments = format!("message={address} -c 2 -d 300ms -r 100");
    let fine = run_with(&format!("{arguments} --fail-if errors>0 --fail-if rate<1 --fail-if p50>10s"));
    assert_eq!((fine.status, fine.stderr.as_str()), (Some(0), ""));
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("broken.json");
    let failing = "--fail-if opened<3 --fail-if errors>0 --fail-if rate<1000000,max>0us";
    let broken = run(command(&format!("{arguments} {failing} --json")).arg(&json));
    assert_eq!(broken.status, Some(3));
    let result: Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(result["thresholds"][0], json!({"expression": "opened<3", "value": 2.0, "met": false}));
    assert_eq!(result["thresholds"][1], json!({"expression": "errors>0", "value": 0.0, "met": true}));
    assert_eq!(result["thresholds"].as_array().unwrap().len(), 4);
    let lines: Vec<&str> = broken.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0], "loopline: --fail-if opened<3: opened is 2, under 3");
    assert!(lines[1].starts_with("loopline: --fail-if rate<1000000: rate is "), "{lines:?}");
    assert!(lines[2].starts_with("loopline: --fail-if max>0us: max is "), "{lines:?}");
    // The result is printed all the same.
    assert!(broken.stdout.contains(" acknowledged"), "{}", broken.stdout);
    server.stop_cleanly();
}

#[test]
fn a_usage_error_exits_with_2_and_names_the_option() {
    for (arguments, message) in [
        ("", "required arguments were not provided"),
        ("hold", "hold needs a port: hold=[HOST:]PORT"),
        ("echo", "expected hold, tcp, udp or one of message, greeting, daytime, reply, month"),
        ("message=0", "cannot connect to port 0"),
        ("message -c 0", "expected a whole number from 1 to"),
        ("message -d 0", "'0' for '--duration"),
        ("message -r 0", "expected a whole number from 1 to"),
        ("message --active 0", "--active 0 requires --heartbeat"),
        ("message --active 51", "--active must not exceed --connections"),
        ("message --pipeline 2 --rate 5", "--pipeline requires a closed loop"),
        ("message --arrivals poisson", "--arrivals requires an open loop"),
        ("message --arrivals often -r 5", "[possible values: uniform, poisson]"),
        ("message --size 5MB", "expected a whole number of bytes, or one with a unit (B, KiB, MiB, GiB)"),
        ("message --size 5GiB", "--size is at most 1GiB"),
        ("month --size 5", "--size does not apply to month"),
        ("month --pipeline 13", "--pipeline of month is at most 12"),
        ("month --one-shot", "--one-shot requires TCP"),
        ("greeting --pipeline 2", "--pipeline and --active do not apply"),
        ("greeting --open-rate 5", "--open-rate does not apply"),
        ("reply --size 0", "--size of reply must be from 1 to 1024 bytes"),
        ("hold=127.0.0.1:1 -r 5", "hold sends nothing"),
        ("hold=127.0.0.1:1 --pipeline 2", "hold sends nothing"),
        ("message --source eth0", "'eth0' is neither an address nor a range"),
        ("message --fail-if p95>1ms", "unknown metric 'p95'"),
        ("message --fail-if p99>1", "expected a time such as 800us"),
        ("--merge", "a value is required for '--merge"),
        ("message --merge a.hlog", "cannot be used with"),
        ("--merge a.hlog --rate 5", "--rate does not apply to --merge"),
        ("--merge a.hlog -c 50", "--connections does not apply to --merge"),
        ("--one-shot --merge a.hlog", "--one-shot does not apply to --merge"),
        ("--merge a.hlog --drain-timeout 5s", "--drain-timeout does not apply to --merge"),
        ("message --report -", "--report -: it is written to a file; only --json can be standard output"),
        ("--merge a.hlog --histogram -", "--histogram -: it is written to a file"),
    ] {
        let run = run_with(arguments);
        assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""), "{arguments}: {}", run.stderr);
        assert!(run.stderr.contains(message), "{arguments}: {}", run.stderr);
    }
}

#[test]
fn a_terminal_shows_a_line_each_second_and_the_table_at_the_end() {
    let server = serve("message=0");
    let mut command = command(&format!("message={} -c 3 -r 100 -d 2200ms", server.address("message")));
    command.env("TERM", "xterm");
    let timeout_ms = u64::try_from(WAIT_MAX.as_millis()).ok();
    let mut terminal = rexpect::session::spawn_command(command, timeout_ms).unwrap();
    terminal.exp_regex(r"1(\.\d)?/2\.2 s, 3 open, ").unwrap();
    terminal.exp_regex(r"2(\.\d)?/2\.2 s, 3 open, ").unwrap();
    terminal.exp_string(", errors 0").unwrap();
    terminal.exp_string("connections  3 requested: 3 opened, 0 failed; 0 lost").unwrap();
    terminal.exp_regex(r"\d+ sent: \d+ acknowledged").unwrap();
    terminal.exp_eof().unwrap();
    let status = format!("{:?}", terminal.process().wait().unwrap());
    assert!(status.starts_with("Exited(") && status.ends_with(", 0)"), "{status}");
    server.stop_cleanly();
}

#[test]
fn a_closed_pipe_ends_the_program_without_a_message() {
    let server = serve("message=0");
    for json in ["", "--json -"] {
        let mut child = command(&format!("message={} -c 1 -d 200ms {json}", server.address("message")))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut load = Running { outputs: None, child };
        let status = eventually("the run ends", || load.child.try_wait().unwrap());
        let mut message = String::new();
        load.child.stderr.take().unwrap().read_to_string(&mut message).unwrap();
        assert_eq!((status.code(), message.as_str()), (Some(1), ""));
    }
    server.stop_cleanly();
}

#[test]
fn options_can_be_set_by_the_environment() {
    let server = serve("message=0");
    let address = server.address("message");
    let mut load = command(&format!("message={address}"));
    for (name, value) in
        [("CONNECTIONS", "3"), ("DURATION", "200ms"), ("RATE", "100"), ("SIZE", "5"), ("JSON", "-")]
    {
        load.env(OsStr::new(&format!("LOOPLINE_LOAD_{name}")), value);
    }
    let result = run(&mut load).result(0);
    assert_due(&result, 20);
    assert_counts(&result, &[("connections/asked", 3), ("bytes/sent", count(&result, "messages/sent") * 69)]);
    let options = &result["run"]["options"];
    assert_counts(options, &[("connections", 3), ("rate", 100), ("size_bytes", 5), ("pipeline", 1)]);
    assert_eq!(options["duration_seconds"], 0.2);
    assert_eq!(options["timeout_seconds"], 10.0);
    server.stop_cleanly();
}

#[test]
fn the_result_has_the_command_line_also_if_it_is_not_utf_8() {
    let server = serve("message=0");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(OsStr::from_bytes(b"\xff.json"));
    let endpoint = format!("message={}", server.address("message"));
    let run = run(command(&format!("{endpoint} -c 1 -d 100ms --json")).arg(&path));
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
    let result: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let arguments = result["run"]["command_line"].as_array().unwrap();
    assert_eq!(arguments[1..6], ["load", &endpoint, "-c", "1", "-d"].map(Value::from));
    assert!(arguments.last().unwrap().as_str().unwrap().ends_with("/\u{fffd}.json"), "{arguments:?}");
    server.stop_cleanly();
}
