//! From what a machine says to how many connections it holds: a pure function, and its result.

use std::collections::BTreeMap;

use serde::Serialize;

use super::bursts::{Burst, bursts};
use super::limit::{Lift, Limit, Role};
use super::machine::Machine;
use super::memory::ConnectionBytes;
use super::{descriptors, memory, ports, threads};

/// What a machine can hold, as `--json` writes it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Diagnosis {
    /// Version of the program.
    pub loopline: &'static str,
    /// The connections asked about.
    pub asked: Option<u64>,
    /// For each role, how many connections there can be.
    pub verdicts: BTreeMap<Role, Verdict>,
    /// The limits that bound how many there are.
    pub limits: Vec<Limit>,
    /// For each role, what an idle connection takes of memory.
    pub bytes_per_connection: BTreeMap<Role, ConnectionBytes>,
    /// The limits that bound how many do something at once.
    pub bursts: Vec<Burst>,
    /// Processors. One process uses one, and `--reuse-port` lets several share a port.
    pub processors: Option<usize>,
}

/// How many connections there can be.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verdict {
    /// So many, unless no limit is known.
    pub connections: Option<u64>,
    /// The limit that binds first.
    pub limited_by: Option<&'static str>,
    /// Whether as many fit as were asked for.
    pub fits: Option<bool>,
    /// What to do: about each limit below what was asked, or else about the one that binds first.
    pub lifts: Vec<LimitLift>,
}

/// What lifts one limit.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LimitLift {
    /// The limit's name.
    pub limit: &'static str,
    /// Connections that it allows now.
    pub allows: u64,
    /// Connections that it allows then.
    pub target: u64,
    /// How.
    #[serde(flatten)]
    pub lift: Lift,
}

/// What `machine` can hold, and what must change for `asked` connections.
#[must_use]
pub(crate) fn diagnose(machine: &Machine, asked: Option<u64>) -> Diagnosis {
    let limits = vec![
        descriptors::of_a_process(machine),
        descriptors::of_the_system(machine),
        ports::ports(machine),
        ports::tracked(machine),
        memory::of_the_machine(machine),
        memory::of_the_group(machine),
    ];
    let limits: Vec<Limit> = limits.into_iter().chain(threads::all(machine)).collect();
    Diagnosis {
        loopline: env!("CARGO_PKG_VERSION"),
        asked,
        verdicts: Role::ALL.map(|role| (role, verdict(machine, &limits, role, asked))).into(),
        bytes_per_connection: Role::ALL.map(|role| (role, ConnectionBytes::of(role))).into(),
        bursts: bursts(machine, asked),
        processors: machine.processors,
        limits,
    }
}

fn verdict(machine: &Machine, limits: &[Limit], role: Role, asked: Option<u64>) -> Verdict {
    let mut binding: Vec<(&Limit, u64)> =
        limits.iter().filter_map(|limit| Some((limit, *limit.allows.get(&role)?))).collect();
    binding.sort_by_key(|(_, allows)| *allows);
    let first = binding.first().copied();
    let lifted = match asked {
        Some(asked) => binding.iter().take_while(|(_, allows)| *allows < asked).count(),
        None => 1.min(binding.len()),
    };
    let lifts = binding[..lifted].iter().map(|(limit, allows)| {
        let target = asked.unwrap_or_else(|| worthwhile(*allows, &binding));
        let lift = (limit.lift)(machine, role, target);
        LimitLift { limit: limit.name, allows: *allows, target, lift }
    });
    Verdict {
        connections: first.map(|(_, allows)| allows),
        limited_by: first.map(|(limit, _)| limit.name),
        fits: asked.zip(first).map(|(asked, (_, allows))| asked <= allows),
        lifts: lifts.collect(),
    }
}

/// What to lift a limit to when nobody said how many connections are wanted: to the next limit, or to what
/// systems let a process have without more ado, whichever is less.
fn worthwhile(allows: u64, binding: &[(&Limit, u64)]) -> u64 {
    let next = binding.iter().map(|(_, other)| *other).find(|other| *other > allows);
    let enough = if allows < A_MILLION { A_MILLION } else { allows.saturating_mul(2) };
    next.unwrap_or(enough).min(enough)
}

const A_MILLION: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::machine;

    /// A file with a narrow limit in it, the limit and the roles that it binds, and as many as it allows.
    type Narrow = (&'static str, &'static str, &'static str, &'static [Role], u64);

    const LIMITS: &str = "proc/self/limits";
    const GROUP: &str = "sys/fs/cgroup/made/up";
    const BOTH_ENDS: &[Role] = &[Role::Serve, Role::ServeThreads, Role::Drive, Role::DriveBeyond];
    const SERVING: &[Role] = &[Role::Serve, Role::ServeThreads];
    const DRIVING: &[Role] = &[Role::Drive, Role::DriveBeyond];
    const THREADS: &[Role] = &[Role::ServeThreads];

    const NARROW: &[Narrow] = &[
        // 300 are 18 for refusals, 32 kept and 5 endpoints.
        (LIMITS, "Max open files  100  300  files\n", "descriptors of a process", SERVING, 245),
        (LIMITS, "Max open files  100  300  files\n", "descriptors of a process", DRIVING, 268),
        ("proc/sys/fs/nr_open", "2048\n", "descriptors of a process", SERVING, 2048 - 101),
        ("proc/sys/fs/file-max", "2648\n", "open files of the system", SERVING, 2048 - 101),
        ("proc/sys/fs/file-max", "2648\n", "open files of the system", DRIVING, 2048 - 32),
        (PORT_RANGE, "40000 40099\n", "ports of a source address", &[Role::DriveBeyond], 100),
        (TRACKED, "262000\n", "tracked connections (conntrack)", BOTH_ENDS, 144),
        ("proc/meminfo", "MemAvailable:  20480 kB\n", "memory", &[Role::Serve], 4096 * 1024 / 4232),
        ("proc/meminfo", "MemAvailable:  20480 kB\n", "memory", DRIVING, 4096 * 1024 / 4248),
        ("proc/meminfo", "MemAvailable:  20480 kB\n", "memory", THREADS, 4096 * 1024 / 40_300),
        (GROUP_MEMORY, "20972520\n", "memory of the control group", &[Role::Serve], 4096 * 1024 / 4232),
        (GROUP_TASKS, "181\n", "tasks of the control group", THREADS, 100),
        ("proc/sys/vm/max_map_count", "65530\n", "memory maps of a process", THREADS, 16_278),
        ("proc/sys/kernel/threads-max", "1166\n", "tasks of the system", THREADS, 1000),
        ("proc/sys/kernel/pid_max", "1166\n", "tasks of the system", THREADS, 1000),
    ];

    const PORT_RANGE: &str = "proc/sys/net/ipv4/ip_local_port_range";
    const TRACKED: &str = "proc/sys/net/netfilter/nf_conntrack_count";
    const GROUP_MEMORY: &str = "sys/fs/cgroup/made/up/memory.max";
    const GROUP_TASKS: &str = "sys/fs/cgroup/made/up/pids.max";

    #[test]
    fn each_limit_binds_where_it_is_the_narrowest() {
        for (file, text, limit, roles, allows) in NARROW {
            let diagnosis = diagnose(&machine(&[(file, Some(text))]), None);
            for role in *roles {
                let verdict = &diagnosis.verdicts[role];
                let found = (verdict.limited_by, verdict.connections);
                assert_eq!(found, (Some(*limit), Some(*allows)), "{role:?} with {file}: {text}");
                assert_eq!(verdict.lifts.len(), 1, "{role:?} with {file}: {text}");
            }
        }
    }

    #[test]
    fn whoever_obeys_the_commands_has_what_was_asked_for() {
        for (file, text, limit, roles, allows) in NARROW.iter().filter(|narrow| narrow.2 != "memory") {
            for (role, asked) in roles.iter().flat_map(|role| [(role, allows + 1), (role, 60_000)]) {
                let before = diagnose(&machine(&[(file, Some(text))]), Some(asked));
                let verdict = &before.verdicts[role];
                assert_eq!(verdict.fits, Some(false), "{asked} {role:?} with {file}: {text}");
                let obeyed: Vec<_> =
                    verdict.lifts.iter().flat_map(|lift| &lift.lift.commands).map(|it| obey(it)).collect();
                assert!(!obeyed.is_empty(), "{limit}");
                let mut changed = vec![(*file, Some(*text))];
                changed.extend(obeyed.iter().map(|(file, text)| (file.as_str(), Some(text.as_str()))));
                let after = diagnose(&machine(&changed), Some(asked));
                let verdict = &after.verdicts[role];
                assert_eq!(verdict.fits, Some(true), "{asked} {role:?} with {changed:?}: {verdict:?}");
                assert!(verdict.lifts.is_empty());
            }
        }
    }

    /// The file that a command writes, and what to.
    fn obey(command: &str) -> (String, String) {
        if let Some(setting) = command.strip_prefix("sysctl -w ") {
            let (name, value) = setting.split_once('=').unwrap();
            (format!("proc/sys/{}", name.replace('.', "/")), value.replace('"', "") + "\n")
        } else if let Some(number) = command.strip_prefix("ulimit -n ") {
            (LIMITS.into(), format!("Max open files {number} {number} files\n"))
        } else {
            let (value, file) = command.strip_prefix("echo ").unwrap().split_once(" | tee /").unwrap();
            assert!(file.starts_with(GROUP), "{command}");
            (file.into(), value.into())
        }
    }

    #[test]
    fn more_ports_than_there_are_take_more_addresses() {
        let diagnosis = diagnose(&machine(&[]), Some(200_000));
        let Lift { commands, advice } = &diagnosis.verdicts[&Role::DriveBeyond].lifts[0].lift;
        assert_eq!(commands, &["sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\""]);
        assert!(advice.as_ref().unwrap().contains("over 4 addresses"), "{advice:?}");
        assert_eq!(diagnosis.verdicts[&Role::Drive].fits, Some(true), "loopback has addresses enough");
    }

    #[test]
    fn who_may_not_raise_a_limit_is_told_who_may() {
        let low = (LIMITS, Some("Max processes 50 50 processes\nMax open files 300 300 files\n"));
        let lifts = |status: &str| {
            let machine = machine(&[low, ("proc/self/status", Some(status))]);
            let mut diagnosis = diagnose(&machine, Some(400));
            diagnosis.verdicts.remove(&Role::ServeThreads).unwrap().lifts
        };
        let user = lifts("Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n");
        let commands: Vec<&str> =
            user.iter().flat_map(|lift| &lift.lift.commands).map(String::as_str).collect();
        assert_eq!(
            commands,
            ["sudo prlimit --pid $$ --nproc=512:512", "sudo prlimit --pid $$ --nofile=512:512"]
        );
        // In a container, root may have been denied it. The number of tasks does not hold for root.
        let [contained] = &lifts("Uid:\t0\t0\t0\t0\nCapEff:\t000001fffeffffff\n")[..] else { panic!() };
        assert!(contained.lift.advice.as_ref().unwrap().contains("CAP_SYS_RESOURCE"));
    }

    #[test]
    fn a_process_gets_more_than_systems_let_it_have_when_both_are_raised() {
        let machine = machine(&[("proc/sys/fs/nr_open", Some("1048576\n"))]);
        let diagnosis = diagnose(&machine, Some(2_000_000));
        let lift = &diagnosis.verdicts[&Role::Serve].lifts[0].lift;
        assert_eq!(lift.commands, ["sysctl -w fs.nr_open=2097152", "ulimit -n 2097152"]);
        let advice = "in the shell that starts it; in a unit of systemd LimitNOFILE=2097152";
        assert_eq!(lift.advice.as_deref(), Some(advice));
    }

    #[test]
    fn missing_memory_is_told_and_no_command_is_made_up() {
        let machine = machine(&[("proc/meminfo", Some("MemAvailable:  20480 kB\n"))]);
        let lift = &diagnose(&machine, Some(100_000)).verdicts[&Role::Serve].lifts[0].lift;
        assert!(lift.commands.is_empty());
        assert_eq!(lift.advice.as_deref(), Some("no setting gives memory: 399.5 MiB more are needed"));
    }

    #[test]
    fn what_is_not_known_binds_nothing() {
        let nothing = Machine::read(std::path::Path::new("/nowhere"));
        let diagnosis = diagnose(&nothing, Some(1000));
        for verdict in diagnosis.verdicts.values() {
            assert_eq!((verdict.connections, verdict.limited_by, verdict.fits), (None, None, None));
        }
        assert!(diagnosis.to_string().contains("\nserve: unknown\n"));
    }
}
