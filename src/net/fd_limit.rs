//! The descriptor limit of the process, and how many connections it allows.

use crate::limits::Limits;

/// Descriptors that are not connections: standard streams, poller, signals, journal, and some to spare.
const OTHER_DESCRIPTORS: u64 = 32;

/// Sets the limits that depend on `descriptors`, the limit of the process: `requested` connections, or as many as there
/// is room for beside the sockets of the endpoints. Returns a warning if there is room for fewer than requested.
pub(crate) fn fit(
    limits: &mut Limits,
    requested: Option<usize>,
    endpoints: usize,
    descriptors: u64,
) -> Option<String> {
    let Room { connections: room, refusals } = room_for_serving(descriptors, endpoints, limits.refusals_max);
    limits.refusals_max = refusals;
    limits.connections_max = requested.unwrap_or(room).min(room);
    let requested = requested.filter(|requested| *requested > room)?;
    Some(format!(
        "--max-connections {requested} is more than the limit of {descriptors} descriptors allows: \
         {room} will be served at once (raise the limit with 'ulimit -n' or LimitNOFILE=)"
    ))
}

/// Connections that this process can have as a client, with the soft limit raised to the hard one.
#[cfg(feature = "cli")]
pub(crate) fn room_for_client() -> u32 {
    u32::try_from(room_for_driving(raise_limit())).unwrap_or(u32::MAX).max(1)
}

/// The connections that a number of descriptors allows.
pub(crate) struct Room {
    /// Connections served.
    pub(crate) connections: usize,
    /// Connections that are refused because the server is full.
    pub(crate) refusals: usize,
}

/// The connections of `serve` with this many descriptors and endpoints, and at most `refusals_max` refusals at
/// once.
pub(crate) fn room_for_serving(descriptors: u64, endpoints: usize, refusals_max: usize) -> Room {
    // Refused peers need descriptors too, but under a low limit not most of them.
    let refusals = refusals_max.min(usize::try_from(descriptors / 16).unwrap_or(usize::MAX)).max(1);
    let kept = OTHER_DESCRIPTORS + endpoints as u64 + refusals as u64;
    let connections = usize::try_from(descriptors.saturating_sub(kept)).unwrap_or(usize::MAX).max(1);
    Room { connections, refusals }
}

/// Descriptors with which `serve` has room for `connections`, however many it keeps for refusals.
#[cfg(feature = "cli")]
pub(crate) fn needed_for_serving(connections: u64, endpoints: usize, refusals_max: usize) -> u64 {
    connections.saturating_add(OTHER_DESCRIPTORS + endpoints as u64 + refusals_max as u64)
}

/// Connections that a process of `descriptors` can open to drive a server.
#[cfg(feature = "cli")]
pub(crate) fn room_for_driving(descriptors: u64) -> u64 {
    descriptors.saturating_sub(OTHER_DESCRIPTORS)
}

/// Descriptors with which there is room for driving `connections`.
#[cfg(feature = "cli")]
pub(crate) fn needed_for_driving(connections: u64) -> u64 {
    connections.saturating_add(OTHER_DESCRIPTORS)
}

/// The number of descriptors that this process may have.
#[cfg(feature = "cli")]
pub(crate) fn soft_limit() -> u64 {
    rlimit::Resource::NOFILE.get_soft().unwrap_or(DESCRIPTORS_IF_UNKNOWN)
}

/// The number of open descriptors of this process; `None` if there are `counted_max`, or if it cannot be found out.
#[cfg(feature = "cli")]
pub(crate) fn open_descriptors(counted_max: usize) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    const DIRECTORY: &str = "/proc/self/fd";
    match std::fs::metadata(DIRECTORY).ok()?.size() {
        // Kernels before 6.2 do not count them.
        0 => {
            let listed = std::fs::read_dir(DIRECTORY).ok()?.take(counted_max).count();
            // One is the directory itself.
            (listed < counted_max).then(|| listed.saturating_sub(1) as u64)
        }
        open => Some(open),
    }
}

/// Raises the soft limit to the hard one and returns it.
#[cfg(feature = "cli")]
pub(crate) fn raise_limit() -> u64 {
    rlimit::increase_nofile_limit(u64::MAX).unwrap_or(DESCRIPTORS_IF_UNKNOWN)
}

/// Reads the soft limit.
#[cfg(not(feature = "cli"))]
pub(crate) fn raise_limit() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    soft.unwrap_or(DESCRIPTORS_IF_UNKNOWN)
}

/// The usual default of a system.
const DESCRIPTORS_IF_UNKNOWN: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_what_the_rest_leaves() {
        let mut limits = Limits::default();
        assert_eq!(fit(&mut limits, None, 5, 20_000), None);
        let room = 20_000 - 32 - 5 - 64;
        assert_eq!(limits.connections_max, room);

        assert_eq!(fit(&mut limits, Some(10), 5, 20_000), None);
        assert_eq!(limits.connections_max, 10);

        let told = fit(&mut limits, Some(room + 1), 5, 20_000).unwrap();
        assert_eq!(limits.connections_max, room);
        assert!(told.starts_with(&format!("--max-connections {} is more than", room + 1)), "{told}");
        assert!(told.contains(&format!("{room} will be served at once")), "{told}");
    }

    #[cfg(feature = "cli")]
    #[test]
    fn what_is_needed_has_room_and_hardly_more() {
        for connections in [1, 100, 2000, 1_000_000] {
            let serving = needed_for_serving(connections, 5, 64);
            let room = room_for_serving(serving, 5, 64).connections as u64;
            assert!((connections..connections + 64).contains(&room), "{connections}: {room}");
            assert_eq!(room_for_driving(needed_for_driving(connections)), connections);
        }
    }
}
