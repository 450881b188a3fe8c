//! Tries again after transient failures.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use super::deadline::{Deadline, pause};
use super::error::Failure;
use super::server::Server;

/// Calls `attempt` until it succeeds or fails for good. If `server` has a limit, a transient failure is final only when
/// that time has passed since the first one, which is logged.
pub(super) fn retry<T>(server: &Server, attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    retry_after(server, pause, attempt)
}

fn retry_after<T>(
    server: &Server,
    mut pause: impl FnMut(Duration),
    mut attempt: impl FnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut deadline = None;
    for attempts in 1_u32.. {
        let failure = match attempt() {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        let limit = server.retry_limit.filter(|_| failure.is_transient());
        let Some(limit) = limit else { return Err(failure) };
        if attempts == 1 {
            log::warn!("{server}: {failure} (trying again for up to {limit:?})");
        }
        let deadline = deadline.get_or_insert_with(|| Deadline::after(limit));
        let Some(remaining) = deadline.remaining() else {
            return Err(Failure::GaveUp { attempts, after: limit, last: Box::new(failure) });
        };
        // The last attempt is made at the limit.
        pause(delay(attempts, random()).min(remaining));
    }
    unreachable!("the numbers of attempts end after centuries")
}

/// The pause after the given number of attempts: between half and all of a time that doubles. Clients that lost one
/// server at the same moment come back at different times.
fn delay(attempts: u32, random: u64) -> Duration {
    let doublings = attempts.saturating_sub(1).min(DOUBLINGS_MAX);
    let longest = FIRST_DELAY.saturating_mul(1 << doublings).min(DELAY_MAX);
    let half = longest / 2;
    let half_ms = u64::try_from(half.as_millis()).unwrap_or(u64::MAX);
    half + Duration::from_millis(random % (half_ms + 1))
}

/// The longest pause after the first attempt.
const FIRST_DELAY: Duration = Duration::from_millis(200);

/// The longest pause.
const DELAY_MAX: Duration = Duration::from_secs(5);

/// With more, the longest pause is reached.
const DOUBLINGS_MAX: u32 = 8;

/// A number that differs from call to call.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::error::Awaited;

    fn server(retry_limit: Option<Duration>) -> Server {
        let host = "127.0.0.1".into();
        Server { host, port: 1, timeout: Duration::ZERO, datagram_retries: 0, retry_limit }
    }

    /// The number of attempts that fail as `failure` says until the outcome, which is a success at the fourth.
    fn attempts(limit: Option<Duration>, failure: impl Fn() -> Failure) -> (u32, Result<(), Failure>) {
        let mut attempts = 0;
        let outcome = retry(&server(limit), || {
            attempts += 1;
            if attempts == 4 { Ok(()) } else { Err(failure()) }
        });
        (attempts, outcome)
    }

    const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

    #[test]
    fn a_transient_failure_is_repeated_until_success() {
        assert!(matches!(attempts(HOUR, || Failure::Refused), (4, Ok(()))));
        assert!(matches!(attempts(HOUR, || Failure::Closed { received_bytes: 3 }), (4, Ok(()))));
        assert!(matches!(attempts(HOUR, || of_all_addresses(Failure::Refused)), (4, Ok(()))));
    }

    fn of_all_addresses(failure: Failure) -> Failure {
        let last = ([127, 0, 0, 1], 1).into();
        Failure::AllAddresses { tried: 2, last, failure: Box::new(failure) }
    }

    #[test]
    fn without_a_limit_and_after_a_final_failure_nothing_is_repeated() {
        assert!(matches!(attempts(None, || Failure::Refused), (1, Err(Failure::Refused))));
        let refused = || Failure::Refusal("full".into());
        assert!(matches!(attempts(HOUR, refused), (1, Err(Failure::Refusal(_)))));
        let all_refused = || of_all_addresses(refused());
        assert!(matches!(attempts(HOUR, all_refused), (1, Err(Failure::AllAddresses { .. }))));
    }

    #[test]
    fn the_last_attempt_is_made_at_the_limit_and_its_failure_is_reported() {
        let limit = Duration::from_millis(20);
        let began = Deadline::after(limit);
        let silent = Failure::TimedOut {
            awaited: Awaited::Reply { received_bytes: 0 },
            after: Duration::from_secs(10),
        };
        let (mut failures, mut pauses) = ([Failure::Refused, silent].into_iter(), Vec::new());
        let wait = |duration| {
            pauses.push(duration);
            pause(duration);
        };
        let outcome = retry_after(&server(Some(limit)), wait, || {
            Err::<(), _>(failures.next().expect("there are two attempts"))
        });
        // The first pause would be longer, and is what is left.
        assert!(pauses.len() == 1 && pauses[0] <= limit, "{pauses:?}");
        assert_eq!(began.remaining(), None);
        assert_eq!(
            outcome.unwrap_err().to_string(),
            "timed out waiting for a reply after 10s (2 attempts, tried again for 20ms)"
        );
    }

    #[test]
    fn pauses_double_up_to_five_seconds_and_half_of_each_is_random() {
        let milliseconds = |attempts| {
            [0, u64::MAX].map(|random| {
                let extremes = [random, random / 2, 1];
                let delays = extremes.map(|random| delay(attempts, random).as_millis());
                assert!(delays.iter().all(|delay| *delay <= 5000));
                delays[0]
            })[0]
        };
        assert_eq!(
            [1, 2, 3, 4, 5, 6, 7, 1000].map(milliseconds),
            [100, 200, 400, 800, 1600, 2500, 2500, 2500]
        );
        assert_eq!(delay(1, 100), Duration::from_millis(200));
        assert_eq!(delay(1, 101), Duration::from_millis(100));
        assert_eq!(delay(1000, 2500), DELAY_MAX);
        assert_ne!(random(), random());
    }
}
