//! Resolves the host of a server, and tries its addresses.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use super::error::Failure;

/// The addresses of `host` with `port`, at least one, in the resolver's order.
pub(super) fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let found = (host, port).to_socket_addrs().map_err(Failure::Unresolved)?;
    let addresses: Vec<SocketAddr> = found.collect();
    if addresses.is_empty() {
        return Err(Failure::Unresolved(io::Error::other("it has no address")));
    }
    Ok(addresses)
}

/// Tries one address after the other, each for an equal share of `timeout`, so that one that drops every
/// packet leaves time for the others.
pub(super) fn first_to_answer<T>(
    addresses: &[SocketAddr],
    timeout: Duration,
    mut attempt: impl FnMut(SocketAddr, Duration) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let tried = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut last = Failure::Unresolved(io::Error::other("it has no address"));
    for address in addresses {
        match attempt(*address, timeout / tried) {
            Ok(answered) => return Ok(answered),
            Err(failure) if tried == 1 => return Err(failure),
            Err(failure) => {
                last = Failure::AllAddresses { tried, last: *address, failure: Box::new(failure) }
            }
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_SECONDS: Duration = Duration::from_secs(10);

    fn addresses() -> [SocketAddr; 2] {
        [SocketAddr::from(([127, 0, 0, 1], 9)), SocketAddr::from(([127, 0, 0, 2], 9))]
    }

    #[test]
    fn the_first_address_that_answers_is_used_and_each_has_its_share_of_the_timeout() {
        let mut shares = Vec::new();
        let answered = first_to_answer(&addresses(), TEN_SECONDS, |address, share| {
            shares.push(share);
            if address == addresses()[1] { Ok(address) } else { Err(Failure::Refused) }
        });
        assert_eq!(answered.unwrap(), addresses()[1]);
        assert_eq!(shares, [TEN_SECONDS / 2; 2]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_scope_of_an_ipv6_address_is_resolved() {
        let addresses = resolve("fe80::1%lo", 9999).unwrap();
        let [SocketAddr::V6(address)] = addresses[..] else { panic!("{addresses:?}") };
        assert_ne!(address.scope_id(), 0);
    }

    #[test]
    fn when_no_address_answers_the_last_failure_is_reported_with_the_number_of_addresses() {
        let failure =
            first_to_answer(&addresses(), TEN_SECONDS, |_, _| Err::<(), _>(Failure::Refused)).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "connection refused: is the server running? (2 addresses tried, the last was 127.0.0.2:9)"
        );
        let failure = first_to_answer(&addresses()[..1], TEN_SECONDS, |_, _| Err::<(), _>(Failure::Refused))
            .unwrap_err();
        assert_eq!(failure.to_string(), "connection refused: is the server running?");
    }
}
