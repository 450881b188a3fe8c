//! The checks. Each returns its violations as sentences.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::parse::{Source, identifiers};
use crate::tree::{Target, Tree};

pub(crate) type Layer = &'static [&'static str];
pub(crate) type Unit = &'static [&'static str];

/// Paths of other crates, and which modules may use what begins with them.
pub(crate) struct Facility {
    pub(crate) paths: &'static [&'static str],
    pub(crate) users: &'static [&'static str],
}

pub(crate) fn layers(tree: &Tree, layers: &[Layer]) -> Vec<String> {
    let rank = |file: &str| rank(file, layers);
    let mut violations = Vec::new();
    for file in tree.files() {
        if rank(file).is_none() {
            violations.push(format!("{file} is in no layer"));
        }
    }
    for entry in layers.iter().copied().flatten() {
        if !tree.files().iter().any(|file| covers(entry, file)) {
            violations.push(format!("a layer names {entry}, which does not exist"));
        }
    }
    for (from, to) in tree.edges() {
        if rank(from) < rank(&to) {
            violations.push(format!("{from} imports {to}, which is above it"));
        }
    }
    violations
}

/// The layer of a file, and its entry there: the longest that covers it.
fn rank(file: &str, layers: &[Layer]) -> Option<(usize, usize)> {
    let entries = layers.iter().enumerate().flat_map(|(layer, entries)| {
        entries.iter().enumerate().map(move |(index, entry)| (*entry, (layer, index)))
    });
    entries
        .filter(|(entry, _)| covers(entry, file))
        .max_by_key(|(entry, _)| entry.len())
        .map(|(_, rank)| rank)
}

/// Whether `file` is the file of the module `entry`, or of a module in it.
fn covers(entry: &str, file: &str) -> bool {
    file.strip_prefix(entry).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

pub(crate) fn cycles(tree: &Tree, units: &[Unit]) -> Vec<String> {
    let unit = |file: &str| -> String {
        let unit = units.iter().find(|unit| unit.contains(&file));
        unit.map_or(file, |unit| unit[0]).to_owned()
    };
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in tree.edges() {
        let (from, to) = (unit(from), unit(&to));
        if from != to {
            graph.entry(from).or_default().insert(to);
        }
    }
    let mut violations = BTreeMap::new();
    for start in graph.keys() {
        if let Some(cycle) = shortest_cycle(&graph, start) {
            let members: BTreeSet<String> = cycle.iter().cloned().collect();
            violations.entry(members).or_insert_with(|| cycle.join(" -> "));
        }
    }
    violations.into_values().map(|cycle| format!("a cycle of imports: {cycle}")).collect()
}

fn shortest_cycle(graph: &BTreeMap<String, BTreeSet<String>>, start: &String) -> Option<Vec<String>> {
    let mut paths = vec![vec![start.clone()]];
    let mut seen = BTreeSet::new();
    while !paths.is_empty() {
        let mut longer = Vec::new();
        for path in paths {
            for next in graph.get(path.last().unwrap()).into_iter().flatten() {
                let mut path = path.clone();
                path.push(next.clone());
                if next == start {
                    return Some(path);
                }
                if seen.insert(next.clone()) {
                    longer.push(path);
                }
            }
        }
        paths = longer;
    }
    None
}

pub(crate) fn units(tree: &Tree, units: &[Unit]) -> Vec<String> {
    let mut violations = Vec::new();
    for unit in units {
        for file in &unit[1..] {
            if !tree.extended(file).contains(&Target::Item(unit[0].to_owned())) {
                violations.push(format!("{file} adds no method to a type of {}", unit[0]));
            }
        }
    }
    violations
}

pub(crate) fn unreached(tree: &Tree) -> Vec<String> {
    tree.unreached().map(|file| format!("no `mod` declares {file}")).collect()
}

pub(crate) fn facilities(tree: &Tree, facilities: &[Facility]) -> Vec<String> {
    let mut violations = Vec::new();
    for facility in facilities {
        let mut unused: BTreeSet<&str> = facility.users.iter().copied().collect();
        for (file, target) in tree.uses() {
            let Target::External(path) = target else { continue };
            let path = path.join("::");
            if !facility.paths.iter().any(|name| concerns(&path, name)) {
                continue;
            }
            match facility.users.iter().find(|user| covers(user, file)) {
                Some(user) => drop(unused.remove(user)),
                None => violations.push(format!("{file} uses {path}")),
            }
        }
        let name = facility.paths[0];
        violations.extend(unused.iter().map(|user| format!("{user} may use {name}, but does not")));
    }
    violations
}

/// Whether `path` is `name`, something in it, or a glob that brings it.
fn concerns(path: &str, name: &str) -> bool {
    let is_in = path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    is_in || path.strip_suffix('*').is_some_and(|source| name.starts_with(source))
}

pub(crate) fn unsafe_code(sources: &[Source]) -> Vec<String> {
    let is_unsafe = |source: &&Source| identifiers(&source.text).iter().any(|name| name == "unsafe");
    sources.iter().filter(is_unsafe).map(|source| format!("{} has unsafe code", source.path)).collect()
}

pub(crate) fn first_line(sources: &[Source]) -> Vec<String> {
    let lacks_it = |source: &&Source| !source.text.starts_with("//! ");
    sources
        .iter()
        .filter(lacks_it)
        .map(|source| format!("{} does not begin with `//! `", source.path))
        .collect()
}

pub(crate) fn length(sources: &[Source], lines_max: usize) -> Vec<String> {
    let lines = sources.iter().map(|source| (&source.path, source.text.lines().count()));
    let long = lines.filter(|(_, lines)| *lines > lines_max);
    long.map(|(path, lines)| format!("{path} has {lines} lines, more than {lines_max}")).collect()
}

/// Files and folders directly in the source folder.
pub(crate) fn entries(sources: &[Source], entries_max: usize) -> Vec<String> {
    let entries: BTreeSet<&str> =
        sources.iter().map(|source| source.path.split('/').next().unwrap()).collect();
    let count = entries.len();
    let too_many = count > entries_max;
    too_many.then(|| format!("{count} entries, more than {entries_max}: {entries:?}")).into_iter().collect()
}

/// `exists` is whether a file is in the project, by its path from the root.
pub(crate) fn map(map: &str, sources: &[Source], exists: impl Fn(&str) -> bool) -> Vec<String> {
    let named: BTreeSet<&str> = map.split('`').skip(1).step_by(2).collect();
    let files: BTreeSet<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let missing = files.iter().filter(|file| !named.contains(*file));
    let missing = missing.map(|file| format!("ARCHITECTURE.md does not name `{file}`"));
    let is_source = |name: &str| Path::new(name).extension().is_some_and(|extension| extension == "rs");
    let is_gone = |name: &&&str| is_source(name) && !files.contains(*name) && !exists(name);
    let gone = named.iter().filter(is_gone);
    missing.chain(gone.map(|name| format!("ARCHITECTURE.md names `{name}`, which does not exist"))).collect()
}
