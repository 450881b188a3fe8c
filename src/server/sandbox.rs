//! Confines a server that has started: it needs few system calls, and no file but its journal.
//!
//! Landlock limits the files that can be opened, and refuses connections. A seccomp filter limits the system calls.
//! Both last until the process ends, and threads that are started later have them too.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
mod system_calls;

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, RestrictionStatus,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};

use crate::server::ServeError;
use crate::server::options::{Model, Sandbox};

/// How a server is confined, and what it goes on to need.
#[derive(Debug, Clone)]
pub(crate) struct Confinement {
    pub(super) sandbox: Sandbox,
    /// The journal, if it is opened again by its name.
    pub(super) journal: Option<PathBuf>,
}

impl Confinement {
    /// Confines this process to what `model` needs once it has started.
    ///
    /// # Errors
    /// It must be confined, and this kernel cannot do that.
    pub(super) fn enter(&self, model: Model) -> Result<(), ServeError> {
        if self.sandbox == Sandbox::Off {
            return Ok(());
        }
        let journal = self.journal.as_deref().map(journal_paths).unwrap_or_default();
        enter(self.sandbox == Sandbox::On, model, journal)
    }
}

fn enter(is_required: bool, model: Model, journal: Vec<JournalPath>) -> Result<(), ServeError> {
    let (mut parts, mut missing) = (Vec::new(), Vec::new());
    match confine_files(journal, &mut missing) {
        Ok(part) => parts.push(part),
        Err(why) => missing.push(why),
    }
    // The filter comes last: it allows no further restriction.
    match confine_calls(model) {
        Ok(part) => parts.push(part),
        Err(why) => missing.push(why),
    }
    if !missing.is_empty() {
        let missing = missing.join(", ");
        if is_required {
            return Err(ServeError::Start(format!("--sandbox on: {missing}")));
        }
        log::warn!("sandbox: incomplete: {missing}");
    }
    log::info!("sandbox: {}", if parts.is_empty() { "none".into() } else { parts.join(", ") });
    Ok(())
}

/// What a server goes on to open for its journal.
#[derive(Debug, Clone, PartialEq, Eq)]
enum JournalPath {
    /// The directory in which it is opened again by its name.
    Directory(PathBuf),
    /// The file alone: it is in `/`, and below that is everything.
    File(PathBuf),
}

/// Where the journal is opened again by its name. It may be a link to a file elsewhere.
fn journal_paths(path: &Path) -> Vec<JournalPath> {
    let target = path.canonicalize().ok();
    let mut paths: Vec<JournalPath> =
        [Some(path), target.as_deref()].into_iter().flatten().map(journal_path).collect();
    paths.dedup();
    if paths.iter().any(|path| matches!(path, JournalPath::File(_))) {
        log::warn!(
            "the sandbox leaves only the journal itself open, since it is in /: it cannot be opened again after a \
             rotation"
        );
    }
    paths
}

fn journal_path(path: &Path) -> JournalPath {
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    };
    if directory.canonicalize().is_ok_and(|directory| directory == Path::new("/")) {
        JournalPath::File(path.into())
    } else {
        JournalPath::Directory(directory.into())
    }
}

/// The newest version of Landlock whose rights are used. On older kernels, those that they have.
const LANDLOCK: ABI = ABI::V6;

/// Allows only `journal` to be written, and the files that the kernel has about this process to be read. A path that
/// cannot be opened is not allowed, and added to `missing`.
fn confine_files(journal: Vec<JournalPath>, missing: &mut Vec<String>) -> Result<&'static str, String> {
    match restrict(journal, missing) {
        Ok(status) if status.ruleset == RulesetStatus::NotEnforced => {
            Err("this kernel has no Landlock".into())
        }
        Ok(_) => Ok("Landlock"),
        Err(error) => Err(format!("no Landlock: {error}")),
    }
}

fn restrict(
    journal: Vec<JournalPath>,
    missing: &mut Vec<String>,
) -> Result<RestrictionStatus, Box<dyn std::error::Error>> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?;
    let in_file = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
    // The directory itself is opened to sync the entry of a new file.
    let in_directory = in_file | AccessFs::MakeReg | AccessFs::ReadDir;
    for path in journal {
        let (path, rights) = match path {
            JournalPath::Directory(path) => (path, in_directory),
            JournalPath::File(path) => (path, in_file),
        };
        match PathFd::new(&path) {
            Ok(opened) => rules = rules.add_rule(PathBeneath::new(opened, rights))?,
            Err(error) => {
                missing.push(format!("the journal cannot be opened again after a rotation: {error}"));
            }
        }
    }
    // The state of this process, such as its number of threads and its descriptors, and the counters of its network.
    if let Ok(process) = PathFd::new("/proc/self") {
        rules = rules.add_rule(PathBeneath::new(process, AccessFs::ReadFile | AccessFs::ReadDir))?;
    }
    Ok(rules.restrict_self()?)
}

/// Allows only the system calls of a server that has started.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
fn confine_calls(model: Model) -> Result<&'static str, String> {
    system_calls::confine(model).map(|()| "seccomp").map_err(|error| format!("no seccomp: {error}"))
}

/// The library for filters knows no other processors.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
fn confine_calls(_model: Model) -> Result<&'static str, String> {
    Err(format!("no seccomp on {}", std::env::consts::ARCH))
}

#[cfg(test)]
mod tests;
