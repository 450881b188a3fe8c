//! `--start-at`: a time of the clock at which a run starts, so that generators on several machines start together.

use std::io;
use std::str::FromStr;
use std::time::Duration;

use super::observer::Observer;
use crate::net::{ClientNet, Token};
use crate::report::format::duration;
use crate::report::utc_time::UtcTime;
use crate::units::{DURATION_MAX, parse_duration};

/// When a run starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartAt {
    /// At this time.
    Time(UtcTime),
    /// This long after the program was started.
    After(Duration),
}

impl StartAt {
    /// The time at which a run starts that is requested at `now`.
    ///
    /// # Errors
    /// One line about a time that is over, or too far away to be meant.
    pub(crate) fn time(self, now: UtcTime) -> Result<UtcTime, String> {
        let time = match self {
            Self::Time(time) => time,
            Self::After(duration) => now.after(duration).ok_or("--start-at: it must be at most 24d away")?,
        };
        if time < now {
            let ago = duration(now.since(time));
            return Err(format!("--start-at {time}: that was {ago} ago, by the clock of this host: {now}"));
        }
        if time.since(now) > DURATION_MAX {
            return Err(format!("--start-at {time}: it must be at most 24d away, and now it is {now}"));
        }
        Ok(time)
    }
}

impl FromStr for StartAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(duration) = text.strip_prefix('+') {
            return parse_duration(duration).map(Self::After);
        }
        text.parse().map(Self::Time).map_err(|what: String| {
            format!(
                "expected a date and time with Z or an offset (RFC 3339), as in 2026-11-22T18:00:00Z or \
                 2026-11-22T19:00:00.5+01:00, or +DUR, as in +30s: {what}"
            )
        })
    }
}

/// Waits until it is `time` by `clock`, which may be set meanwhile. Returns how long a stop request was before it, if
/// there was one.
///
/// # Errors
/// The poller is broken.
pub(super) fn wait<N: ClientNet>(
    time: UtcTime,
    net: &mut N,
    clock: impl Fn(&mut N) -> UtcTime,
    observer: &mut dyn Observer,
) -> io::Result<Option<Duration>> {
    let mut events = Vec::new();
    loop {
        let left = time.since(clock(net));
        if left.is_zero() {
            return Ok(None);
        }
        observer.waiting(left);
        let (now_ns, slice) = (net.now_ns(), left.min(CLOCK_CHECK_INTERVAL));
        let until_ns = now_ns.saturating_add(u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX));
        net.poll_until(&mut events, 1, now_ns, until_ns, false)?;
        let is_stop = events.drain(..).any(|event| event.token == Token::STOP);
        if is_stop && net.stop_requests() > 0 {
            return Ok(Some(time.since(clock(net))));
        }
    }
}

/// How often the clock is read while waiting: it may be set, and the progress line shows the seconds.
const CLOCK_CHECK_INTERVAL: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fake_net::FakeNet;
    use super::*;

    fn at(ms: u64) -> UtcTime {
        UtcTime::since_epoch(Duration::from_millis(1_795_292_266_000 + ms))
    }

    #[test]
    fn a_time_has_an_offset_or_z_and_may_have_a_fraction() {
        for (text, ms) in [
            ("2026-11-21T20:17:46Z", 0),
            ("2026-11-21t20:17:46.25z", 250),
            ("2026-11-21T21:17:46.001+01:00", 1),
            ("2026-11-21T14:47:46-05:30", 0),
        ] {
            assert_eq!(text.parse(), Ok(StartAt::Time(at(ms))), "{text}");
        }
        assert_eq!("+30s".parse(), Ok(StartAt::After(Duration::from_secs(30))));
        assert_eq!("+250ms".parse(), Ok(StartAt::After(Duration::from_millis(250))));
    }

    #[test]
    fn an_error_names_the_part_that_is_wrong() {
        for (text, part) in [
            ("", "year"),
            ("soon", "year"),
            ("18:00", "year"),
            ("2026-13-21T20:17:46Z", "month"),
            ("2026-11-31T20:17:46Z", "day"),
            ("2026-11-21T24:17:46Z", "hour"),
            ("2026-11-21T20:60:46Z", "minute"),
            ("2026-11-21T20:17:46", "offset"),
            ("2026-11-21T20:17:46+99:00", "offset"),
            ("2026-11-21T20:17:46Z.", "."),
            ("+", "whole number of seconds"),
            ("+0s", "at least 1ms"),
            ("+-3s", "whole number of seconds"),
        ] {
            let error = text.parse::<StartAt>().unwrap_err();
            assert!(error.contains(part) && !error.contains('\n'), "{text}: {error}");
        }
    }

    #[test]
    fn a_time_that_is_over_is_refused_with_the_difference() {
        assert_eq!(StartAt::Time(at(1500)).time(at(0)), Ok(at(1500)));
        assert_eq!(StartAt::Time(at(0)).time(at(0)), Ok(at(0)));
        assert_eq!(StartAt::After(Duration::from_secs(2)).time(at(500)), Ok(at(2500)));
        assert_eq!(
            StartAt::Time(at(0)).time(at(3200)).unwrap_err(),
            "--start-at 2026-11-21T20:17:46.000Z: that was 3.2 s ago, by the clock of this host: \
             2026-11-21T20:17:49.200Z"
        );
        let far = StartAt::Time(at(25 * 24 * 3_600_000)).time(at(0)).unwrap_err();
        assert!(far.contains("at most 24d away"), "{far}");
    }

    proptest! {
        #[test]
        fn any_text_is_a_time_or_an_error_in_one_line(text in "[-+0-9TZtz:. ]{0,30}|.{0,20}") {
            match text.parse::<StartAt>() {
                Ok(start) => drop(start.time(at(0))),
                Err(error) => prop_assert!(!error.is_empty()),
            }
        }

        #[test]
        fn a_time_that_is_shown_is_read_back(ms in 0u64..4_000_000_000_000) {
            let time = UtcTime::since_epoch(Duration::from_millis(ms));
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    /// The clock is that of the network, and is set forward or back by `step_ms` when it shows `stepped_at_ms`.
    fn waited(step_ms: i64, stepped_at_ms: u64, stop_at_ns: Option<u64>) -> (Option<Duration>, u64) {
        let mut net = FakeNet { now_ns: 1, stop_at_ns, ..FakeNet::default() };
        let clock = |net: &mut FakeNet| {
            let ms = net.now_ns / 1_000_000;
            let set = if ms >= stepped_at_ms { step_ms } else { 0 };
            at(ms.saturating_add_signed(set))
        };
        let stopped = wait(at(10_000), &mut net, clock, &mut ()).unwrap();
        (stopped, net.now_ns / 1_000_000)
    }

    #[test]
    fn the_wait_ends_when_the_clock_shows_the_time() {
        assert_eq!(waited(0, 0, None), (None, 10_000));
    }

    #[test]
    fn a_clock_that_is_set_while_waiting_is_followed() {
        let (stopped, forward) = waited(4000, 3000, None);
        assert!(stopped.is_none() && (6000..6300).contains(&forward), "{forward}");
        assert_eq!(waited(-4000, 5000, None), (None, 14_000));
    }

    #[test]
    fn a_stop_request_ends_the_wait() {
        let (stopped, at_ms) = waited(0, 0, Some(4_000_000_000));
        assert!(at_ms < 4300, "{at_ms}");
        assert!(stopped.unwrap() > Duration::from_millis(5700), "{stopped:?}");
    }
}
