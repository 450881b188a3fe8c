//! Sources with few ports: 40000 to 40009.

use super::*;

fn sources(requested: &str, target: &str, connections: u32) -> Sources {
    let requested: Vec<IpNet> = requested.split_whitespace().map(|range| range.parse().unwrap()).collect();
    let mut sources = Sources::new(&requested, target.parse().unwrap(), connections, false);
    sources.ports = Ports::parse("40000 40009", "");
    sources
}

/// Opens a connection; the kernel's choice is 127.0.0.1. Returns where it was requested from.
fn open(sources: &mut Sources) -> String {
    let from = sources.open(Ok, |_| Ok("127.0.0.1:40000".parse().unwrap())).unwrap();
    from.map_or_else(|| "any".into(), |from| from.to_string())
}

fn open_all(sources: &mut Sources, count: usize) -> Vec<String> {
    (0..count).map(|_| open(sources)).collect()
}

fn uses(sources: &Sources) -> Vec<(String, u64, u64)> {
    let range = |of: &SourceUse| format!("{}-{}", of.first, of.last);
    sources.uses().iter().map(|of| (range(of), of.addresses, of.connections)).collect()
}

#[test]
fn fifteen_thousand_connections_to_loopback_have_one_source() {
    let mut sources = Sources::new(&[], "127.0.0.1:6379".parse().unwrap(), 15_000, false);
    sources.ports = Ports::parse("32768 60999", "");
    let from = open_all(&mut sources, 15_000);
    assert!(from.iter().all(|from| from == "any" || from.starts_with("127.0.0.1:")));
    assert_eq!(uses(&sources), [("127.0.0.1-127.0.0.1".into(), 1, 15_000)]);
}

#[test]
fn the_second_half_of_the_ports_is_chosen_here_and_those_the_kernel_tries_last_come_first() {
    let mut sources = sources("", "192.0.2.1:80", 10);
    let from = open_all(&mut sources, 10);
    assert!(from[..5].iter().all(|from| from == "any"));
    assert_eq!(from[5..8], ["127.0.0.1:40001", "127.0.0.1:40003", "127.0.0.1:40005"]);
}

#[test]
fn a_chosen_port_is_not_reserved_not_in_use_and_not_the_servers() {
    let mut sources = sources("", "127.0.0.1:40003", 10);
    sources.ports = Ports::parse("40000 40009", "40001,40004-40006\n");
    open_all(&mut sources, 5);
    let mut refused = Vec::new();
    let opened = sources.open(
        |from| {
            let port = from.unwrap().port();
            if port == 40_009 {
                return Ok(port);
            }
            refused.push(port);
            Err(io::ErrorKind::AddrInUse.into())
        },
        |_| unreachable!("the default source is known"),
    );
    assert_eq!((opened.unwrap(), refused), (40_009, vec![40_007]));
}

#[test]
fn on_loopback_connections_that_exceed_the_ports_are_spread() {
    let mut sources = sources("", "127.0.0.1:9999", 25);
    let from = open_all(&mut sources, 25);
    assert_eq!(from[9], "127.0.0.1:40009");
    // Ports that the kernel has given to other connections are tried last.
    let spread: Vec<&str> = from[15..].iter().map(String::as_str).collect();
    assert_eq!(spread[..4], ["127.0.1.1:0", "127.0.1.2:0", "127.0.1.1:0", "127.0.1.2:0"]);
    assert_eq!(uses(&sources)[0], ("127.0.0.1-127.0.0.1".into(), 1, 15));
}

#[test]
fn a_default_source_without_a_free_port_is_left_on_loopback_only() {
    let out_of_ports = |from: Option<SocketAddr>| match from {
        None => Err(io::Error::from(io::ErrorKind::AddrNotAvailable)),
        Some(from) => Ok(from),
    };
    let open = |sources: &mut Sources| sources.open(out_of_ports, |from| Ok(*from));
    let mut near = sources("", "127.0.0.1:9999", 1);
    assert_eq!(open(&mut near).unwrap().to_string(), "127.0.1.1:0");
    for far in ["192.0.2.1:9999", "[::1]:9999"] {
        let error = open(&mut sources("", far, 1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable, "{far}");
    }
}

#[test]
fn other_errors_end_the_attempt() {
    let mut sources = sources("10.0.0.1/32 10.0.0.2/32", "192.0.2.1:80", 10);
    let mut attempts = 0;
    let refuse = |_| -> io::Result<()> {
        attempts += 1;
        Err(io::ErrorKind::ConnectionRefused.into())
    };
    assert!(sources.open(refuse, |()| unreachable!()).is_err());
    assert_eq!((attempts, sources.uses()), (1, vec![]));
}

#[test]
fn requested_sources_of_the_targets_family_are_taken_in_turn() {
    let mut requested = sources("10.0.0.0/29 10.1.0.7/32 2001:db8::/126", "192.0.2.1:80", 10);
    let from = open_all(&mut requested, 8);
    assert_eq!((&*from[0], &*from[6], &*from[7]), ("10.0.0.1:0", "10.1.0.7:0", "10.0.0.1:0"));
    assert_eq!(uses(&requested), [("10.0.0.1-10.1.0.7".into(), 7, 8)]);
    requested.reset_counts();
    assert_eq!(uses(&requested), []);
}

#[test]
fn one_shot_connections_leave_the_default_source_when_half_its_ports_were_used() {
    let mut sources = Sources::new(&[], "127.0.0.1:9999".parse().unwrap(), 2, true);
    sources.ports = Ports::parse("40000 40009", "");
    let from = open_all(&mut sources, 70);
    assert_eq!((&*from[4], &*from[5], &*from[68]), ("any", "127.0.1.1:0", "127.0.1.64:0"));
    assert_eq!(from[69], "127.0.1.1:0");
    let expected = [("127.0.0.1-127.0.0.1".into(), 1, 5), ("127.0.1.1-127.0.1.64".into(), 64, 65)];
    assert_eq!(uses(&sources), expected);
}

#[test]
fn the_addresses_of_a_spread_do_not_end_in_0_or_255() {
    let ends = [loopback(0), loopback(253), loopback(254)].map(|address| address.to_string());
    assert_eq!(ends, ["127.0.1.1", "127.0.1.254", "127.0.2.1"]);
}
