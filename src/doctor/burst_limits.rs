//! Limits on how many connections do something at the same moment, not on how many there are.

use serde::Serialize;

use super::fact::Fact;
use super::limit::{round_up, sysctl};
use super::machine::Machine;
use super::text::in_bytes;
use crate::net::sockets::SocketOptions;
use crate::report::format::count;

/// A limit that a burst of activity meets.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct BurstLimit {
    /// What is limited.
    pub name: &'static str,
    /// The limit, and what happens beyond it, in words.
    #[serde(rename = "says")]
    pub description: String,
    /// The command that raises the limit; null if it is high enough.
    pub command: Option<String>,
}

/// All burst limits, for `asked` connections.
pub(super) fn burst_limits(machine: &Machine, asked: Option<u64>) -> Vec<BurstLimit> {
    vec![
        accept_queue(machine),
        half_open(machine),
        buffered_data(machine, asked),
        orphans(machine, asked),
        time_wait(machine),
    ]
}

/// `net.core.somaxconn` caps the backlog of `serve`.
fn accept_queue(machine: &Machine) -> BurstLimit {
    let backlog = u64::from(SocketOptions::default().backlog);
    let is_low = machine.accept_queue.known().is_some_and(|max| max < backlog);
    BurstLimit {
        name: "connections waiting to be accepted (somaxconn)",
        description: machine.accept_queue.describe(|max| {
            let capped =
                if is_low { format!(", which caps the backlog of {backlog}") } else { String::new() };
            format!("{}{capped}; beyond it, a connect takes one second longer", count(max.min(backlog)))
        }),
        command: is_low.then(|| sysctl(machine, "net.core.somaxconn", backlog)),
    }
}

/// `net.ipv4.tcp_max_syn_backlog` holds only without SYN cookies.
fn half_open(machine: &Machine) -> BurstLimit {
    let cookies = machine.syn_cookies.known().is_some_and(|cookies| cookies > 0);
    BurstLimit {
        name: "half-open connections (tcp_max_syn_backlog)",
        description: machine.syn_backlog.describe(|max| match machine.syn_cookies {
            Fact::Known(0) => format!("{}, without SYN cookies: beyond it, connects are dropped", count(max)),
            Fact::Known(_) => format!("{}; beyond it, SYN cookies are sent", count(max)),
            Fact::Absent | Fact::Unknown => count(max),
        }),
        command: (!cookies).then(|| sysctl(machine, "net.ipv4.tcp_syncookies", 1)),
    }
}

/// `net.ipv4.tcp_mem`: a socket with buffered data holds at least one page of it, an idle socket none.
fn buffered_data(machine: &Machine, asked: Option<u64>) -> BurstLimit {
    let page_bytes = machine.page_bytes;
    let limit = machine.tcp_pages.and_then(|[_, _, limit]| Some(limit)).known();
    let wanted = asked.filter(|asked| limit.is_some_and(|limit| limit < *asked));
    BurstLimit {
        name: "connections with buffered data (tcp_mem)",
        description: machine.tcp_pages.describe(|[_, _, limit]| {
            let bytes = in_bytes(limit.saturating_mul(page_bytes));
            format!("{} with one page each, {bytes} in total; an idle connection holds none", count(limit))
        }),
        command: wanted.map(|connections| {
            let limit = round_up(connections);
            // The kernel chooses the three values in the proportion 3 to 4 to 6.
            let pages = format!("{} {} {limit}", limit / 2, limit / 3 * 2);
            sysctl(machine, "net.ipv4.tcp_mem", pages)
        }),
    }
}

/// `net.ipv4.tcp_max_orphans`.
fn orphans(machine: &Machine, asked: Option<u64>) -> BurstLimit {
    let max = machine.orphans_max;
    let wanted = asked.filter(|asked| max.known().is_some_and(|max| max < *asked));
    BurstLimit {
        name: "closed connections with unsent data (tcp_max_orphans)",
        description: max.describe(|max| format!("{}; beyond it, they are reset", count(max))),
        command: wanted.map(|asked| sysctl(machine, "net.ipv4.tcp_max_orphans", round_up(asked))),
    }
}

/// `net.ipv4.tcp_tw_reuse`: the end that closes first keeps its port in `TIME_WAIT`.
fn time_wait(machine: &Machine) -> BurstLimit {
    BurstLimit {
        name: "ports in TIME_WAIT (tcp_tw_reuse)",
        description: machine.port_reuse.describe(|reuse| {
            let when = match reuse {
                0 => "free after one minute",
                1 => "free after one second",
                _ => "free after one minute, on loopback after one second",
            };
            when.into()
        }),
        command: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::machine;

    fn commands(changed: &[(&str, Option<&str>)], asked: Option<u64>) -> Vec<String> {
        burst_limits(&machine(changed), asked).into_iter().filter_map(|limit| limit.command).collect()
    }

    #[test]
    fn a_limit_that_is_too_low_has_a_command() {
        assert!(commands(&[], None).is_empty());
        let somaxconn = ("proc/sys/net/core/somaxconn", Some("128\n"));
        assert_eq!(commands(&[somaxconn], None), ["sysctl -w net.core.somaxconn=4096"]);
        let cookies = ("proc/sys/net/ipv4/tcp_syncookies", Some("0\n"));
        assert_eq!(commands(&[cookies], None), ["sysctl -w net.ipv4.tcp_syncookies=1"]);
    }

    #[test]
    fn buffers_and_orphans_are_limits_only_above_their_number() {
        assert!(commands(&[], Some(131_072)).is_empty());
        assert_eq!(commands(&[], Some(131_073)), ["sysctl -w net.ipv4.tcp_max_orphans=262144"]);
        let orphans_only = commands(&[], Some(600_000));
        assert_eq!(orphans_only, ["sysctl -w net.ipv4.tcp_max_orphans=1048576"]);
        let both = commands(&[], Some(1_000_000));
        assert_eq!(both[0], "sysctl -w net.ipv4.tcp_mem=\"524288 699050 1048576\"");
        assert_eq!(both.len(), 2);
    }

    #[test]
    fn the_accept_queue_is_the_lower_of_limit_and_backlog() {
        let description = |text| {
            let somaxconn = ("proc/sys/net/core/somaxconn", Some(text));
            burst_limits(&machine(&[somaxconn]), None).remove(0).description
        };
        assert!(description("128\n").starts_with("128, which caps the backlog of 4096; "));
        assert!(description("65536\n").starts_with("4,096; "));
    }
}
