//! Confines a server that has started: it needs few system calls, and no file but its journal.
//!
//! Landlock limits the files that can be opened, and refuses connections. A seccomp filter limits the system calls.
//! Both last until the process ends, and threads that are started later have them too.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, RestrictionStatus,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
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
fn confine_calls(model: Model) -> Result<&'static str, String> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)
        .map_err(|_| format!("no seccomp on {}", std::env::consts::ARCH))?;
    let apply = || -> Result<(), Box<dyn std::error::Error>> {
        Ok(seccompiler::apply_filter(&filter(model, architecture)?)?)
    };
    apply().map(|()| "seccomp").map_err(|error| format!("no seccomp: {error}"))
}

/// The filter. A call that it does not allow fails with `ENOSYS`, as on a kernel without the call: libraries then use
/// an older one, and a forgotten call is an error that is reported, where killing the process would lose connections.
fn filter(model: Model, architecture: TargetArch) -> Result<BpfProgram, Box<dyn std::error::Error>> {
    let mut calls: Vec<(i64, Vec<SeccompRule>)> = CALLS.iter().map(|call| (*call, Vec::new())).collect();
    // Non-blocking sockets.
    calls.push((libc::SYS_ioctl, vec![argument_is(1, SeccompCmpOp::Eq, FIONBIO)?]));
    calls.push((
        libc::SYS_prctl,
        vec![
            // Names of threads and of the allocator's memory.
            argument_is(0, SeccompCmpOp::Eq, PR_SET_NAME)?,
            argument_is(0, SeccompCmpOp::Eq, PR_SET_VMA)?,
        ],
    ));
    if model == Model::Threads {
        calls.extend(THREAD_CALLS.iter().map(|call| (*call, Vec::new())));
        // Threads, but no processes. The arguments of clone3 cannot be read by a filter: the C library then uses clone.
        let thread = SeccompCmpOp::MaskedEq(CLONE_THREAD);
        calls.push((libc::SYS_clone, vec![argument_is(0, thread, CLONE_THREAD)?]));
    }
    let denied = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let filter = SeccompFilter::new(calls.into_iter().collect(), denied, SeccompAction::Allow, architecture)?;
    Ok(filter.try_into()?)
}

fn argument_is(
    index: u8,
    comparison: SeccompCmpOp,
    value: u64,
) -> Result<SeccompRule, seccompiler::BackendError> {
    let condition = SeccompCondition::new(index, SeccompCmpArgLen::Dword, comparison, value)?;
    SeccompRule::new(vec![condition])
}

// As numbers, since their types differ between C libraries.
const FIONBIO: u64 = 0x5421;
const PR_SET_NAME: u64 = 15;
const PR_SET_VMA: u64 = 0x5356_4d41;
const CLONE_THREAD: u64 = 0x0001_0000;

/// What both models use after the start, by themselves and through the C library. Files are limited by Landlock.
const CALLS: &[i64] = &[
    // Streams and datagrams.
    libc::SYS_accept4,
    libc::SYS_close,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_write,
    libc::SYS_writev,
    // Waiting.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_futex,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    // The journal and the log.
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_pwritev2,
    libc::SYS_readlinkat,
    libc::SYS_statx,
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_getrandom,
    // Signals and the end of the process, also by a panic or an abort.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_tkill,
    // Older forms of the above.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
];

/// What a thread needs for its start and its end.
const THREAD_CALLS: &[i64] =
    &[libc::SYS_membarrier, libc::SYS_rseq, libc::SYS_sched_getaffinity, libc::SYS_set_robust_list];

#[cfg(test)]
mod tests;
