//! The modules of a crate, and from a path in one of them to the file that defines what the path names.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use crate::parse::{Import, Module, Segments, Source, parse};

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// Something defined in this file.
    Item(String),
    /// A module itself, by its path.
    Module(Segments),
    /// Something of another crate, by its whole path there.
    External(Segments),
}

struct Node {
    file: String,
    module: Module,
}

pub(crate) struct Tree {
    /// By the path from the root of the crate: `["lib.rs", "net", "kernel"]`.
    nodes: BTreeMap<Segments, Node>,
    /// The name by which other roots call the first.
    name: &'static str,
    /// Files that only tests need.
    test_files: BTreeSet<String>,
    files: BTreeSet<String>,
}

/// The sources that are not in a tree yet, by path.
type Sources<'a> = BTreeMap<&'a str, &'a Source>;

impl Tree {
    /// `roots` are the root files of the crates, the library first, whose name is `name`.
    pub(crate) fn new(roots: &[&str], name: &'static str, sources: &[Source]) -> Self {
        let files = sources.iter().map(|source| source.path.clone()).collect();
        let mut tree = Self { nodes: BTreeMap::new(), name, test_files: BTreeSet::new(), files };
        let sources: Sources = sources.iter().map(|source| (source.path.as_str(), source)).collect();
        for root in roots {
            tree.insert_file(vec![(*root).to_owned()], sources[root], &sources, false);
        }
        tree
    }

    fn insert_file(&mut self, path: Segments, source: &Source, sources: &Sources, is_test: bool) {
        if is_test {
            self.test_files.insert(source.path.clone());
        }
        self.insert(path, &source.path, parse(source), sources, is_test);
    }

    fn insert(&mut self, path: Segments, file: &str, mut module: Module, sources: &Sources, is_test: bool) {
        let files = module.files.iter().map(|name| (name, is_test));
        for (name, is_test) in files.chain(module.test_files.iter().map(|name| (name, true))) {
            let child = joined(&path, name);
            let stem = child[1..].join("/");
            let candidates = [format!("{stem}.rs"), format!("{stem}/mod.rs")];
            if let Some(source) = candidates.iter().find_map(|file| sources.get(file.as_str())) {
                self.insert_file(child, source, sources, is_test);
            }
        }
        for (name, block) in mem::take(&mut module.blocks) {
            self.insert(joined(&path, &name), file, block, sources, is_test);
        }
        if !is_test {
            self.nodes.insert(path, Node { file: file.to_owned(), module });
        }
    }

    /// The files that not only tests need.
    pub(crate) fn files(&self) -> BTreeSet<&str> {
        self.nodes.values().map(|node| node.file.as_str()).collect()
    }

    /// The files that no `mod` declares.
    pub(crate) fn unreached(&self) -> impl Iterator<Item = &String> {
        let reached = self.files();
        self.files.difference(&self.test_files).filter(move |file| !reached.contains(file.as_str()))
    }

    /// What each file uses. To declare or import a module is not to use it, and neither is to re-export
    /// what a child defines.
    pub(crate) fn uses(&self) -> BTreeSet<(&str, Target)> {
        let mut uses = BTreeSet::new();
        for (path, node) in &self.nodes {
            let imports = node.module.imports.iter();
            let imports = imports.filter(|import| !(import.is_reexport && self.is_of_child(path, import)));
            // One name alone is no path into another crate, but a variable or something of the prelude.
            let is_path = |name: &&Segments| name.len() > 1 || self.lookup(path, name, IMPORTS_MAX).is_some();
            let names = node.module.paths.iter().filter(is_path);
            let targets = imports.map(|import| &import.path).chain(names);
            let targets = targets.filter_map(|name| self.resolve(path, name, IMPORTS_MAX));
            uses.extend(targets.map(|target| (node.file.as_str(), target)));
        }
        uses
    }

    /// Pairs of files, the first of which uses what the second defines.
    pub(crate) fn edges(&self) -> BTreeSet<(&str, String)> {
        let edge = |(from, target)| match target {
            Target::Item(to) if to != from => Some((from, to)),
            Target::Item(_) | Target::Module(_) | Target::External(_) => None,
        };
        self.uses().into_iter().filter_map(edge).collect()
    }

    /// The files that define the types that `file` adds methods to.
    pub(crate) fn extended(&self, file: &str) -> BTreeSet<Target> {
        let nodes = self.nodes.iter().filter(|(_, node)| node.file == file);
        let names = nodes.flat_map(|(path, node)| node.module.extended.iter().map(move |name| (path, name)));
        names.filter_map(|(path, name)| self.resolve(path, name, IMPORTS_MAX)).collect()
    }

    fn is_of_child(&self, path: &[String], import: &Import) -> bool {
        let is_below = |other: &[String]| other.len() > path.len() && other.starts_with(path);
        match self.resolve(path, &import.path, IMPORTS_MAX) {
            Some(Target::Item(file)) => {
                self.nodes.iter().any(|(other, node)| node.file == file && is_below(other))
            }
            Some(Target::Module(module)) => is_below(&module),
            Some(Target::External(_)) | None => false,
        }
    }

    /// What `path` names when it is written in the module `from`. `left` bounds how many imports are
    /// followed, since `use log;` imports itself.
    fn resolve(&self, from: &[String], path: &[String], left: usize) -> Option<Target> {
        let left = left.checked_sub(1)?;
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.descend(&from[..1], rest, left),
            "super" if from.len() > 1 => {
                let parent = &from[..from.len() - 1];
                let again = rest.first().is_some_and(|next| next == "super");
                if again { self.resolve(parent, rest, left) } else { self.descend(parent, rest, left) }
            }
            "self" if rest.first().is_some_and(|next| next == "super") => self.resolve(from, rest, left),
            "self" if !rest.is_empty() => self.descend(from, rest, left),
            "self" | "super" | "Self" => None,
            name if name == self.name => {
                let root = self.nodes.keys().find(|path| path.len() == 1)?;
                self.descend(root, rest, left)
            }
            _ => self.lookup(from, path, left).or_else(|| Some(Target::External(path.to_vec()))),
        }
    }

    /// As `lookup`, but a name that is not found is one that only the compiler sees: a macro makes it.
    fn descend(&self, from: &[String], path: &[String], left: usize) -> Option<Target> {
        let file = || Some(Target::Item(self.nodes.get(from)?.file.clone()));
        self.lookup(from, path, left).or_else(file)
    }

    /// What `path` names from the module `from` down: a child, an item, or an import of it.
    fn lookup(&self, from: &[String], path: &[String], left: usize) -> Option<Target> {
        let left = left.checked_sub(1)?;
        let Node { file, module } = self.nodes.get(from)?;
        let Some((name, rest)) = path.split_first() else { return Some(Target::Module(from.to_vec())) };
        let child = joined(from, name);
        let is_item = module.items.contains(name);
        if self.nodes.contains_key(&child) && !(rest.is_empty() && is_item) {
            return self.descend(&child, rest, left);
        }
        if is_item || name == "*" {
            return Some(Target::Item(file.clone()));
        }
        let with_rest = |import: &Import| -> Segments { import.path.iter().chain(rest).cloned().collect() };
        if let Some(import) = module.imports.iter().find(|import| import.name == *name) {
            return self.resolve(from, &with_rest(import), left);
        }
        module.imports.iter().filter(|import| import.name == "*").find_map(|glob| {
            let source = &glob.path[..glob.path.len() - 1];
            let Some(Target::Module(module)) = self.resolve(from, source, left) else { return None };
            self.lookup(&module, path, left)
        })
    }
}

/// More imports of imports than any code has.
const IMPORTS_MAX: usize = 30;

fn joined(path: &[String], name: &str) -> Segments {
    path.iter().cloned().chain([name.to_owned()]).collect()
}
