//! `daytime`: the server sends the local date and time on connect, then ends the stream.

use std::io::Write;

use tz::{TimeZone, UtcDateTime};

use super::client_side::{ExpectedReply, Reply, StreamClient};
use super::definition::Definition;
use super::output::Output;
use super::server_side::{Action, Progress, StreamService};

/// Whether this build knows time zones; without them, UTC is sent.
pub(crate) const HAS_TIME_ZONE: bool = cfg!(any(feature = "time-zone", not(feature = "only")));

pub(crate) const DEFINITION: Definition = Definition::stream(
    "daytime",
    9998,
    "the local date and time",
    |settings| Box::new(Daytime::new(settings.time_zone)),
    &DaytimeClient,
);

/// The server side of `daytime`.
#[derive(Debug)]
pub struct Daytime {
    time_zone: TimeZone,
}

impl Daytime {
    /// Sends the time of `time_zone`.
    #[must_use]
    pub fn new(time_zone: TimeZone) -> Self {
        Self { time_zone }
    }
}

impl StreamService for Daytime {
    fn opened(&self, unix_seconds: i64, out: &mut Output<'_>) -> Action {
        append_local_time(unix_seconds, &self.time_zone, out.answer());
        Action::End
    }

    fn received(&self, unread: &[u8], _ended: bool, _out: &mut Output<'_>) -> Progress {
        Progress { consumed: unread.len(), action: Action::End }
    }
}

/// The client side of `daytime`.
pub(crate) struct DaytimeClient;

impl StreamClient for DaytimeClient {
    fn expected_reply(&self, _text: &str) -> ExpectedReply {
        ExpectedReply::Pattern(b"AAA AAA _0 00:00:00 0000\r\n")
    }

    fn parse_reply<'a>(&self, unread: &'a [u8]) -> Result<Option<Reply<'a>>, String> {
        Ok(unread.ends_with(b"\n").then_some(Reply::whole(unread)))
    }

    fn server_ends_stream(&self) -> bool {
        true
    }
}

/// Appends the time as the C library's `ctime` formats it, with CR LF: `Fri May  7 20:36:52 2021\r\n`. A time
/// for which the zone has no rule is formatted in UTC.
fn append_local_time(unix_seconds: i64, time_zone: &TimeZone, answer: &mut Vec<u8>) {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let local = if HAS_TIME_ZONE { time_zone.find_local_time_type(unix_seconds).ok() } else { None };
    let offset_seconds = local.map_or(0, |local| i64::from(local.ut_offset()));
    // The time in UTC at which the calendar reads as the local one.
    let time = UtcDateTime::from_timespec(unix_seconds.saturating_add(offset_seconds), 0)
        .unwrap_or_else(|_| UtcDateTime::from_timespec(0, 0).expect("the epoch is a date"));
    write!(
        answer,
        "{} {} {:>2} {:02}:{:02}:{:02} {}\r\n",
        DAYS[usize::from(time.week_day())],
        MONTHS[usize::from(time.month() - 1)],
        time.month_day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.year()
    )
    .expect("writing to a Vec cannot fail");
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::run;
    use super::*;

    fn sent_at(unix_seconds: i64, zone: &str) -> String {
        let daytime = Daytime::new(TimeZone::from_posix_tz(zone).unwrap());
        let outcome = run(|out| daytime.opened(unix_seconds, out));
        assert_eq!(outcome.returned, Action::End);
        outcome.answer
    }

    #[test]
    fn the_time_is_formatted_as_by_ctime() {
        assert_eq!(sent_at(1_620_419_812, "UTC0"), "Fri May  7 20:36:52 2021\r\n");
        assert_eq!(sent_at(0, "UTC0"), "Thu Jan  1 00:00:00 1970\r\n");
        assert_eq!(sent_at(1_703_980_799, "UTC0"), "Sat Dec 30 23:59:59 2023\r\n");
    }

    #[test]
    fn summer_time_applies_in_summer_only() {
        let berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
        assert_eq!(sent_at(1_620_419_812, berlin), "Fri May  7 22:36:52 2021\r\n");
        assert_eq!(sent_at(1_703_980_799, berlin), "Sun Dec 31 00:59:59 2023\r\n");
    }
}
