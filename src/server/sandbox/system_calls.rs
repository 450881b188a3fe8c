//! The system calls of a server that has started, and a seccomp filter that allows no other.

use std::error::Error;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use crate::server::options::Model;

/// Allows this process, from now on, only the system calls of `model`.
///
/// # Errors
/// The kernel has no such filters.
pub(super) fn confine(model: Model) -> Result<(), Box<dyn Error>> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    Ok(seccompiler::apply_filter(&filter(model, architecture)?)?)
}

/// The filter. A call that it does not allow fails with `ENOSYS`, as on a kernel without the call: libraries then use
/// an older one, and a forgotten call is an error that is reported, where killing the process would lose connections.
fn filter(model: Model, architecture: TargetArch) -> Result<BpfProgram, Box<dyn Error>> {
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
