//! From the settings of a machine to the connections that it allows: a pure function, and its result.

use std::collections::BTreeMap;

use serde::Serialize;

use super::burst_limits::{BurstLimit, burst_limits};
use super::limit::{Limit, Remedy, Role};
use super::machine::Machine;
use super::memory::ConnectionBytes;
use super::{descriptors, memory, ports, threads};

/// The result of `doctor`, as `--json` writes it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Diagnosis {
    /// The number of `--connections`; null if not given.
    pub asked: Option<u64>,
    /// How many connections are possible for each role: `serve` with one event loop, `serve_threads` with a thread per
    /// connection, `drive` to a server on loopback, `drive_beyond` to one elsewhere from one source address.
    #[serde(rename = "verdicts")]
    pub capacities: BTreeMap<Role, Capacity>,
    /// Limits on the number of connections.
    pub limits: Vec<Limit>,
    /// Memory of one end of an idle connection, in bytes, for each role.
    pub bytes_per_connection: BTreeMap<Role, ConnectionBytes>,
    /// Limits on how many connections do something at the same moment.
    #[serde(rename = "bursts")]
    pub burst_limits: Vec<BurstLimit>,
    /// Number of processors that this process may use; null if unknown.
    pub processors: Option<usize>,
}

/// The connections that are possible for a role.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Capacity {
    /// The most connections; null if no limit is known.
    pub connections: Option<u64>,
    /// Name of the lowest limit; null if no limit is known.
    pub limited_by: Option<&'static str>,
    /// Whether the connections of `--connections` fit; null if not given, or if no limit is known.
    pub fits: Option<bool>,
    /// How to raise each limit that is too low for `--connections`; without it, the lowest limit.
    #[serde(rename = "lifts")]
    pub remedies: Vec<LimitRemedy>,
}

/// How to raise one limit.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct LimitRemedy {
    /// Name of the limit.
    pub limit: &'static str,
    /// Connections that it allows now.
    pub allows: u64,
    /// Connections that it allows afterward.
    pub target: u64,
    /// How.
    #[serde(flatten)]
    pub remedy: Remedy,
}

/// The connections that `machine` allows, and how to raise its limits to `asked`.
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
        asked,
        capacities: Role::ALL.map(|role| (role, capacity(machine, &limits, role, asked))).into(),
        bytes_per_connection: Role::ALL.map(|role| (role, ConnectionBytes::of(role))).into(),
        burst_limits: burst_limits(machine, asked),
        processors: machine.processors,
        limits,
    }
}

fn capacity(machine: &Machine, limits: &[Limit], role: Role, asked: Option<u64>) -> Capacity {
    let mut binding: Vec<(&Limit, u64)> =
        limits.iter().filter_map(|limit| Some((limit, *limit.allows.get(&role)?))).collect();
    binding.sort_by_key(|(_, allows)| *allows);
    let first = binding.first().copied();
    let raised = match asked {
        Some(asked) => binding.iter().take_while(|(_, allows)| *allows < asked).count(),
        None => 1.min(binding.len()),
    };
    let remedies = binding[..raised].iter().map(|(limit, allows)| {
        let target = asked.unwrap_or_else(|| default_target(*allows, &binding));
        let remedy = (limit.remedy)(machine, role, target);
        LimitRemedy { limit: limit.name, allows: *allows, target, remedy }
    });
    Capacity {
        connections: first.map(|(_, allows)| allows),
        limited_by: first.map(|(limit, _)| limit.name),
        fits: asked.zip(first).map(|(asked, (_, allows))| asked <= allows),
        remedies: remedies.collect(),
    }
}

/// The target for a limit that allows `allows`, without `--connections`: the next limit, or a million, whichever
/// is lower.
fn default_target(allows: u64, binding: &[(&Limit, u64)]) -> u64 {
    let next = binding.iter().map(|(_, other)| *other).find(|other| *other > allows);
    let enough = if allows < A_MILLION { A_MILLION } else { allows.saturating_mul(2) };
    next.unwrap_or(enough).min(enough)
}

const A_MILLION: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::machine;

    /// A file with a low limit, the name of the limit, the roles that it limits, and the connections that it
    /// allows.
    type Low = (&'static str, &'static str, &'static str, &'static [Role], u64);

    const LIMITS: &str = "proc/self/limits";
    const GROUP: &str = "sys/fs/cgroup/made/up";
    const BOTH_ENDS: &[Role] = &[Role::Serve, Role::ServeThreads, Role::Drive, Role::DriveBeyond];
    const SERVING: &[Role] = &[Role::Serve, Role::ServeThreads];
    const DRIVING: &[Role] = &[Role::Drive, Role::DriveBeyond];
    const THREADS: &[Role] = &[Role::ServeThreads];

    const LOW: &[Low] = &[
        // Of 300, 18 are for refusals, 32 are reserved, and 5 are for endpoints.
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
    fn the_lowest_limit_is_the_capacity() {
        for (file, text, limit, roles, allows) in LOW {
            let diagnosis = diagnose(&machine(&[(file, Some(text))]), None);
            for role in *roles {
                let capacity = &diagnosis.capacities[role];
                let found = (capacity.limited_by, capacity.connections);
                assert_eq!(found, (Some(*limit), Some(*allows)), "{role:?} with {file}: {text}");
                assert_eq!(capacity.remedies.len(), 1, "{role:?} with {file}: {text}");
            }
        }
    }

    #[test]
    fn the_commands_raise_the_limits_to_the_connections_asked_for() {
        for (file, text, limit, roles, allows) in LOW.iter().filter(|low| low.2 != "memory") {
            for (role, asked) in roles.iter().flat_map(|role| [(role, allows + 1), (role, 60_000)]) {
                let before = diagnose(&machine(&[(file, Some(text))]), Some(asked));
                let capacity = &before.capacities[role];
                assert_eq!(capacity.fits, Some(false), "{asked} {role:?} with {file}: {text}");
                let applied: Vec<_> =
                    capacity.remedies.iter().flat_map(|it| &it.remedy.commands).map(|it| apply(it)).collect();
                assert!(!applied.is_empty(), "{limit}");
                let mut changed = vec![(*file, Some(*text))];
                changed.extend(applied.iter().map(|(file, text)| (file.as_str(), Some(text.as_str()))));
                let after = diagnose(&machine(&changed), Some(asked));
                let capacity = &after.capacities[role];
                assert_eq!(capacity.fits, Some(true), "{asked} {role:?} with {changed:?}: {capacity:?}");
                assert!(capacity.remedies.is_empty());
            }
        }
    }

    /// The file that a command writes, and its new text.
    fn apply(command: &str) -> (String, String) {
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
    fn more_connections_than_ports_need_more_addresses() {
        let diagnosis = diagnose(&machine(&[]), Some(200_000));
        let Remedy { commands, advice } = &diagnosis.capacities[&Role::DriveBeyond].remedies[0].remedy;
        assert_eq!(commands, &["sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\""]);
        assert!(advice.as_ref().unwrap().contains("over 4 addresses"), "{advice:?}");
        assert_eq!(diagnosis.capacities[&Role::Drive].fits, Some(true), "loopback has addresses enough");
    }

    #[test]
    fn without_privileges_a_command_uses_sudo() {
        let low = (LIMITS, Some("Max processes 50 50 processes\nMax open files 300 300 files\n"));
        let remedies = |status: &str| {
            let machine = machine(&[low, ("proc/self/status", Some(status))]);
            let mut diagnosis = diagnose(&machine, Some(400));
            diagnosis.capacities.remove(&Role::ServeThreads).unwrap().remedies
        };
        let user = remedies("Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n");
        let commands: Vec<&str> =
            user.iter().flat_map(|it| &it.remedy.commands).map(String::as_str).collect();
        assert_eq!(
            commands,
            ["sudo prlimit --pid $$ --nproc=512:512", "sudo prlimit --pid $$ --nofile=512:512"]
        );
        // In a container, root may lack the capability. The limit of tasks does not apply to root.
        let [contained] = &remedies("Uid:\t0\t0\t0\t0\nCapEff:\t000001fffeffffff\n")[..] else { panic!() };
        assert!(contained.remedy.advice.as_ref().unwrap().contains("CAP_SYS_RESOURCE"));
    }

    #[test]
    fn the_soft_limit_of_tasks_holds_and_is_raised_up_to_the_hard_one() {
        let user = ("proc/self/status", Some("Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n"));
        let low = (LIMITS, Some("Max processes  180  5000  processes\n"));
        let mut diagnosis = diagnose(&machine(&[user, low]), Some(400));
        let capacity = diagnosis.capacities.remove(&Role::ServeThreads).unwrap();
        assert_eq!((capacity.connections, capacity.limited_by), (Some(100), Some("tasks of the user")));
        assert_eq!(capacity.remedies[0].remedy.commands, ["ulimit -u 512"]);
    }

    #[test]
    fn above_nr_open_both_settings_are_raised() {
        let machine = machine(&[("proc/sys/fs/nr_open", Some("1048576\n"))]);
        let diagnosis = diagnose(&machine, Some(2_000_000));
        let remedy = &diagnosis.capacities[&Role::Serve].remedies[0].remedy;
        assert_eq!(remedy.commands, ["sysctl -w fs.nr_open=2097152", "ulimit -n 2097152"]);
        let advice = "in the shell that starts loopline; in a systemd unit: LimitNOFILE=2097152";
        assert_eq!(remedy.advice.as_deref(), Some(advice));
    }

    #[test]
    fn missing_memory_has_no_command() {
        let machine = machine(&[("proc/meminfo", Some("MemAvailable:  20480 kB\n"))]);
        let remedy = &diagnose(&machine, Some(100_000)).capacities[&Role::Serve].remedies[0].remedy;
        assert!(remedy.commands.is_empty());
        assert_eq!(remedy.advice.as_deref(), Some("no setting adds memory: 399.5 MiB more are needed"));
    }

    #[test]
    fn an_unknown_limit_limits_nothing() {
        let nothing = Machine::read(std::path::Path::new("/nowhere"));
        let diagnosis = diagnose(&nothing, Some(1000));
        for capacity in diagnosis.capacities.values() {
            assert_eq!((capacity.connections, capacity.limited_by, capacity.fits), (None, None, None));
        }
        assert!(diagnosis.to_string().contains("\nserve: unknown\n"));
    }

    #[test]
    fn without_connections_a_limit_is_raised_to_the_next_limit_or_a_million_or_its_double() {
        let target = |changed: &[(&str, Option<&str>)]| {
            let capacity = diagnose(&machine(changed), None).capacities.remove(&Role::Serve).unwrap();
            (capacity.remedies[0].allows, capacity.remedies[0].target)
        };
        let low = (LIMITS, Some("Max open files  100  300  files\n"));
        assert_eq!(target(&[low]), (245, A_MILLION));
        // The next limit is lower than a million.
        assert_eq!(target(&[low, ("proc/sys/fs/file-max", Some("2648\n"))]), (245, 1947));
        assert_eq!(target(&[("proc/sys/fs/nr_open", Some("2000101\n"))]), (2_000_000, 4_000_000));
    }

    #[test]
    fn as_many_connections_as_a_limit_allows_fit() {
        let low = (LIMITS, Some("Max open files  100  300  files\n"));
        for (asked, fits, remedies) in [(245, true, 0), (246, false, 1)] {
            let capacity = &diagnose(&machine(&[low]), Some(asked)).capacities[&Role::Serve];
            assert_eq!((capacity.fits, capacity.remedies.len()), (Some(fits), remedies), "{asked}");
        }
    }
}
