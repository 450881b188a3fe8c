//! `daytime`: the local date and time to whoever connects, then the end of the stream.

use std::io::Write;

use tz::{TimeZone, UtcDateTime};

use super::{Action, Kind, Make, Output, Progress, StreamService};

pub(super) const KIND: Kind = Kind {
    name: "daytime",
    default_port: 9998,
    make: Make::Stream(|settings| Box::new(Daytime::new(settings.time_zone))),
};

/// The service `daytime`.
#[derive(Debug)]
pub struct Daytime {
    time_zone: TimeZone,
}

impl Daytime {
    /// Tells the time of `time_zone`.
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

/// Appends the form of the C library's `ctime`, with CR LF: `Fri May  7 20:36:52 2021\r\n`. A moment for
/// which the zone has no rule is told in UTC.
fn append_local_time(unix_seconds: i64, time_zone: &TimeZone, answer: &mut Vec<u8>) {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let offset_seconds = match time_zone.find_local_time_type(unix_seconds) {
        Ok(local) => i64::from(local.ut_offset()),
        Err(_) => 0,
    };
    // The moment in UTC whose calendar reads as the local one does.
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
    use super::super::asked::ask;
    use super::*;

    fn told(unix_seconds: i64, zone: &str) -> String {
        let daytime = Daytime::new(TimeZone::from_posix_tz(zone).unwrap());
        let said = ask(|out| daytime.opened(unix_seconds, out));
        assert_eq!(said.returned, Action::End);
        said.answer
    }

    #[test]
    fn the_time_is_told_as_ctime_tells_it() {
        assert_eq!(told(1_620_419_812, "UTC0"), "Fri May  7 20:36:52 2021\r\n");
        assert_eq!(told(0, "UTC0"), "Thu Jan  1 00:00:00 1970\r\n");
        assert_eq!(told(1_703_980_799, "UTC0"), "Sat Dec 30 23:59:59 2023\r\n");
    }

    #[test]
    fn summer_time_is_told_in_summer_only() {
        let berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
        assert_eq!(told(1_620_419_812, berlin), "Fri May  7 22:36:52 2021\r\n");
        assert_eq!(told(1_703_980_799, berlin), "Sun Dec 31 00:59:59 2023\r\n");
    }
}
