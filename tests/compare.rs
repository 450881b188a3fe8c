//! `compare` as a process: a small comparison, one with a killed server, one that is interrupted.

mod common;
#[path = "common/schema.rs"]
mod schema;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use common::{PROCESS_MAX, PROGRAM, Signal, eventually, loopline, loopline_after, output, wait_with_output};
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

/// The loop again, as a command.
const SHELL: &str =
    concat!(env!("CARGO_BIN_EXE_loopline"), " serve message=127.0.0.1:{port} --journal none --log warn");

/// A comparison that does not end by itself.
const ENDLESS: &str = "--connections 2 --duration 200ms --warmup 10ms --repeats 1000 --workload pipelined";

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
    server_with(parent, "\0serve\0")
}

/// The same, with `arguments` among its own.
fn server_with(parent: &Child, arguments: &str) -> u32 {
    eventually("a server runs", || {
        let is_wanted = |pid: &u32| {
            let all = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let all = String::from_utf8_lossy(&all);
            all.contains("\0serve\0") && all.contains(arguments)
        };
        servers_of(parent.id()).into_iter().find(is_wanted)
    })
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // The process may have ended already.
    let _ = kill_process(pid, signal);
}

/// Waits for the end of `child` and checks that its servers have ended.
fn end(child: Child) -> Output {
    let id = child.id();
    let output = wait_with_output(child);
    assert_eq!(servers_of(id), Vec::<u32>::new());
    output
}

/// The processes that have `mark` in their environment, and have not ended.
fn running_with(mark: &str) -> Vec<PathBuf> {
    let running = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        let environment = fs::read(path.join("environ")).ok()?;
        String::from_utf8_lossy(&environment).contains(mark).then_some(path)
    });
    running.collect()
}

#[test]
fn a_small_comparison_writes_its_results_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let temporary = at("temporary");
    fs::create_dir(&temporary).unwrap();
    let mark = format!("MARK={}", folder.path().display());
    let mut command = compare(&format!("{TINY} --duration {DURATION_MS}ms"));
    command.arg("--json").arg(at("result.json")).arg("--report").arg(at("result.html"));
    command.arg("--pictures").arg(at("pictures"));
    let output = output(command.env("TMPDIR", &temporary).env("MARK", folder.path()));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    assert_eq!(running_with(&mark), Vec::<PathBuf>::new());
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);

    let result: Value = serde_json::from_slice(&fs::read(at("result.json")).unwrap()).unwrap();
    schema::assert_is("CompareRecord", &result);
    is_complete(&result);
    let cells = result["cells"].as_array().unwrap();
    has_the_measurements_of_its_replies(cells);
    verdicts_agree_with_the_cells(&result);

    let table = text(&output.stdout);
    assert!(table.starts_with("the machine is "), "{table}");
    let runs = format!("{} of 52 runs", result["done"]);
    for part in ["all-active: all connections active", "churn: ", "CPU/msg", &runs] {
        assert!(table.contains(part), "{part}: {table}");
    }
    assert!(!table.contains('\x1b'), "{table}");
    let plots = is_self_contained(&at("result.html"));
    // A plot without a point is not drawn.
    let is_whole = cells.iter().all(|cell| median(cell, "p50_us").is_some());
    assert!(plots >= 8 || !is_whole, "{plots}");
    let picture = fs::read_to_string(at("pictures/all-active-throughput.svg")).unwrap();
    assert!(picture.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""), "{picture}");
}

fn median(cell: &Value, name: &str) -> Option<f64> {
    cell[name]["median"].as_f64()
}

/// Whether the result of [`TINY`] has all its parts. Only an open loop may be left out: if the closed loop had no reply,
/// its rate is not known.
fn is_complete(result: &Value) {
    assert_eq!(result["loopline"], env!("CARGO_PKG_VERSION"));
    let number = |name: &str| result[name].as_u64().unwrap();
    assert_eq!((number("planned"), number("done") + number("left_out")), (52, 52));
    assert_eq!((&result["interrupted"], &result["more_pairs"]), (&false.into(), &0.into()));
    assert_eq!(result["settings"]["connections"], serde_json::json!([1, 4]));
    let cells = result["cells"].as_array().unwrap();
    for missing in result["not_measured"].as_array().unwrap() {
        let is_closed = |cell: &&Value| {
            cell["load"] == "closed"
                && (&cell["workload"], &cell["connections"])
                    == (&missing["workload"], &missing["connections"])
        };
        let has_no_reply = |cell: &Value| median(cell, "rate") == Some(0.0);
        assert_eq!(missing["why"], "no_rate", "{missing}");
        assert!(cells.iter().filter(is_closed).any(has_no_reply), "{missing}: {cells:?}");
    }
    if number("left_out") == 0 {
        assert_eq!(result["not_measured"], serde_json::json!([]));
        assert_eq!(cells.len(), 2 * 2 * 2 * 2, "workloads, connections, loads and models");
        assert_eq!(result["latency_by_rate"].as_array().unwrap().len(), 2 * 5);
    }
    assert!(result["quietness"]["sentence"].as_str().unwrap().starts_with("the machine is "));
    for verdict in result["verdicts"].as_array().unwrap() {
        assert!(verdict["sentence"].as_str().unwrap().len() > 10, "{verdict}");
    }
    for law in result["scalability"].as_array().unwrap() {
        assert!(law["sentence"].as_str().unwrap().starts_with("not fitted: "), "of two points: {law}");
    }
}

/// The ratio of the pairs lies between the ratios of the extreme runs. There is a verdict wherever both runs of both
/// models were measured.
fn verdicts_agree_with_the_cells(result: &Value) {
    let cells = result["cells"].as_array().unwrap();
    for workload in result["verdicts"].as_array().unwrap() {
        let verdicts = workload["by_connections"].as_array().unwrap();
        let mut expected = 0;
        for connections in [1, 4] {
            let of = |model: &str, name: &str| {
                let is_wanted = |cell: &&Value| {
                    (&cell["workload"], &cell["connections"]) == (&workload["workload"], &connections.into())
                        && (&cell["model"], &cell["load"]) == (&model.into(), &"closed".into())
                };
                let estimate = &cells.iter().find(is_wanted).unwrap()[name];
                let ends = Some((estimate["low"].as_f64()?, estimate["high"].as_f64()?));
                ends.filter(|(low, _)| estimate["runs"] == 2 && *low > 0.0)
            };
            for (measure, name, better, worse) in [
                ("cpu_per_message", "cpu_us_per_message", "threads", "loop"),
                ("rate", "rate", "loop", "threads"),
            ] {
                let Some((better, worse)) = of(better, name).zip(of(worse, name)) else { continue };
                let is_wanted = |it: &&Value| it["connections"] == connections && it["measure"] == measure;
                let verdict = verdicts.iter().find(is_wanted).unwrap();
                let (least, most) = (better.0 / worse.1, better.1 / worse.0);
                let ratio = verdict["ratio"].as_f64().unwrap();
                assert!((least * 0.999..=most * 1.001).contains(&ratio), "{least} to {most}: {verdict}");
                assert_eq!(verdict["pairs"], 2, "{verdict}");
                expected += 1;
            }
        }
        assert_eq!(verdicts.len(), expected, "{workload}");
    }
}

/// Every cell has what its replies allow to measure: how many there were depends on the machine.
fn has_the_measurements_of_its_replies(cells: &[Value]) {
    for cell in cells {
        assert_eq!(cell["rate"]["runs"], 2, "{cell}");
        // Of the run with fewer replies.
        let replies = cell["rate"]["low"].as_f64().unwrap() * f64::from(DURATION_MS) / 1000.0;
        let value = |name: &str| median(cell, name).unwrap_or_else(|| panic!("{name}: {cell}"));
        assert!(value("user_bytes") > 0.0, "{cell}");
        let needed = [("rate", 1.0), ("cpu_us_per_message", 1.0), ("p50_us", REPLIES_FOR_A_MEDIAN)];
        for (name, _) in needed.iter().filter(|(_, needed)| replies >= *needed) {
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
            assert!(connections > 1.0 || replies < 1.0 || value("voluntary_switches") > 0.0, "{cell}");
        }
        let offered = (cell["load"] == "open").then(|| half_of_the_slower_model(cells, cell));
        assert_eq!(cell["offered_rate"].as_u64(), offered, "{cell}");
    }
}

/// Measured time of a run. On a quiet machine, it has hundreds of replies.
const DURATION_MS: u32 = 80;

/// A run with this number of replies has a median: ten are above it, and the measured time may be longer than requested.
const REPLIES_FOR_A_MEDIAN: f64 = 25.0;

/// The rate of the open loop in the scenario of `cell`, which follows from the closed loop.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
fn half_of_the_slower_model(cells: &[Value], cell: &Value) -> u64 {
    let same = |other: &&Value| {
        other["load"] == "closed"
            && other["workload"] == cell["workload"]
            && other["connections"] == cell["connections"]
    };
    let rates = cells.iter().filter(same).map(|other| median(other, "rate").unwrap());
    ((rates.fold(f64::INFINITY, f64::min) * 50.0 / 100.0).round() as u64).max(1)
}

/// Checks that `page` loads nothing. Returns the number of its plots.
fn is_self_contained(page: &Path) -> usize {
    let page = fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    for loaded in ["<script src", "<link", "<img", "src=", "url(", "@import"] {
        assert!(!page.contains(loaded), "{loaded}");
    }
    page.matches("<svg").count()
}

#[test]
fn a_killed_server_marks_its_cell_and_the_comparison_continues() {
    let arguments = ENDLESS.replace("--repeats 1000", "--repeats 3") + " --json -";
    let mut command = compare(&arguments);
    let child = command.args(["--with", &format!("copy=exec {SHELL}")]).spawn().unwrap();
    // Each command is tried before the first run of the models, where its end would be an error.
    for arguments in ["--model\0", "--log\0warn\0"] {
        signal(server_with(&child, arguments), Signal::KILL);
    }
    let output = end(child);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    schema::assert_is("CompareRecord", &result);
    assert_eq!(result["done"], result["planned"], "it continued");
    for cells in [&result["cells"], &result["further"][0]["cells"]] {
        let cells = cells.as_array().unwrap();
        let killed = |cell: &&Value| cell["marks"].to_string().contains("killed by signal 9");
        let marked: Vec<&Value> = cells.iter().filter(killed).collect();
        assert_eq!(marked.len(), 1, "{cells:?}");
        assert_eq!(marked[0]["rate"]["runs"], 2, "the other runs count: {}", marked[0]);
    }
}

#[test]
fn a_comparison_that_is_killed_leaves_no_server() {
    for arguments in ["--model\0loop\0", "--model\0threads\0", "a shell"] {
        let folder = tempfile::tempdir().unwrap();
        let mark = format!("MARK={}", folder.path().display());
        let mut command = compare(ENDLESS);
        // Neither the shell nor its children end by SIGTERM.
        let shell = format!("trap '' TERM; {SHELL} & while :; do sleep 100; done; : a shell");
        command.args(["--with", &format!("shell={shell}")]);
        let mut child = command.env("MARK", folder.path()).spawn().unwrap();
        eventually("the server runs", || {
            let is_wanted = |pid: &u32| {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&line).contains(arguments)
            };
            let shell = servers_of(child.id()).into_iter().find(is_wanted)?;
            // The server and a program are children of the shell.
            (arguments != "a shell" || servers_of(shell).len() == 2).then_some(())
        });
        signal(child.id(), Signal::KILL);
        child.wait().unwrap();
        eventually("no process is left", || running_with(&mark).is_empty().then_some(()));
    }
}

#[test]
fn further_servers_are_measured_as_the_loop_is() {
    // One workload has no open loop, the other has.
    let mut command = compare(
        "--connections 4 --warmup 20ms --duration 80ms --repeats 2 --workload pipelined,large-bodies",
    );
    command.args(["--with", &format!("copy=exec {SHELL}")]);
    // The shell remains, with the server as its child.
    command.args(["--with", &format!("two-processes={SHELL}; exit 1"), "--json", "-"]);
    let output = output(&mut command);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    schema::assert_is("CompareRecord", &result);
    assert_eq!(result["run"]["options"]["with"][0]["name"], "copy");
    let cells_of = |server: &Value| server["cells"].as_array().unwrap().clone();
    let models: Vec<Value> = cells_of(&result).iter().map(|cell| cell["model"].clone()).collect();
    assert!(models.iter().all(|model| model == "loop" || model == "threads"), "{models:?}");
    // The cells of the models are of no other server.
    let mut other = result.clone();
    other["cells"][0]["model"] = "copy".into();
    assert!(schema::check("CompareRecord", &other).is_err());
    let further = result["further"].as_array().unwrap();
    assert_eq!(further.iter().map(|it| &it["name"]).collect::<Vec<_>>(), ["copy", "two-processes"]);
    for server in further {
        let cells = cells_of(server);
        assert_eq!(cells.len(), cells_of(&result).len() / 2, "as many as of each model: {server}");
        for cell in &cells {
            assert_eq!((&cell["model"], &cell["failed"]), (&server["name"], &0.into()), "{cell}");
            assert!(!cell["marks"].to_string().contains("exited"), "{cell}");
            assert_eq!(cell["rate"]["runs"], 2, "{cell}");
            let threads = if server["name"] == "copy" { 1.0 } else { 2.0 };
            assert_eq!(median(cell, "threads"), Some(threads), "all processes: {cell}");
            let closed = cell["load"] == "closed" && median(cell, "rate") > Some(0.0);
            assert!(!closed || median(cell, "cpu_us_per_message") > Some(0.0), "{cell}");
            assert!(median(cell, "user_bytes") > Some(0.0), "{cell}");
        }
        let verdicts = server["verdicts"][0]["by_connections"].as_array().unwrap();
        assert!(verdicts.iter().all(|verdict| verdict["decision"] != "threads"), "{server}");
    }
}

#[test]
fn a_further_server_that_does_not_work_is_an_error_of_one_line_before_any_run() {
    for (command, expected) in [
        ("echo one >&2; echo the reason {port} >&2; exit 3", "exited (exit status: 3): the reason "),
        ("kill -9 $$; : {port}", "killed by signal 9"),
        ("no-such-command {port}", "exited (exit status: 127): "),
        // Nothing of it reaches the terminal as a control character.
        (r"printf '\033[31mred: {port}' >&2; exit 3", "(exit status: 3): \u{fffd}[31mred: "),
        // The options in the environment are those of the comparison.
        ("echo \"variables: $(env | grep -c ^LOOPLINE_) of {port}\" >&2; exit 3", "variables: 0 of "),
    ] {
        let mut comparison = compare("--connections 1 --workload all-active");
        comparison.env("LOOPLINE_COMPARE_WARMUP", "1ms");
        let output = output(comparison.args(["--with", &format!("bad={command}")]));
        let error = text(&output.stderr);
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
        assert!(error.contains("--with bad: ") && error.contains(expected), "{command}: {error}");
        assert!(error.contains("before it was ready"), "{error}");
    }
}

#[test]
fn a_result_is_compared_with_an_earlier_one() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old.json");
    let arguments = "--connections 4 --warmup 20ms --duration 300ms --repeats 3 --workload pipelined";
    let first = output(compare(arguments).arg("--json").arg(&old));
    assert!(first.status.success(), "{}", text(&first.stderr));
    let mut result: Value = serde_json::from_slice(&fs::read(&old).unwrap()).unwrap();
    assert_eq!(result["baseline"], Value::Null);
    let again = |result: &Value, more: &[&str]| {
        fs::write(&old, result.to_string()).unwrap();
        output(compare(arguments).arg("--baseline").arg(&old).args(more))
    };

    // A baseline that needed hardly any CPU time, on another machine. No spread of the runs explains this ratio.
    for cell in result["cells"].as_array_mut().unwrap() {
        cell["runs"]["cpu_us_per_message"] = serde_json::json!([1e-100, 1e-100, 1e-100]);
        cell["runs"]["rate"] = serde_json::json!([1e3, 1e3, 1e3]);
    }
    result["machine"]["processor"] = "another".into();
    let slower = again(&result, &["--fail-if", "slower>5%"]);
    let table = text(&slower.stdout);
    assert!(table.contains("the machine differs: processor \"another\", now "), "{table}");
    let error = text(&slower.stderr);
    assert_eq!((slower.status.code(), error.lines().count()), (Some(3), 1), "{slower:?}");
    let needs = "pipelined, 4 connections, loop: CPU a message is > 1,000 times that of the baseline";
    assert!(error.contains(&format!("slower>5%: {needs}")) && error.contains("and in 1 more"), "{error}");
    assert!(table.contains(&format!("worse: {needs}")), "{table}");

    // One that needed much more.
    for cell in result["cells"].as_array_mut().unwrap() {
        cell["runs"]["cpu_us_per_message"] = serde_json::json!([1e100, 1e100, 1e100]);
        cell["connections"] = if cell["model"] == "loop" { 4.into() } else { 5.into() };
    }
    let faster = again(&result, &["--fail-if", "slower>5%", "--json", "-"]);
    assert_eq!(faster.status.code(), Some(0), "{}", text(&faster.stderr));
    let result: Value = serde_json::from_slice(&faster.stdout).unwrap();
    schema::assert_is("CompareRecord", &result);
    let changes = &result["baseline"];
    assert_eq!((&changes["fail_if"], &changes["failed"]), (&"slower>5%".into(), &false.into()));
    assert_eq!(changes["only_in_baseline"], serde_json::json!(["pipelined, 5 connections, threads"]));
    assert_eq!(changes["only_here"], serde_json::json!(["pipelined, 4 connections, threads"]));
    assert_eq!(changes["measures"].as_array().unwrap().len(), 2, "{changes}");
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
        signal(child.id(), how);
        let output = end(child);
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
    let arguments = TINY.replace("all-active,churn", "pipelined") + " --duration 80ms";
    let command = format!("{PROGRAM} compare {arguments}");
    let timeout_ms = u64::try_from(PROCESS_MAX.as_millis()).ok();
    let mut terminal = rexpect::spawn(&command, timeout_ms).unwrap();
    terminal.exp_regex(r"pipelined, 1 connection, loop, 0:\d\d left").unwrap();
    terminal.exp_string("of 8 runs in").unwrap();
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
        ("--with loop=server-{port}", 2, "'loop' is the name of a model"),
        ("--with other=server", 2, "the command of 'other' has no {port}"),
        ("--with a={port} --with a={port}", 2, "--with a: the name is used twice"),
        ("--connections 1 --server-cores 100000", 2, "--server-cores 100000: at most "),
        ("--workload few-active --connections 10", 2, "few-active needs 100 connections"),
        ("--fail-if slower>5%", 2, "--baseline <OLD.json>"),
        ("--baseline Cargo.toml --fail-if faster", 2, "expected 'slower>N%'"),
        ("--baseline Cargo.toml --json Cargo.toml", 2, "would overwrite Cargo.toml, which is read"),
        ("--baseline /nowhere.json", 1, "--baseline /nowhere.json: cannot be read: "),
        ("--baseline Cargo.toml", 1, "--baseline Cargo.toml: not JSON: "),
        ("--json /tmp/loopline-same --report /tmp/loopline-same", 2, "the same file as that of --json"),
        ("--json /nowhere/result.json", 1, "/nowhere/result.json: cannot be written"),
        ("--report /", 1, "/: cannot be written"),
        ("--pictures /dev/null/pictures", 1, "/dev/null/pictures: cannot be written"),
    ] {
        let output = output(&mut compare(arguments));
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments}: {error}");
        assert!(error.contains(expected), "{arguments}: {error}");
        assert!(status == 2 || error.lines().count() == 1, "{arguments}: {error}");
    }
}

#[test]
fn a_server_that_cannot_start_is_an_error_of_one_line() {
    let mut command = loopline_after("ulimit -n 8");
    let output = output(command.args(["compare", "--connections", "1", "--workload", "all-active"]));
    let error = text(&output.stderr);
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
}

#[test]
fn help_names_the_options_and_their_environment_forms() {
    let output = output(&mut compare("--help"));
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
