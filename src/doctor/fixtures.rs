//! A machine that a test makes up: a tree of files that says what the test wants.

use super::machine::Machine;

/// A machine on which nothing binds below a hundred million, but for the files of `changed`: a path and
/// what is in it, or `None` for a file that is not there.
pub(super) fn machine(changed: &[(&str, Option<&str>)]) -> Machine {
    let root = tempfile::tempdir().unwrap();
    let generous = GENEROUS.iter().map(|(path, text)| (*path, Some(*text)));
    for (path, text) in generous.chain(changed.iter().copied()) {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match text {
            Some(text) => std::fs::write(path, text).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
    }
    Machine { page_bytes: 4096, processors: Some(2), ..Machine::read(root.path()) }
}

const GENEROUS: &[(&str, &str)] = &[
    (
        "proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max processes             unlimited            unlimited            processes \n\
         Max open files            1024                 1000000000           files     \n",
    ),
    ("proc/self/status", "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n"),
    ("proc/self/cgroup", "0::/made/up\n"),
    ("proc/sys/fs/nr_open", "1000000000\n"),
    ("proc/sys/fs/file-max", "9223372036854775807\n"),
    ("proc/sys/fs/file-nr", "600\t0\t9223372036854775807\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
    ("proc/sys/net/ipv4/ip_local_reserved_ports", "\n"),
    ("proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
    ("proc/sys/net/netfilter/nf_conntrack_count", "0\n"),
    ("proc/meminfo", "MemTotal:       9999999999 kB\nMemAvailable:   8999999999 kB\n"),
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
