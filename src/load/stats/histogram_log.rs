//! The histogram log of a run: an interval log that the tools of `HdrHistogram` read, plot and merge.
//!
//! ```text
//! #[Histogram log format version 1.3]
//! #[StartTime: 1797854400.000 (seconds since epoch)]
//! #[BaseTime: 1797854400.000 (seconds since epoch)]
//! #[MaxValueDivisor: 1000000.000]
//! #[Run: 5d1c8a0e77b3f492]
//! "StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"
//! Tag=response,0.000,1.000,7.201,HISTFAAAAC…
//! Tag=service,0.000,1.000,1.113,HISTFAAAAC…
//! Tag=response,1.000,1.000,6.990,HISTFAAAAC…
//! #[End]
//! ```
//!
//! A line has one second of one distribution: its start in seconds after `BaseTime`, its length, its maximum,
//! and its counts. Values are in nanoseconds, the maximum in milliseconds as the tools expect. Since a line
//! has counts and not percentiles, logs of several generators [merge](Merged) exactly. Other tools ignore the comments
//! with the identity of the run, which its JSON has too, and with its end, without which the generator was killed.

use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

use super::times::Times;
use crate::report::utc_time::UtcTime;
use crate::units::float;

mod decode;
mod duplicates;
mod encode;
mod merge;
mod read;

pub(crate) use decode::decode;
pub(crate) use duplicates::check_distinct;
pub(crate) use encode::Encoder;
pub(crate) use merge::Merged;
pub(crate) use read::{Log, ReadError};

/// Tag of the times from when a message was due to its reply. Other tools write them without a tag.
pub(crate) const RESPONSE: &str = "response";

/// Tag of the times from when a message was sent to its reply.
pub(crate) const SERVICE: &str = "service";

/// Tag of the times from when a message was due to when it was sent.
pub(crate) const LAG: &str = "lag";

/// Tag of the times from the request of a connection until it was established.
pub(crate) const CONNECT: &str = "connect";

/// Tag of the times from when a heartbeat was due to its reply.
pub(crate) const HEARTBEAT: &str = "heartbeat";

/// Writes a log.
pub(crate) struct IntervalLog<W> {
    to: W,
    encoder: Encoder,
    lines: String,
}

impl<W: Write> IntervalLog<W> {
    /// Starts a log of a `run` that started at `started`; without one, a log of several runs. Lines are written to `to`
    /// without buffering.
    ///
    /// # Errors
    /// The header cannot be written.
    pub(crate) fn new(mut to: W, started: UtcTime, run: Option<&str>) -> io::Result<Self> {
        let mut serializer = V2DeflateSerializer::new();
        let mut header = Vec::new();
        IntervalLogWriterBuilder::new()
            .add_comment("[Histogram log format version 1.3]")
            .with_start_time(started.0)
            .with_base_time(started.0)
            .with_max_value_divisor(NS_PER_MS)
            .begin_log_with(&mut header, &mut serializer)?;
        if let Some(run) = run {
            header.extend_from_slice(format!("{RUN}{run}]\n").as_bytes());
        }
        header.extend_from_slice(LEGEND.as_bytes());
        to.write_all(&header)?;
        Ok(Self { to, encoder: Encoder::new(), lines: String::new() })
    }

    /// Appends the times of an interval that started `start` after the run, in one write: if the generator is
    /// killed, at most the last line is incomplete. A closed loop has no lag. Times to connect and of heartbeats are
    /// left out if there are none.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn append(
        &mut self,
        start: Duration,
        length: Duration,
        times: &Times,
        has_lag: bool,
    ) -> io::Result<()> {
        let lag = has_lag.then_some((LAG, &times.lag));
        let connect = (!times.connect.is_empty()).then_some((CONNECT, &times.connect));
        let heartbeat = (!times.heartbeat.is_empty()).then_some((HEARTBEAT, &times.heartbeat));
        let tagged = [(RESPONSE, &times.response), (SERVICE, &times.service)].into_iter();
        self.append_tagged(start, length, tagged.chain(lag).chain(connect).chain(heartbeat))
    }

    /// Appends only the times to connect, of an interval without measured messages.
    ///
    /// # Errors
    /// They cannot be written.
    pub(crate) fn append_connect(
        &mut self,
        start: Duration,
        length: Duration,
        times: &Times,
    ) -> io::Result<()> {
        self.append_tagged(start, length, [(CONNECT, &times.connect)])
    }

    /// Marks the end of the run.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.to.write_all(format!("{END}\n").as_bytes())
    }

    fn append_tagged<'a>(
        &mut self,
        start: Duration,
        length: Duration,
        tagged: impl IntoIterator<Item = (&'a str, &'a Histogram<u64>)>,
    ) -> io::Result<()> {
        self.lines.clear();
        for (tag, histogram) in tagged {
            self.add_line(tag, start, length, histogram)?;
        }
        self.to.write_all(self.lines.as_bytes())
    }

    /// Appends a line. The writer of `hdrhistogram` cannot be used: it borrows its file for its lifetime, and
    /// starts every log that has a divisor with a line about it.
    fn add_line(
        &mut self,
        tag: &str,
        start: Duration,
        length: Duration,
        histogram: &Histogram<u64>,
    ) -> io::Result<()> {
        let (start, length) = (start.as_secs_f64(), length.as_secs_f64());
        let max = float(histogram.max()) / NS_PER_MS;
        let numbers = format!("Tag={tag},{start:.3},{length:.3},{max:.3},");
        self.lines.push_str(&numbers);
        self.encoder.append(histogram, &mut self.lines)?;
        self.lines.push('\n');
        Ok(())
    }
}

const LEGEND: &str =
    "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";

const NS_PER_MS: f64 = 1_000_000.0;

/// The beginning of the comment with the identity of the run.
const RUN: &str = "#[Run: ";

/// The comment at the end of a log whose run was not killed.
const END: &str = "#[End]";

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(nanoseconds: &[u64]) -> Histogram<u64> {
        let mut histogram = Histogram::new(3).unwrap();
        nanoseconds.iter().for_each(|value| histogram.record(*value).unwrap());
        histogram
    }

    fn written(has_lag: bool) -> String {
        let started = UtcTime::since_epoch(Duration::from_millis(1_797_854_400_250));
        let mut file = Vec::new();
        let mut log = IntervalLog::new(&mut file, started, Some("5d1c")).unwrap();
        let times = Times {
            response: histogram(&[7_200_000, 800_000]),
            service: histogram(&[700_000]),
            lag: histogram(&[1000]),
            connect: histogram(&[]),
            heartbeat: histogram(&[]),
        };
        for second in 0..2 {
            log.append(Duration::from_secs(second), Duration::from_secs(1), &times, has_lag).unwrap();
        }
        log.finish().unwrap();
        String::from_utf8(file).unwrap()
    }

    const EPOCH: UtcTime = UtcTime(std::time::UNIX_EPOCH);

    #[test]
    fn a_log_starts_with_the_header_of_the_format() {
        let text = written(false);
        let header: Vec<&str> = text.lines().take(6).collect();
        assert_eq!(
            header,
            [
                "#[Histogram log format version 1.3]",
                "#[StartTime: 1797854400.250 (seconds since epoch)]",
                "#[BaseTime: 1797854400.250 (seconds since epoch)]",
                "#[MaxValueDivisor: 1000000.000]",
                "#[Run: 5d1c]",
                "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"",
            ]
        );
    }

    #[test]
    fn times_to_connect_have_a_tag_of_their_own() {
        let mut file = Vec::new();
        let mut log = IntervalLog::new(&mut file, EPOCH, None).unwrap();
        let times = Times { connect: histogram(&[2_000_000]), ..Times::new() };
        log.append_connect(Duration::ZERO, Duration::from_millis(4), &times).unwrap();
        log.append(Duration::from_millis(4), Duration::from_secs(1), &times, false).unwrap();
        let text = String::from_utf8(file).unwrap();
        let beginnings: Vec<&str> = text.lines().skip(5).map(|line| &line[..line.len().min(18)]).collect();
        assert_eq!(
            beginnings,
            ["Tag=connect,0.000,", "Tag=response,0.004", "Tag=service,0.004,", "Tag=connect,0.004,"]
        );
    }

    #[test]
    fn a_line_has_tag_start_length_maximum_in_milliseconds_and_histogram() {
        let text = written(true);
        let lines: Vec<Vec<&str>> =
            text.lines().skip(6).take(6).map(|line| line.split(',').collect()).collect();
        let beginnings: Vec<&[&str]> = lines.iter().map(|line| &line[..4]).collect();
        assert_eq!(beginnings[0], ["Tag=response", "0.000", "1.000", "7.201"]);
        assert_eq!(beginnings[1], ["Tag=service", "0.000", "1.000", "0.700"]);
        assert_eq!(beginnings[2], ["Tag=lag", "0.000", "1.000", "0.001"]);
        assert_eq!(beginnings[3], ["Tag=response", "1.000", "1.000", "7.201"]);
        assert_eq!((lines.len(), text.lines().skip(12).collect::<Vec<_>>()), (6, vec!["#[End]"]));
        // The cookie of a compressed histogram of version 2, in base64.
        assert!(lines.iter().all(|line| line.len() == 5 && line[4].starts_with("HISTFAAA")));
    }

    #[test]
    fn a_closed_loop_has_no_lag() {
        assert!(!written(false).contains(LAG));
    }

    #[test]
    fn a_full_disk_is_an_error() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert_eq!(IntervalLog::new(Full, EPOCH, None).err().unwrap().kind(), io::ErrorKind::StorageFull);
    }
}
