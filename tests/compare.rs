//! `compare` as a process: a small comparison, one with a killed server, one that is interrupted.

mod common;
#[path = "common/schema.rs"]
mod schema;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use common::{Clock, PROGRAM, Signal, eventually, loopline, loopline_after};
use rustix::process::{Pid, kill_process};
use serde_json::Value;

/// `loopline compare` with `arguments`, separated by spaces.
fn compare(arguments: &str) -> Command {
    let mut command = loopline();
    command.arg("compare").args(arguments.split_whitespace());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The smallest comparison with every part of the result.
const TINY: &str = "--connections 1,4 --warmup 20ms --repeats 2 --workload all-active,churn";

/// A comparison that does not end by itself.
const ENDLESS: &str = "--connections 2 --duration 200ms --warmup 10ms --repeats 1000 --workload all-active";

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The process ids of the servers that `parent` has started.
fn servers_of(parent: u32) -> Vec<u32> {
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line == format!("PPid:\t{parent}"))
    };
    processes.filter(is_child).collect()
}

/// A server that `parent` has started and that has executed the program.
fn server_of(parent: &Child) -> u32 {
    eventually("a server runs", || {
        let is_serving = |pid: &u32| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&arguments).contains("\0serve\0")
        };
        servers_of(parent.id()).into_iter().find(is_serving)
    })
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // The process may have ended already.
    let _ = kill_process(pid, signal);
}

/// Waits for the end of `child` and checks that its servers have ended.
fn end(mut child: Child) -> Output {
    let id = child.id();
    // A result may be larger than a pipe.
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let mut output = Vec::new();
    stdout.read_to_end(&mut output).unwrap();
    let mut log = Vec::new();
    stderr.read_to_end(&mut log).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(servers_of(id), Vec::<u32>::new());
    Output { status, stdout: output, stderr: log }
}

/// Checks that no process has `mark` in its environment.
fn nothing_is_left_with(mark: &str) {
    let left = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        let environment = fs::read(path.join("environ")).ok()?;
        String::from_utf8_lossy(&environment).contains(mark).then_some(path)
    });
    assert_eq!(left.collect::<Vec<_>>(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_small_comparison_writes_its_results_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let temporary = at("temporary");
    fs::create_dir(&temporary).unwrap();
    let mark = format!("MARK={}", folder.path().display());
    // On a busy machine, a short run may end before its server gets a processor. Then longer runs are needed to
    // measure every cell.
    for milliseconds in [80, 320, 1280] {
        let mut command = compare(&format!("{TINY} --duration {milliseconds}ms"));
        command.arg("--json").arg(at("result.json")).arg("--report").arg(at("result.html"));
        command.arg("--pictures").arg(at("pictures"));
        let output = command.env("TMPDIR", &temporary).env("MARK", folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "");
        nothing_is_left_with(&mark);
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);

        let table = text(&output.stdout);
        assert!(table.starts_with("the machine is "), "{table}");
        for part in ["all-active: all connections active", "churn: ", "CPU/msg", "52 of 52 runs"] {
            assert!(table.contains(part), "{part}: {table}");
        }
        assert!(!table.contains('\x1b'), "{table}");
        is_self_contained(&at("result.html"));
        let picture = fs::read_to_string(at("pictures/all-active-throughput.svg")).unwrap();
        assert!(picture.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""), "{picture}");

        let result: Value = serde_json::from_slice(&fs::read(at("result.json")).unwrap()).unwrap();
        schema::assert_is("CompareRecord", &result);
        is_complete(&result);
        if result["cells"].as_array().unwrap().iter().all(|cell| median(cell, "p50_us").is_some()) {
            verdicts_agree_with_the_cells(&result);
            return every_cell_is_measured(result["cells"].as_array().unwrap());
        }
    }
    panic!(
        "some cells have too few messages for a median, even in long runs: {}",
        fs::read_to_string(at("result.json")).unwrap()
    );
}

fn median(cell: &Value, name: &str) -> Option<f64> {
    cell[name]["median"].as_f64()
}

/// Whether the result of [`TINY`] has all its parts.
fn is_complete(result: &Value) {
    assert_eq!(result["loopline"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&result["done"], &result["interrupted"]), (&result["planned"], &false.into()));
    assert_eq!(result["settings"]["connections"], serde_json::json!([1, 4]));
    let cells = result["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 2 * 2 * 2 * 2, "workloads, connections, loads and models");
    assert!(result["quietness"]["sentence"].as_str().unwrap().starts_with("the machine is "));
    assert_eq!((&result["not_measured"], &result["more_pairs"]), (&serde_json::json!([]), &0.into()));
    for verdict in result["verdicts"].as_array().unwrap() {
        assert!(verdict["sentence"].as_str().unwrap().len() > 10, "{verdict}");
    }
    assert_eq!(result["latency_by_rate"].as_array().unwrap().len(), 2 * 5);
    for law in result["scalability"].as_array().unwrap() {
        assert!(law["sentence"].as_str().unwrap().starts_with("not fitted: "), "of two points: {law}");
    }
}

/// The ratio of the pairs lies between the ratios of the extreme runs.
fn verdicts_agree_with_the_cells(result: &Value) {
    let cells = result["cells"].as_array().unwrap();
    for workload in result["verdicts"].as_array().unwrap() {
        let verdicts = workload["by_connections"].as_array().unwrap();
        assert_eq!(verdicts.len(), 2 * 2, "measures and numbers of connections");
        for verdict in verdicts {
            let of = |model: &str, name: &str, end: &str| {
                let is_wanted = |cell: &&Value| {
                    cell["workload"] == workload["workload"]
                        && cell["connections"] == verdict["connections"]
                        && (&cell["model"], &cell["load"]) == (&model.into(), &"closed".into())
                };
                cells.iter().find(is_wanted).unwrap()[name][end].as_f64().unwrap()
            };
            let (name, better, worse) = match verdict["measure"].as_str().unwrap() {
                "cpu_per_message" => ("cpu_us_per_message", "threads", "loop"),
                "rate" => ("rate", "loop", "threads"),
                other => panic!("{other}"),
            };
            let least = of(better, name, "low") / of(worse, name, "high");
            let most = of(better, name, "high") / of(worse, name, "low");
            let ratio = verdict["ratio"].as_f64().unwrap();
            assert!((least * 0.999..=most * 1.001).contains(&ratio), "{least} to {most}: {verdict}");
            assert_eq!(verdict["pairs"], 2, "{verdict}");
        }
    }
}

fn every_cell_is_measured(cells: &[Value]) {
    for cell in cells {
        let value = |name: &str| median(cell, name).unwrap_or_else(|| panic!("{name}: {cell}"));
        assert_eq!(cell["rate"]["runs"], 2, "{cell}");
        for name in ["rate", "cpu_us_per_message", "p50_us", "user_bytes"] {
            assert!(value(name) > 0.0, "{name}: {cell}");
        }
        assert!((0.0..=1.0).contains(&cell["generator"]["busy"].as_f64().unwrap()), "{cell}");
        assert!(cell["marks"].is_array(), "{cell}");
        let connections = cell["connections"].as_f64().unwrap();
        if cell["workload"] == "all-active" {
            let threads = if cell["model"] == "loop" { 1.0 } else { 3.0 + connections };
            assert!((value("threads") - threads).abs() < 0.1, "{cell}");
            assert_eq!(cell["failed"], 0, "{cell}");
            assert_eq!(cell["opened"].as_f64(), Some(connections), "{cell}");
            // With one connection, the server waits after each reply.
            assert!(connections > 1.0 || value("voluntary_switches") > 0.0, "{cell}");
        }
        let offered = (cell["load"] == "open").then(|| half_of_the_slower_model(cells, cell));
        assert_eq!(cell["offered_rate"].as_u64(), offered, "{cell}");
    }
}

/// The rate of the open loop in the scenario of `cell`, which follows from the closed loop.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
fn half_of_the_slower_model(cells: &[Value], cell: &Value) -> u64 {
    let same = |other: &&Value| {
        other["load"] == "closed"
            && other["workload"] == cell["workload"]
            && other["connections"] == cell["connections"]
    };
    let rates = cells.iter().filter(same).map(|other| median(other, "rate").unwrap());
    (rates.fold(f64::INFINITY, f64::min) * 50.0 / 100.0).round() as u64
}

fn is_self_contained(page: &Path) {
    let page = fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    for loaded in ["<script src", "<link", "<img", "src=", "url(", "@import"] {
        assert!(!page.contains(loaded), "{loaded}");
    }
    assert!(page.matches("<svg").count() >= 8);
}

#[test]
fn a_killed_server_marks_its_cell_and_the_comparison_continues() {
    let arguments = ENDLESS.replace("--repeats 1000", "--repeats 3") + " --json -";
    let child = compare(&arguments).spawn().unwrap();
    signal(server_of(&child), Signal::KILL);
    let output = end(child);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    schema::assert_is("CompareRecord", &result);
    assert_eq!(result["done"], result["planned"], "it continued");
    let cells = result["cells"].as_array().unwrap();
    let killed = |cell: &&Value| cell["marks"].to_string().contains("killed by signal 9");
    let marked: Vec<&Value> = cells.iter().filter(killed).collect();
    assert_eq!(marked.len(), 1, "{cells:?}");
    assert_eq!(marked[0]["rate"]["runs"], 2, "the other runs count: {}", marked[0]);
}

#[test]
fn a_signal_ends_the_comparison_with_the_completed_runs() {
    for how in [Signal::INT, Signal::TERM, Signal::HUP] {
        let child = compare(&format!("{ENDLESS} --json -")).spawn().unwrap();
        let first = server_of(&child);
        eventually("the first run is over", || {
            servers_of(child.id()).iter().all(|it| *it != first).then_some(())
        });
        server_of(&child);
        let clock = Clock::start();
        signal(child.id(), how);
        let output = end(child);
        assert!(clock.elapsed().as_secs() < 5, "{:?}", clock.elapsed());
        assert!(output.status.success(), "{how:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "interrupted: the result of the completed runs follows\n");
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        schema::assert_is("CompareRecord", &result);
        assert_eq!(result["interrupted"], true);
        assert!(
            result["done"].as_u64().unwrap() >= 1 && result["done"].as_u64() < result["planned"].as_u64()
        );
        assert_eq!(result["cells"][0]["model"], "loop");
    }
}

#[test]
fn a_terminal_shows_the_remaining_time() {
    let arguments = TINY.replace(",churn", "") + " --duration 80ms";
    let command = format!("{PROGRAM} compare {arguments}");
    let mut terminal = rexpect::spawn(&command, Some(60_000)).unwrap();
    terminal.exp_regex(r"all-active, 1 connection, loop, 0:\d\d left").unwrap();
    terminal.exp_string("of 36 runs in").unwrap();
    terminal.exp_eof().unwrap();
}

#[test]
fn an_error_is_one_line_before_any_run() {
    for (arguments, status, expected) in [
        ("--connections 0", 2, "it must be at least 1"),
        ("--connections few", 2, "'few' is not a number of connections"),
        ("--workload idle", 2, "expected one of all-active, few-active, churn"),
        ("--repeats 0", 2, "'0'"),
        ("--connections 4000000000", 2, "--connections 4000000000: at most "),
        ("--connections 1 --server-cores 100000", 2, "--server-cores 100000: at most "),
        ("--workload few-active --connections 10", 2, "few-active needs 100 connections"),
        ("--json /tmp/loopline-same --report /tmp/loopline-same", 2, "the same file as that of --json"),
        ("--json /nowhere/result.json", 1, "/nowhere/result.json: cannot be written"),
        ("--report /", 1, "/: cannot be written"),
        ("--pictures /dev/null/pictures", 1, "/dev/null/pictures: cannot be written"),
    ] {
        let output = compare(arguments).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments}: {error}");
        assert!(error.contains(expected), "{arguments}: {error}");
        assert!(status == 2 || error.lines().count() == 1, "{arguments}: {error}");
    }
}

#[test]
fn a_server_that_cannot_start_is_an_error_of_one_line() {
    let mut command = loopline_after("ulimit -n 8");
    let output =
        command.args(["compare", "--connections", "1", "--workload", "all-active"]).output().unwrap();
    let error = text(&output.stderr);
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
}

#[test]
fn help_names_the_options_and_their_environment_forms() {
    let output = compare("--help").output().unwrap();
    let help = text(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    for option in
        ["connections", "workload", "duration", "warmup", "repeats", "rate", "server-cores", "quick"]
    {
        assert!(help.contains(&format!("--{option}")), "{option}: {help}");
    }
    for name in ["REPORT", "PICTURES", "JSON", "CONNECTIONS", "WORKLOAD", "REPEATS", "SERVER_CORES", "QUICK"]
    {
        assert!(help.contains(&format!("LOOPLINE_COMPARE_{name}")), "{name}: {help}");
    }
    assert!(help.contains("Exit status: 0 the comparison is done, or Ctrl-C ended it"), "{help}");
}
