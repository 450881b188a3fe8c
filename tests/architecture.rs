//! The floors: which file may know which, and what each floor may not touch.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules, floor by floor. A module imports from floors below its own, and on its own floor from
/// modules that stand before it. Modules below another (`client/stream.rs`) belong to it.
const FLOORS: [&[&str]; 6] = [
    // Bytes and numbers: no I/O, no clock, no log.
    &["frame", "escape", "units", "figures", "html", "limits"],
    &["service", "endpoint"],
    &[
        "deadlines",
        "token",
        "peers",
        "conn",
        "conn_table",
        "counters",
        "sessions",
        "datagrams",
        "sockets",
        "net",
        "journal",
    ],
    &["event_loop"],
    &[
        "options",
        "descriptors",
        "destination",
        "startup",
        "stderr",
        "colours",
        "results",
        "doctor",
        "threads",
        "server",
        "client",
        "plot",
        "page",
        "load",
        "compare",
    ],
    &["logger", "cli", "minimal"],
];

struct Source {
    path: PathBuf,
    /// The module on a floor that the file belongs to.
    module: String,
    text: String,
}

impl Source {
    /// The code without its tests, comments and text.
    fn code(&self) -> String {
        let code = self.text.split("#[cfg(test)]\nmod ").next().unwrap();
        code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let inside = path.strip_prefix(&root).unwrap();
                let module = inside.components().next().unwrap().as_os_str().to_str().unwrap();
                let module = module.trim_end_matches(".rs").to_owned();
                let text = fs::read_to_string(&path).unwrap();
                sources.push(Source { path, module, text });
            }
        }
    }
    assert!(sources.len() > 30, "the sources are found");
    sources
}

/// Place of every module: its floor, then its place there.
fn places() -> BTreeMap<&'static str, (usize, usize)> {
    let mut places = BTreeMap::new();
    for (floor, modules) in FLOORS.iter().enumerate() {
        for (place, module) in modules.iter().enumerate() {
            assert!(places.insert(*module, (floor, place)).is_none(), "{module} stands twice");
        }
    }
    places
}

/// What follows `crate::` in `code`, including the first names of a group.
fn imported(code: &str) -> Vec<String> {
    let names = code.split("crate::").skip(1).flat_map(|rest| match rest.strip_prefix('{') {
        None => vec![rest],
        Some(group) => group.split('}').next().unwrap().split(',').map(str::trim).collect(),
    });
    let name = |text: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned();
    names.map(name).filter(|name| !name.is_empty()).collect()
}

#[test]
fn a_file_imports_only_from_below() {
    let places = places();
    for source in sources() {
        if source.module == "lib" || source.module == "main" {
            continue;
        }
        let own = *places
            .get(source.module.as_str())
            .unwrap_or_else(|| panic!("{} stands on no floor", source.path.display()));
        for import in imported(&source.code()) {
            let Some(place) = places.get(import.as_str()) else { continue };
            assert!(
                import == source.module || *place < own,
                "{} imports {import}, which is not below it",
                source.path.display()
            );
        }
    }
}

fn is_kernel(path: &Path) -> bool {
    path.ends_with("net/kernel.rs") || path.ends_with("net/kernel/dial.rs")
}

#[test]
fn mio_is_known_in_one_room() {
    for source in sources() {
        let names_it = source.code().contains("mio::") || source.code().contains("signal_hook_mio");
        assert_eq!(names_it, is_kernel(&source.path), "{}", source.path.display());
    }
}

#[test]
fn sockets_clocks_and_threads_stay_in_their_rooms() {
    let places = places();
    let floor = |source: &Source| places.get(source.module.as_str()).map_or(usize::MAX, |place| place.0);
    for source in sources() {
        let code = source.code();
        let has = |names: &[&str]| names.iter().any(|name| code.contains(name));
        let path = source.path.display();
        let sockets = ["TcpListener", "TcpStream", "UdpSocket", "socket2"];
        let clocks = ["Instant", "SystemTime"];
        if floor(&source) < 2 {
            assert!(!has(&sockets) && !has(&clocks) && !has(&["log::", "File"]), "{path}");
        }
        if floor(&source) < 3 && !is_kernel(&source.path) {
            assert!(!has(&clocks), "{path} reads a clock");
        }
        if floor(&source) == 3 {
            assert!(!has(&sockets) && !has(&clocks), "{path} goes around the seam");
        }
        if source.module != "threads" {
            assert!(!has(&["thread::spawn", "thread::Builder", "thread::sleep", "thread::scope"]), "{path}");
        }
        if !source.path.ends_with("compare/child.rs") {
            assert!(!has(&["process::Command", "Command::new"]), "{path} starts a process");
        }
        assert!(!has(&["unsafe "]), "{path}");
    }
}

#[test]
fn every_file_says_what_it_is_about() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> = sources().into_iter().map(|source| source.path).collect();
    for folder in ["tests", "tests/sim", "tests/common", "examples"] {
        let entries = fs::read_dir(root.join(folder)).into_iter().flatten();
        files.extend(entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some()));
    }
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{} does not begin with a //! line", file.display());
    }
}

#[test]
fn the_map_names_every_module() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    for source in sources() {
        let inside = source.path.strip_prefix(root.join("src")).unwrap();
        let name = format!("`{}`", inside.display());
        assert!(map.contains(&name), "ARCHITECTURE.md does not name {name}");
    }
    for name in map.split('`').skip(1).step_by(2) {
        let is_file = Path::new(name).extension().is_some_and(|extension| extension == "rs");
        let exists = ["src", ""].iter().any(|folder| root.join(folder).join(name).exists());
        assert!(!is_file || exists, "ARCHITECTURE.md names {name}, which is not there");
    }
}
