//! The modules of a crate, and from a path in one of them to the file that defines what it names.

use std::collections::{BTreeMap, BTreeSet};

use crate::parse::{Import, Module, Segments, Source, parse};

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// Something defined in this file.
    Item(String),
    /// A module itself, by its file.
    Module(String),
    /// Something of another crate, by its whole path there.
    External(Segments),
}

struct Node {
    file: String,
    module: Module,
}

pub(crate) struct Tree {
    /// By the path from the crate's root: `["lib.rs", "net", "kernel"]`.
    nodes: BTreeMap<Segments, Node>,
    /// The name by which one root calls the first.
    name: &'static str,
    /// Files of tests only.
    test_files: BTreeSet<String>,
    all_files: Vec<String>,
}

impl Tree {
    /// `roots` are the root files of the crates, the library first, whose name is `name`.
    pub(crate) fn new(roots: &[&str], name: &'static str, sources: &[Source]) -> Self {
        let all_files = sources.iter().map(|source| source.path.clone()).collect();
        let mut tree = Self { nodes: BTreeMap::new(), name, test_files: BTreeSet::new(), all_files };
        let by_path: BTreeMap<_, _> = sources.iter().map(|source| (source.path.as_str(), source)).collect();
        for root in roots {
            let Some(source) = by_path.get(root) else { continue };
            tree.insert(vec![(*root).to_owned()], "", source, &by_path, false);
        }
        tree
    }

    /// `folder` is where the files of child modules are, with a `/` at its end.
    fn insert(
        &mut self,
        path: Segments,
        folder: &str,
        source: &Source,
        all: &BTreeMap<&str, &Source>,
        is_test: bool,
    ) {
        if is_test {
            self.test_files.insert(source.path.clone());
        }
        self.insert_module(path, folder, &source.path, parse(source), all, is_test);
    }

    fn insert_module(
        &mut self,
        path: Segments,
        folder: &str,
        file: &str,
        mut module: Module,
        all: &BTreeMap<&str, &Source>,
        is_test: bool,
    ) {
        let children = module.files.iter().map(|name| (name, is_test));
        let children: Vec<_> = children.chain(module.test_files.iter().map(|name| (name, true))).collect();
        for (name, is_test) in children {
            let candidates = [format!("{folder}{name}.rs"), format!("{folder}{name}/mod.rs")];
            let Some(source) = candidates.iter().find_map(|file| all.get(file.as_str())) else { continue };
            self.insert(joined(&path, name), &format!("{folder}{name}/"), source, all, is_test);
        }
        for (name, block) in std::mem::take(&mut module.blocks) {
            let folder = format!("{folder}{name}/");
            self.insert_module(joined(&path, &name), &folder, file, block, all, is_test);
        }
        if !is_test {
            self.nodes.insert(path, Node { file: file.to_owned(), module });
        }
    }

    /// The files that hold more than tests.
    pub(crate) fn files(&self) -> BTreeSet<&str> {
        self.nodes.values().map(|node| node.file.as_str()).collect()
    }

    /// Files that no `mod` declares.
    pub(crate) fn unreached(&self) -> Vec<String> {
        let files = self.files();
        let is_unreached =
            |file: &&String| !files.contains(file.as_str()) && !self.test_files.contains(*file);
        self.all_files.iter().filter(is_unreached).map(|file| format!("no `mod` declares {file}")).collect()
    }

    /// What each file uses. A `mod` and the import of a module are no use by themselves, and a re-export of
    /// what a child defines is not either.
    pub(crate) fn uses(&self) -> BTreeSet<(&str, Target)> {
        let mut uses = BTreeSet::new();
        for (path, node) in &self.nodes {
            for import in node.module.imports.values().chain(&node.module.globs) {
                let is_of_child = |target: &Target| self.is_below(path, target);
                let target = self.resolve(path, &import.path, DEPTH);
                let target = target.filter(|target| !(import.is_reexport && is_of_child(target)));
                uses.extend(target.map(|target| (node.file.as_str(), target)));
            }
            let targets = node.module.paths.iter().filter_map(|name| self.resolve(path, name, DEPTH));
            uses.extend(targets.map(|target| (node.file.as_str(), target)));
        }
        uses
    }

    /// Pairs of files, the first of which uses what the second defines.
    pub(crate) fn edges(&self) -> BTreeSet<(&str, String)> {
        let of_crate = |(from, target)| match target {
            Target::Item(to) if to != from => Some((from, to)),
            _ => None,
        };
        self.uses().into_iter().filter_map(of_crate).collect()
    }

    /// The files that define the types that `file` adds methods to.
    pub(crate) fn extended(&self, file: &str) -> BTreeSet<Target> {
        let nodes = self.nodes.iter().filter(|(_, node)| node.file == file);
        nodes
            .flat_map(|(path, node)| {
                node.module.extended.iter().filter_map(|name| self.resolve(path, name, DEPTH))
            })
            .collect()
    }

    fn is_below(&self, path: &[String], target: &Target) -> bool {
        let (Target::Item(file) | Target::Module(file)) = target else { return false };
        self.nodes
            .iter()
            .any(|(other, node)| node.file == *file && other.len() > path.len() && other.starts_with(path))
    }

    /// `left` bounds how many imports are followed: `use log;` imports itself.
    fn resolve(&self, from: &[String], path: &[String], left: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let left = left.checked_sub(1)?;
        match first.as_str() {
            "crate" | "$crate" => self.descend(&from[..1], rest, left),
            "self" if !rest.is_empty() => self.descend(from, rest, left),
            "super" => {
                let parent = &from[..from.len().checked_sub(1).filter(|&length| length > 0)?];
                match rest.first().map(String::as_str) {
                    None => self.descend(parent, rest, left),
                    Some("super") => self.resolve(parent, rest, left),
                    Some(_) => self.descend(parent, rest, left),
                }
            }
            "self" | "Self" => None,
            name => {
                let module = &self.nodes.get(from)?.module;
                let child = joined(from, name);
                if !rest.is_empty() && self.nodes.contains_key(&child) {
                    self.descend(&child, rest, left)
                } else if let Some(import) = module.imports.get(name) {
                    self.follow(from, import, rest, left)
                } else if module.items.contains(name) {
                    Some(Target::Item(self.nodes[from].file.clone()))
                } else if let Some(target) = self.by_glob(from, path, left) {
                    Some(target)
                } else if name == self.name {
                    let root = self.nodes.keys().find(|path| path.len() == 1)?;
                    self.descend(&root.clone(), rest, left)
                } else {
                    Some(Target::External(path.to_vec()))
                }
            }
        }
    }

    /// What `path` names in the module `from`, seen from outside.
    fn descend(&self, from: &[String], path: &[String], left: usize) -> Option<Target> {
        let left = left.checked_sub(1)?;
        let node = self.nodes.get(from)?;
        let Some((name, rest)) = path.split_first() else { return Some(Target::Module(node.file.clone())) };
        let child = joined(from, name);
        let is_item = node.module.items.contains(name);
        if self.nodes.contains_key(&child) && !(rest.is_empty() && is_item) {
            self.descend(&child, rest, left)
        } else if is_item {
            Some(Target::Item(node.file.clone()))
        } else if let Some(import) = node.module.imports.get(name) {
            self.follow(from, import, rest, left)
        } else {
            self.by_glob(from, path, left).or_else(|| Some(Target::Item(node.file.clone())))
        }
    }

    fn follow(&self, from: &[String], import: &Import, rest: &[String], left: usize) -> Option<Target> {
        let path: Segments = import.path.iter().chain(rest).cloned().collect();
        if left > 0 && import.path.len() == 1 && self.is_own_name(from, import) {
            return Some(Target::External(path));
        }
        self.resolve(from, &path, left)
    }

    /// `use log;`: the name is looked up outside the module, not in it.
    fn is_own_name(&self, from: &[String], import: &Import) -> bool {
        let child = joined(from, &import.path[0]);
        !self.nodes.contains_key(&child)
    }

    /// What a glob import of `from` brings for `path`, if that is certain.
    fn by_glob(&self, from: &[String], path: &[String], left: usize) -> Option<Target> {
        let globs = &self.nodes.get(from)?.module.globs;
        globs.iter().find_map(|glob| {
            let Some(Target::Module(_)) = self.resolve(from, &glob.path, left) else { return None };
            let whole: Segments = glob.path.iter().chain(path).cloned().collect();
            let module = self.module_at(from, &glob.path)?;
            let brings = module.items.contains(&path[0]) || module.imports.contains_key(&path[0]);
            brings.then(|| self.resolve(from, &whole, left)).flatten()
        })
    }

    fn module_at(&self, from: &[String], path: &[String]) -> Option<&Module> {
        let mut at = from.to_vec();
        for segment in path {
            match segment.as_str() {
                "crate" => at.truncate(1),
                "self" => {}
                "super" => drop(at.pop()),
                name => at.push(name.to_owned()),
            }
        }
        self.nodes.get(&at).map(|node| &node.module)
    }
}

/// More imports of imports than any code has.
const DEPTH: usize = 40;

fn joined(path: &[String], name: &str) -> Segments {
    path.iter().cloned().chain([name.to_owned()]).collect()
}
