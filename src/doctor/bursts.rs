//! What bounds not how many connections there are, but how many do something at the same moment.

use serde::Serialize;

use super::fact::Fact;
use super::limit::{round_up, sysctl};
use super::machine::Machine;
use crate::doctor::text::in_bytes;
use crate::net::sockets::SocketOptions;
use crate::report::format::count;

/// A limit that is met in a burst.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Burst {
    /// What happens at once.
    pub name: &'static str,
    /// How much of it goes well, and what happens above that.
    pub says: String,
    /// What lifts it, if it is narrow.
    pub command: Option<String>,
}

/// All of them, for as many connections as asked.
pub(super) fn bursts(machine: &Machine, asked: Option<u64>) -> Vec<Burst> {
    vec![
        connects(machine),
        handshakes(machine),
        buffers(machine, asked),
        orphans(machine, asked),
        ports_again(machine),
    ]
}

/// `net.core.somaxconn` cuts the backlog of `serve`.
fn connects(machine: &Machine) -> Burst {
    let backlog = u64::from(SocketOptions::default().backlog);
    let narrow = machine.accept_queue.known().is_some_and(|max| max < backlog);
    Burst {
        name: "connects that wait to be accepted (somaxconn)",
        says: machine.accept_queue.describe(|max| {
            let cut = if narrow { format!(", which cuts the backlog of {backlog}") } else { String::new() };
            format!("{}{cut}; above that a connect takes a second more", count(max.min(backlog)))
        }),
        command: narrow.then(|| sysctl(machine, "net.core.somaxconn", backlog)),
    }
}

/// `net.ipv4.tcp_max_syn_backlog` holds only without cookies.
fn handshakes(machine: &Machine) -> Burst {
    let cookies = machine.syn_cookies.known().is_some_and(|cookies| cookies > 0);
    Burst {
        name: "handshakes that have begun (tcp_max_syn_backlog)",
        says: machine.syn_backlog.describe(|max| match machine.syn_cookies {
            Fact::Known(0) => format!("{}, without cookies: above that connects are dropped", count(max)),
            Fact::Known(_) => format!("{}; above that cookies are sent and all goes on", count(max)),
            Fact::Absent | Fact::Unknown => count(max),
        }),
        command: (!cookies).then(|| sysctl(machine, "net.ipv4.tcp_syncookies", 1)),
    }
}

/// `net.ipv4.tcp_mem`: idle sockets hold nothing of it, a socket with bytes in a buffer at least a page.
fn buffers(machine: &Machine, asked: Option<u64>) -> Burst {
    let page_bytes = machine.page_bytes;
    let limit = machine.tcp_pages.and_then(|[_, _, limit]| Some(limit)).known();
    let wanted = asked.filter(|asked| limit.is_some_and(|limit| limit < *asked));
    Burst {
        name: "connections with bytes in buffers (tcp_mem)",
        says: machine.tcp_pages.describe(|[_, _, limit]| {
            let bytes = in_bytes(limit.saturating_mul(page_bytes));
            format!("{} with one page each, {bytes} in all; an idle one holds none", count(limit))
        }),
        command: wanted.map(|connections| {
            let limit = round_up(connections);
            // The shares that the kernel itself chooses: 3, 4 and 6.
            let pages = format!("{} {} {limit}", limit / 2, limit / 3 * 2);
            sysctl(machine, "net.ipv4.tcp_mem", pages)
        }),
    }
}

/// `net.ipv4.tcp_max_orphans`.
fn orphans(machine: &Machine, asked: Option<u64>) -> Burst {
    let max = machine.orphans_max;
    let wanted = asked.filter(|asked| max.known().is_some_and(|max| max < *asked));
    Burst {
        name: "closed with bytes on their way (tcp_max_orphans)",
        says: max.describe(|max| format!("{}; above that they are reset", count(max))),
        command: wanted.map(|asked| sysctl(machine, "net.ipv4.tcp_max_orphans", round_up(asked))),
    }
}

/// `net.ipv4.tcp_tw_reuse`: whoever closes first keeps the port in `TIME_WAIT`.
fn ports_again(machine: &Machine) -> Burst {
    Burst {
        name: "ports of connections just closed (tcp_tw_reuse)",
        says: machine.port_reuse.describe(|reuse| {
            let when = match reuse {
                0 => "free again after a minute",
                1 => "free again after a second",
                _ => "free again after a minute, on loopback after a second",
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
        bursts(&machine(changed), asked).into_iter().filter_map(|burst| burst.command).collect()
    }

    #[test]
    fn a_burst_that_a_setting_cuts_short_has_its_command() {
        assert!(commands(&[], None).is_empty());
        let somaxconn = ("proc/sys/net/core/somaxconn", Some("128\n"));
        assert_eq!(commands(&[somaxconn], None), ["sysctl -w net.core.somaxconn=4096"]);
        let cookies = ("proc/sys/net/ipv4/tcp_syncookies", Some("0\n"));
        assert_eq!(commands(&[cookies], None), ["sysctl -w net.ipv4.tcp_syncookies=1"]);
    }

    #[test]
    fn buffers_and_orphans_matter_from_as_many_connections_on() {
        assert!(commands(&[], Some(131_072)).is_empty());
        assert_eq!(commands(&[], Some(131_073)), ["sysctl -w net.ipv4.tcp_max_orphans=262144"]);
        let both = commands(&[], Some(1_000_000));
        assert_eq!(both[0], "sysctl -w net.ipv4.tcp_mem=\"524288 699050 1048576\"");
        assert_eq!(both.len(), 2);
    }
}
