//! `compare`: a small comparison by the real program, one that is disturbed, and one that is ended early.

mod common;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use common::{Clock, Signal, eventually, loopline};
use rustix::process::{Pid, kill_process};
use serde_json::Value;

/// `loopline compare` with `arguments`, which are words between spaces.
fn compare(arguments: &str) -> Command {
    let mut command = loopline();
    command.arg("compare").args(arguments.split_whitespace());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The smallest that has everything.
const TINY: &str = "--connections 1,4 --duration 80ms --warmup 20ms --repeats 2 --workload all-active,churn";

/// One that is not over before something has been done to it.
const ENDLESS: &str = "--connections 2 --duration 200ms --warmup 10ms --repeats 1000 --workload all-active";

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The servers that `parent` has started, by number.
fn servers_of(parent: u32) -> Vec<u32> {
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line == format!("PPid:\t{parent}"))
    };
    processes.filter(is_child).collect()
}

/// A server that `parent` has started and that is under way, not only forked.
fn server_of(parent: &Child) -> u32 {
    eventually("a server runs", || {
        let is_serving = |pid: &u32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).contains("\0serve\0")
        };
        servers_of(parent.id()).into_iter().find(is_serving)
    })
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // It may be over already.
    let _ = kill_process(pid, signal);
}

/// Waits until it has ended, and makes sure that nothing of it runs on.
fn end(mut child: Child) -> Output {
    let id = child.id();
    // A result is longer than a pipe is.
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let mut output = Vec::new();
    stdout.read_to_end(&mut output).unwrap();
    let mut log = Vec::new();
    stderr.read_to_end(&mut log).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(servers_of(id), Vec::<u32>::new());
    Output { status, stdout: output, stderr: log }
}

/// No process runs the program and listens any more that was started with `mark` in its environment.
fn nothing_is_left_with(mark: &str) {
    let left = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        let environment = fs::read(path.join("environ")).ok()?;
        String::from_utf8_lossy(&environment).contains(mark).then_some(path)
    });
    assert_eq!(left.collect::<Vec<_>>(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_small_comparison_leaves_its_result_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut command = compare(TINY);
    command.arg("--json").arg(at("result.json")).arg("--report").arg(at("result.html"));
    command.arg("--pictures").arg(at("pictures"));
    let temporary = folder.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    let mark = format!("MARK={}", folder.path().display());
    let output = command.env("TMPDIR", &temporary).env("MARK", folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    nothing_is_left_with(&mark);
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);

    let result: Value = serde_json::from_slice(&fs::read(at("result.json")).unwrap()).unwrap();
    is_whole(&result);
    let words = text(&output.stdout);
    for said in ["all-active: all connections active", "all-active: ", "churn: ", "CPU/msg", "52 of 52 runs"]
    {
        assert!(words.contains(said), "{said}: {words}");
    }
    assert!(!words.contains('\x1b'), "{words}");
    is_self_contained(&at("result.html"));
    let picture = fs::read_to_string(at("pictures/all-active-throughput.svg")).unwrap();
    assert!(picture.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""), "{picture}");
}

/// Whether the result of [`TINY`] has all that it should.
fn is_whole(result: &Value) {
    assert_eq!(result["loopline"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&result["done"], &result["interrupted"]), (&result["planned"], &false.into()));
    assert_eq!(result["settings"]["connections"], serde_json::json!([1, 4]));
    let cells = result["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 2 * 2 * 2 * 2, "workloads, connections, loads and models");
    let mut answered = 0;
    for cell in cells {
        let figure = |name: &str| cell[name]["median"].as_f64().unwrap_or_else(|| panic!("{name}: {cell}"));
        assert!(figure("user_bytes") > 0.0 && figure("threads") >= 1.0, "{cell}");
        assert_eq!(cell["rate"]["runs"], 2, "{cell}");
        assert!(cell["generator"]["busy"].is_f64() && cell["marks"].is_array(), "{cell}");
        assert_eq!(cell["load"] == "open", cell["offered_rate"].is_u64(), "{cell}");
        let is_of_all = cell["workload"] == "all-active";
        if is_of_all {
            let expected =
                if cell["model"] == "loop" { 1.0 } else { 3.0 + cell["connections"].as_f64().unwrap() };
            assert!((figure("threads") - expected).abs() < 0.1, "{cell}");
            assert_eq!(cell["failed"], 0, "{cell}");
        }
        // Where everything else runs too, so short a run may be over before it gets a processor.
        if figure("rate") < 1000.0 {
            continue;
        }
        answered += 1;
        assert!(figure("cpu_us_per_message") > 0.0, "{cell}");
        assert!(!is_of_all || figure("p50_us") > 0.0 && figure("voluntary_switches") > 0.0, "{cell}");
    }
    assert!(answered >= cells.len() / 4, "{cells:?}");
    for verdict in result["verdicts"].as_array().unwrap() {
        assert!(verdict["sentence"].as_str().unwrap().len() > 10, "{verdict}");
    }
    assert_eq!(result["latency_by_rate"].as_array().unwrap().len(), 2 * 5);
    for law in result["scalability"].as_array().unwrap() {
        assert!(law["sentence"].as_str().unwrap().starts_with("no fit"), "of two points: {law}");
    }
}

fn is_self_contained(page: &Path) {
    let page = fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    for loaded in ["<script", "<link", "<img", "src=", "url(", "@import"] {
        assert!(!page.contains(loaded), "{loaded}");
    }
    assert!(page.matches("<svg").count() >= 8);
}

#[test]
fn a_server_that_is_killed_from_outside_marks_its_cell_and_the_rest_goes_on() {
    let arguments = ENDLESS.replace("--repeats 1000", "--repeats 3") + " --json -";
    let child = compare(&arguments).spawn().unwrap();
    signal(server_of(&child), Signal::KILL);
    let output = end(child);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["done"], result["planned"], "it went on");
    let cells = result["cells"].as_array().unwrap();
    let killed = |cell: &&Value| cell["marks"].to_string().contains("killed by signal 9");
    let marked: Vec<&Value> = cells.iter().filter(killed).collect();
    assert_eq!(marked.len(), 1, "{cells:?}");
    assert_eq!(marked[0]["rate"]["runs"], 2, "the other runs count: {}", marked[0]);
}

#[test]
fn whoever_ends_it_early_gets_what_is_done() {
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
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(result["interrupted"], true);
        assert!(
            result["done"].as_u64().unwrap() >= 1 && result["done"].as_u64() < result["planned"].as_u64()
        );
        assert_eq!(result["cells"][0]["model"], "loop");
    }
}

#[test]
fn a_terminal_is_told_how_long_it_takes() {
    let program = loopline();
    let arguments = TINY.replace(",churn", "");
    let command = format!("{} compare {arguments}", program.get_program().to_str().unwrap());
    let mut terminal = rexpect::spawn(&command, Some(60_000)).unwrap();
    terminal.exp_regex(r"all-active, 1 connections, loop, 0:\d\d left").unwrap();
    terminal.exp_string("of 36 runs in").unwrap();
    terminal.exp_eof().unwrap();
}

#[test]
fn what_is_wrong_is_said_in_one_line_before_anything_runs() {
    for (arguments, status, said) in [
        ("--connections 0", 2, "it must be at least 1"),
        ("--connections few", 2, "'few' is not a number of connections"),
        ("--workload idle", 2, "expected one of all-active, few-active, churn"),
        ("--repeats 0", 2, "'0'"),
        ("--workload few-active --connections 10", 2, "few-active needs 100 connections"),
        ("--json /nowhere/result.json", 1, "/nowhere/result.json: cannot be written"),
        ("--report /", 1, "/: cannot be written"),
        ("--pictures /dev/null/pictures", 1, "/dev/null/pictures: cannot be written"),
    ] {
        let output = compare(arguments).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments}: {error}");
        assert!(error.contains(said), "{arguments}: {error}");
        assert!(status == 2 || error.lines().count() == 1, "{arguments}: {error}");
    }
}

#[test]
fn a_server_that_cannot_start_is_one_line() {
    let program = loopline();
    let script = "ulimit -n 8; exec \"$0\" compare --connections 1 --workload all-active";
    let mut shell = Command::new("sh");
    for (name, _) in program.get_envs() {
        shell.env_remove(name);
    }
    let output = shell.args(["-c", script]).arg(program.get_program()).stdin(Stdio::null()).output().unwrap();
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
        assert!(help.contains(&format!("LOOPLINE_{name}")), "{name}: {help}");
    }
    assert!(help.contains("Exit status: 0 the comparison is done, or Ctrl-C ended it"), "{help}");
}
