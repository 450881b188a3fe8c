//! A machine for tests: a tree of files.

use super::machine::Machine;

/// A machine that allows a hundred million connections, except for the files of `changed`: a path and its text,
/// or `None` for a file that does not exist. In `limits`, `status` and `meminfo`, each line of the text
/// replaces the line of the same name.
pub(super) fn machine(changed: &[(&str, Option<&str>)]) -> Machine {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    BY_LINE.iter().chain(WHOLE).for_each(|(path, text)| write(path, text));
    for (path, text) in changed {
        match (text, BY_LINE.iter().find(|(other, _)| other == path)) {
            (Some(text), None) => write(path, text),
            (Some(text), Some((_, lines))) => write(path, &merged(lines, text)),
            (None, _) => std::fs::remove_file(root.path().join(path)).unwrap(),
        }
    }
    Machine { page_bytes: 4096, processors: Some(2), ..Machine::read(root.path()) }
}

/// `lines`, each replaced by the line of `changed` whose name it begins with.
fn merged(lines: &str, changed: &str) -> String {
    let is_value = |c: char| c == ':' || c.is_ascii_digit();
    let replacement =
        |line: &str| changed.lines().find(|new| line.starts_with(new.split(is_value).next().unwrap().trim()));
    lines.lines().map(|line| replacement(line).unwrap_or(line).to_owned() + "\n").collect()
}

const BY_LINE: &[(&str, &str)] = &[
    (
        "proc/self/limits",
        "Max cpu time unlimited unlimited seconds\nMax file size unlimited unlimited bytes\n\
         Max data size unlimited unlimited bytes\nMax stack size 8388608 unlimited bytes\n\
         Max core file size 0 unlimited bytes\nMax resident set unlimited unlimited bytes\n\
         Max processes unlimited unlimited processes\nMax open files 1024 1000000000 files\n\
         Max locked memory 8388608 8388608 bytes\nMax address space unlimited unlimited bytes\n\
         Max file locks unlimited unlimited locks\nMax pending signals 96365 96365 signals\n\
         Max msgqueue size 819200 819200 bytes\nMax nice priority 0 0\n\
         Max realtime priority 0 0\nMax realtime timeout unlimited unlimited us\n",
    ),
    (
        "proc/self/status",
        "Name:\tloopline\nState:\tR (running)\nTgid:\t7\nPid:\t7\nPPid:\t1\nTracerPid:\t0\n\
         Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t64\nGroups:\t0\nThreads:\t1\nSigQ:\t0/96365\n\
         SigPnd:\t0\nShdPnd:\t0\nSigBlk:\t0\nSigIgn:\t0\nSigCgt:\t0\nCapInh:\t0\n\
         CapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffffff\n",
    ),
    (
        "proc/meminfo",
        "MemTotal: 9999999999 kB\nMemFree: 0 kB\nMemAvailable: 8999999999 kB\nBuffers: 0 kB\nCached: 0 kB\n\
         SwapCached: 0 kB\nActive: 0 kB\nInactive: 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nDirty: 0 kB\n\
         Writeback: 0 kB\nMapped: 0 kB\nSlab: 0 kB\nCommitted_AS: 0 kB\nVmallocTotal: 0 kB\n\
         VmallocUsed: 0 kB\nVmallocChunk: 0 kB\n",
    ),
];

const WHOLE: &[(&str, &str)] = &[
    ("proc/self/cgroup", "0::/made/up\n"),
    ("proc/sys/fs/nr_open", "1000000000\n"),
    ("proc/sys/fs/file-max", "9223372036854775807\n"),
    ("proc/sys/fs/file-nr", "600\t0\t9223372036854775807\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
    ("proc/sys/net/ipv4/ip_local_reserved_ports", "\n"),
    ("proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
    ("proc/sys/net/netfilter/nf_conntrack_count", "0\n"),
    ("sys/fs/cgroup/made/up/memory.max", "max\n"),
    ("sys/fs/cgroup/made/up/memory.current", "1000\n"),
    ("sys/fs/cgroup/made/up/pids.max", "max\n"),
    ("sys/fs/cgroup/made/up/pids.current", "1\n"),
    ("proc/sys/kernel/threads-max", "1000000000\n"),
    ("proc/sys/kernel/pid_max", "1000000000\n"),
    ("proc/loadavg", "0.82 1.07 0.83 1/86 16372\n"),
    ("proc/sys/vm/max_map_count", "1000000000\n"),
    ("proc/sys/net/core/somaxconn", "4096\n"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "2048\n"),
    ("proc/sys/net/ipv4/tcp_syncookies", "1\n"),
    ("proc/sys/net/ipv4/tcp_mem", "300000\t400000\t600000\n"),
    ("proc/sys/net/ipv4/tcp_tw_reuse", "2\n"),
    ("proc/sys/net/ipv4/tcp_max_orphans", "131072\n"),
];
