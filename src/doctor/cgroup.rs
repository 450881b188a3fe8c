//! Limits of control groups, version 2 and version 1, as containers and systemd units set them.

use std::path::Path;

use procfs::{ProcessCGroup, ProcessCGroups};

use super::fact::{Fact, parsed, text};

/// A control group with a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// The file of the limit.
    pub file: String,
    /// The limit.
    pub max: u64,
    /// The used part. Clean page cache does not count, since the kernel frees it when needed.
    pub used: u64,
}

impl Group {
    /// The unused part.
    #[must_use]
    pub(crate) fn left(&self) -> u64 {
        self.max.saturating_sub(self.used)
    }
}

impl Fact<Group> {
    /// The group, if there is a limit.
    pub(super) fn as_known(&self) -> Option<&Group> {
        match self {
            Self::Known(group) => Some(group),
            Self::Absent | Self::Unknown => None,
        }
    }
}

/// The group that leaves the least memory to this process.
pub(super) fn memory(root: &Path) -> Fact<Group> {
    let two = ("memory.max", "memory.current");
    let one = ("memory.limit_in_bytes", "memory.usage_in_bytes");
    tightest(root, "memory", two, one)
}

/// The group that leaves the fewest tasks to this process.
pub(super) fn tasks(root: &Path) -> Fact<Group> {
    tightest(root, "pids", ("pids.max", "pids.current"), ("pids.max", "pids.current"))
}

/// The group that leaves least. A group limits all groups below it, so the search goes up to the root.
fn tightest(root: &Path, controller: &str, two: (&str, &str), one: (&str, &str)) -> Fact<Group> {
    let memberships = match parsed::<ProcessCGroups>(root, "proc/self/cgroup") {
        Fact::Known(memberships) => memberships,
        Fact::Absent => return Fact::Absent,
        Fact::Unknown => return Fact::Unknown,
    };
    let mut groups = Vec::new();
    for ProcessCGroup { controllers, pathname, .. } in memberships {
        // Version 2 names no controllers.
        let (mount, (max, used)) = if controllers.is_empty() {
            ("sys/fs/cgroup".to_owned(), two)
        } else if controllers.iter().any(|name| name == controller) {
            (format!("sys/fs/cgroup/{controller}"), one)
        } else {
            continue;
        };
        for folder in Path::new(pathname.trim_start_matches('/')).ancestors() {
            let folder = Path::new(&mount).join(folder);
            groups.extend(read(root, &folder, max, used));
        }
    }
    groups.into_iter().min_by_key(Group::left).map_or(Fact::Absent, Fact::Known)
}

/// The limit in `folder`.
fn read(root: &Path, folder: &Path, max: &str, used: &str) -> Option<Group> {
    let known = |name: &str| text(root, folder.join(name).to_str()?).known();
    let number = |name: &str| known(name)?.trim().parse::<u64>().ok();
    // Without a limit, the file has "max" in version 2, and the largest number of whole pages in version 1.
    let limit = number(max).filter(|max| *max < u64::MAX / 4)?;
    let caches = if used.starts_with("memory") { known("memory.stat") } else { None };
    let clean = caches.as_deref().map_or(0, clean_cache_bytes);
    let file = format!("/{}", folder.join(max).display());
    Some(Group { file, max: limit, used: number(used).unwrap_or(0).saturating_sub(clean) })
}

/// `inactive_file`; in version 1, `total_inactive_file` includes the groups below.
fn clean_cache_bytes(stat: &str) -> u64 {
    let field = |name: &str| {
        let mut lines = stat.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(field, _)| *field == name).and_then(|(_, bytes)| bytes.trim().parse().ok())
    };
    field("total_inactive_file").or_else(|| field("inactive_file")).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::machine;

    fn group(file: &str, max: u64, used: u64) -> Fact<Group> {
        Fact::Known(Group { file: file.into(), max, used })
    }

    #[test]
    fn the_group_that_leaves_least_is_found_at_any_level() {
        let machine = machine(&[
            ("sys/fs/cgroup/made/up/memory.max", Some("8000\n")),
            ("sys/fs/cgroup/made/memory.max", Some("9000\n")),
            ("sys/fs/cgroup/made/memory.current", Some("5000\n")),
            ("sys/fs/cgroup/made/memory.stat", Some("anon 1\ninactive_file 1500\n")),
            ("sys/fs/cgroup/pids.max", Some("100\n")),
        ]);
        assert_eq!(machine.memory_group, group("/sys/fs/cgroup/made/memory.max", 9000, 3500));
        assert_eq!(machine.tasks_group, group("/sys/fs/cgroup/pids.max", 100, 0));
    }

    #[test]
    fn version_1_is_read_below_its_own_mount() {
        let machine = machine(&[
            ("proc/self/cgroup", Some("8:pids:/\n4:memory:/box\n1:cpu,cpuacct:/\n0::/\n")),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", Some("9223372036854771712\n")),
            ("sys/fs/cgroup/memory/box/memory.limit_in_bytes", Some("1000000\n")),
            ("sys/fs/cgroup/memory/box/memory.usage_in_bytes", Some("1000\n")),
            ("sys/fs/cgroup/pids/pids.max", Some("max\n")),
        ]);
        let file = "/sys/fs/cgroup/memory/box/memory.limit_in_bytes";
        assert_eq!(machine.memory_group, group(file, 1_000_000, 1000));
        assert_eq!(machine.tasks_group, Fact::Absent);
    }

    #[test]
    fn a_group_without_a_limit_is_absent() {
        assert_eq!(machine(&[]).memory_group, Fact::Absent);
        assert_eq!(machine(&[("proc/self/cgroup", None)]).memory_group, Fact::Absent);
        assert_eq!(machine(&[("proc/self/cgroup", Some("what\n"))]).tasks_group, Fact::Unknown);
    }
}
