//! The rules of the code base that the compiler does not check: layers, import cycles, which file may use
//! which system facility, and the map in ARCHITECTURE.md. Each check is a function of file names and texts
//! (`checks.rs`), which `samples.rs` runs on code that violates it. This file holds the rules.

mod checks;
mod log_lines;
mod parse;
mod samples;
mod tree;

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use checks::{Facility, Layer, Unit};
use parse::Source;
use tree::Tree;

/// A file imports from layers below its own, and in its own layer from entries before its own. An entry is a
/// module, with the modules in it that no other entry names.
const LAYERS: [Layer; 6] = [
    // Bytes and numbers: no I/O, no clock, no log.
    &[
        "limits",
        "frame",
        "units",
        "journal/escape",
        "journal/time_stamp",
        "journal/sender",
        "journal/lines",
        "conn/token",
        "conn/deadlines",
        "conn/peer_addr",
        "conn/proxy_header",
        "conn/hash_key",
    ],
    // Services.
    &["service"],
    // The session, the network, the journal.
    &["conn", "net", "journal"],
    // The turn.
    &["event_loop"],
    // The sub-commands.
    &["report", "doctor", "server", "client", "load", "compare"],
    // The process.
    &["cli", "lib", "main"],
];

/// Files that together define one type: the first has the type, the others add methods to it.
const UNITS: &[Unit] = &[
    &[
        "event_loop.rs",
        "event_loop/endpoints.rs",
        "event_loop/accept.rs",
        "event_loop/admin.rs",
        "event_loop/proxied.rs",
        "event_loop/readiness.rs",
        "event_loop/read.rs",
        "event_loop/run_queue.rs",
        "event_loop/memory.rs",
        "event_loop/meter.rs",
        "event_loop/datagrams.rs",
        "event_loop/plan.rs",
        "event_loop/commit.rs",
        "event_loop/send.rs",
        "event_loop/close.rs",
        "event_loop/expire.rs",
        "event_loop/drain.rs",
        "event_loop/handlers/calls.rs",
        "event_loop/handlers/outgoing.rs",
        "event_loop/handlers/steps.rs",
        "event_loop/simulated.rs",
        "event_loop/invariants.rs",
    ],
    &["load/run.rs", "load/run/opening.rs", "load/run/driving.rs", "load/run/stages.rs"],
    &[
        "load/tcp.rs",
        "load/tcp/opening.rs",
        "load/tcp/introduction.rs",
        "load/tcp/replies.rs",
        "load/tcp/writing.rs",
    ],
    &["conn/table.rs", "conn/table/timeouts.rs", "conn/table/headers.rs", "conn/table/invariants.rs"],
    &["net/kernel/connected.rs"],
    &["net/kernel.rs", "net/kernel/connector.rs", "net/kernel/stop_requests.rs", "net/kernel/supervision.rs"],
    &["net/sim.rs", "net/sim/datagrams.rs"],
    &["server/threads/shared.rs", "server/threads/meter.rs"],
    &["compare/child.rs", "compare/child/with.rs"],
    &[
        "server/threads/connection.rs",
        "server/threads/connection/header.rs",
        "server/threads/connection/linger.rs",
        "server/threads/connection/socket.rs",
    ],
];

/// What only the named modules, and those in them, may use.
const FACILITIES: &[Facility] = &[
    Facility { paths: &["mio"], users: &["net/kernel"] },
    Facility {
        paths: &[
            "std::net::TcpListener",
            "std::net::TcpStream",
            "std::net::UdpSocket",
            "std::os::unix::net",
            "socket2",
            "quinn_udp",
            "nix::sys::socket",
            "rustix::net",
        ],
        users: &[
            "net",
            "journal/target",
            "server/activation",
            "server/setup",
            "server/threads",
            "client",
            "load/conn",
        ],
    },
    Facility {
        paths: &[
            "std::time::Instant",
            "std::time::SystemTime",
            "rustix::time",
            "nix::time",
            "tz::UtcDateTime::now",
        ],
        users: &[
            "net/kernel",
            "net/notify",
            "server/threads",
            "client/deadline",
            "compare/child",
            "compare/measure",
            "compare/process_stats",
            "compare/quietness",
            "compare/runner",
            "report/utc_time",
        ],
    },
    Facility {
        paths: &["std::thread::spawn", "std::thread::Builder", "std::thread::scope", "std::thread::sleep"],
        users: &["server/threads", "client/deadline"],
    },
    Facility { paths: &["std::process::Command"], users: &["compare/child"] },
    Facility {
        paths: &["std::fs"],
        users: &[
            "journal",
            "net/fd_limit",
            "net/kernel_drops",
            "net/output",
            "server/memory",
            "client/prompt",
            "report",
            "load",
            "compare",
            "doctor",
            "cli",
        ],
    },
    Facility { paths: &["log"], users: &["journal", "event_loop", "server", "client/retry", "cli"] },
];

const ENTRIES_MAX: usize = 20;
const LINES_MAX: usize = 400;

/// The `.rs` files of a folder and of all folders in it.
fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                sources.push(Source { path: inside, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    assert!(!sources.is_empty(), "{folder} has no sources");
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

static PROGRAM: LazyLock<Tree> =
    LazyLock::new(|| Tree::new(&["lib.rs", "main.rs"], "loopline", &sources("src")));

#[track_caller]
fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn a_file_imports_only_from_layers_below() {
    assert_none(&checks::layers(&PROGRAM, &LAYERS));
}

#[test]
fn imports_have_no_cycle() {
    assert_none(&checks::cycles(&PROGRAM, UNITS));
}

#[test]
fn imports_of_the_benchmark_have_no_cycle() {
    assert_none(&checks::cycles(&Tree::new(&["main.rs"], "", &sources("bench/src")), &[]));
}

#[test]
fn a_file_of_a_unit_adds_methods_to_the_type_of_its_first_file() {
    assert_none(&checks::units(&PROGRAM, UNITS));
}

#[test]
fn a_system_facility_is_used_only_by_its_files() {
    assert_none(&checks::facilities(&PROGRAM, FACILITIES));
}

#[test]
fn each_file_belongs_to_the_crate() {
    assert_none(&checks::unreached(&PROGRAM));
}

#[test]
fn no_file_has_unsafe_code() {
    assert_none(&checks::unsafe_code(&sources("src")));
}

#[test]
fn a_file_begins_with_what_it_is() {
    for folder in ["src", "tests", "examples", "bench/src"] {
        assert_none(&checks::first_line(&sources(folder)));
    }
}

#[test]
fn no_file_is_long() {
    assert_none(&checks::length(&sources("src"), LINES_MAX));
}

#[test]
fn the_source_folder_is_short() {
    assert_none(&checks::entries(&sources("src"), ENTRIES_MAX));
}

#[test]
fn the_map_names_each_file_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    assert_none(&checks::map(&map, &sources("src"), |name| root.join(name).exists()));
}

#[test]
fn each_test_that_the_security_page_names_exists() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md")).unwrap();
    let tests: String = ["src", "tests"].iter().flat_map(|it| sources(it)).map(|it| it.text).collect();
    let is_test =
        |name: &&str| name.len() > 20 && name.chars().all(|it| it.is_ascii_lowercase() || it == '_');
    let names: Vec<&str> = page.split('`').skip(1).step_by(2).map(|it| it.trim_end_matches('…')).collect();
    let missing = names.iter().copied().filter(is_test).filter(|name| !tests.contains(&format!("fn {name}")));
    assert_none(
        &missing.map(|name| format!("SECURITY.md names {name}, which is no test")).collect::<Vec<_>>(),
    );
    assert!(names.iter().filter(|name| is_test(name)).count() >= 15, "its promises have tests");
}

#[test]
fn each_line_of_the_log_is_documented() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/OPERATING.md")).unwrap();
    assert_none(&log_lines::undocumented(&sources("src"), &page));
}
