//! Logs that are merged, truncated, or invalid.

use super::super::{LAG, Log, RESPONSE, ReadError, SERVICE};
use super::*;
use crate::load::stats::times as run;
use proptest::prelude::*;

fn started() -> UtcTime {
    UtcTime::since_epoch(Duration::from_secs(1_797_854_400))
}

fn histogram(samples: &[u64]) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).unwrap();
    samples.iter().for_each(|sample| histogram.record(*sample).unwrap());
    histogram
}

/// A log with an interval for each element: its response times; each service time is half as long.
fn log_of(intervals: &[Vec<u64>]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut log = IntervalLog::new(&mut file, started(), None).unwrap();
    for (second, samples) in (0..).zip(intervals) {
        let halves: Vec<u64> = samples.iter().map(|sample| sample / 2).collect();
        let times =
            run::Times { response: histogram(samples), service: histogram(&halves), ..run::Times::new() };
        log.append(Duration::from_secs(second), Duration::from_secs(1), &times, false).unwrap();
    }
    file
}

fn merged<'a>(logs: impl IntoIterator<Item = &'a [u8]>) -> Result<Merged, String> {
    let mut merged = Merged::default();
    for (number, log) in logs.into_iter().enumerate() {
        let name = format!("{number}.hlog");
        let log =
            Log::read(&name, log).map_err(|(ReadError::Absent(line) | ReadError::Invalid(line))| line)?;
        merged.add(&log.times).map_err(|what| format!("{name}: {what}"))?;
    }
    Ok(merged)
}

fn assert_same(found: &Histogram<u64>, expected: &Histogram<u64>) {
    let counts = |of: &Histogram<u64>| -> Vec<(u64, u64)> {
        of.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
    };
    assert_eq!(counts(found), counts(expected));
    assert_eq!((found.len(), found.min(), found.max()), (expected.len(), expected.min(), expected.max()));
    for permille in (0..=1000).step_by(25).chain([990, 999]) {
        let percentile = f64::from(permille) / 10.0;
        assert_eq!(found.value_at_percentile(percentile), expected.value_at_percentile(percentile));
    }
}

fn any_logs() -> impl Strategy<Value = Vec<Vec<Vec<u64>>>> {
    let sample = prop_oneof![0..100_u64, 1_000..10_000_000_u64, 1..60_000_000_000_u64];
    let interval = prop::collection::vec(sample, 0..20);
    prop::collection::vec(prop::collection::vec(interval, 1..4), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn however_samples_are_split_the_merged_histogram_is_that_of_all(
        (logs, order) in any_logs().prop_flat_map(|logs| {
            let order: Vec<usize> = (0..logs.len()).collect();
            (Just(logs), Just(order).prop_shuffle())
        })
    ) {
        let all: Vec<u64> = logs.iter().flatten().flatten().copied().collect();
        let files: Vec<Vec<u8>> = logs.iter().map(|log| log_of(log)).collect();
        let sum = merged(order.iter().map(|at| &files[*at][..])).unwrap();
        let intervals = logs.iter().map(|log| 2 * log.len() as u64).sum::<u64>();
        prop_assert_eq!((sum.files, sum.intervals), (logs.len(), intervals));
        assert_same(&sum.histograms[RESPONSE], &histogram(&all));
        let halves: Vec<u64> = all.iter().map(|sample| sample / 2).collect();
        assert_same(&sum.histograms[SERVICE], &histogram(&halves));

        // It can be written and read again.
        let mut file = Vec::new();
        sum.write(&mut file).unwrap();
        let again = merged([&file[..]]).unwrap();
        assert_same(&again.histograms[RESPONSE], &histogram(&all));
        prop_assert_eq!((again.span(), again.intervals), (sum.span(), 2));
    }

    #[test]
    fn the_complete_lines_of_a_truncated_log_are_read(cut in any::<prop::sample::Index>()) {
        let whole = log_of(&[vec![1_000_000], vec![2_000_000]]);
        let log = &whole[..cut.index(whole.len())];
        let lines = log.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"Tag=")).count();
        match merged([log]) {
            Ok(read) => prop_assert!(read.intervals == lines as u64 || read.intervals + 1 == lines as u64),
            Err(_) => prop_assert!(lines <= 1, "{} lines", lines),
        }
    }
}

#[test]
fn an_incomplete_last_line_is_ignored_with_a_warning() {
    let whole = log_of(&[vec![1_000_000]]);
    let read = merged([&whole[..whole.len() - 9]]).unwrap();
    assert_eq!((read.intervals, read.histograms.get(SERVICE)), (1, None));
    let warning = "0.hlog: line 7: the line is incomplete and was ignored (the histogram does not have the length it states)";
    assert_eq!(read.ignored, [warning]);
}

#[test]
fn a_log_without_its_last_line_break_is_complete() {
    let whole = log_of(&[vec![1_000_000]]);
    let read = merged([&whole[..whole.len() - 1]]).unwrap();
    assert_eq!((read.intervals, read.ignored.len()), (2, 0));
}

#[test]
fn an_error_names_file_and_line() {
    let whole = String::from_utf8(log_of(&[vec![1_000_000]])).unwrap();
    let error_of = |text: &str| merged([whole.as_bytes(), text.as_bytes()]).unwrap_err();
    assert_eq!(error_of("{\"p99\": 5}"), "1.hlog: line 1: the line is not of a histogram log");
    let line = |histogram: &str| error_of(&format!("{whole}0.0,1.0,1.0,{histogram}\n"));
    assert_eq!(line("HIST"), "1.hlog: line 8: the histogram is not compressed in version 2");
    assert!(line("HI ST").starts_with("1.hlog: line 8: the histogram is not base64: "));
    assert_eq!(line("HISTFAAAAAk="), "1.hlog: line 8: the histogram does not have the length it states");
    assert_eq!(error_of(&whole.replace("Tag=service", "service")), {
        "1.hlog: line 7: the line is not of a histogram log"
    });
}

#[test]
fn histograms_of_different_precision_are_not_mixed() {
    let mut coarse = Histogram::new(2).unwrap();
    coarse.record(1_000_000).unwrap();
    let log = log_of(&[vec![1_000_000]]);
    let mut other = Vec::new();
    let mut writer = IntervalLog::new(&mut other, started(), None).unwrap();
    writer.append_tagged(Duration::ZERO, Duration::ZERO, [(LAG, &coarse)]).unwrap();
    let error = merged([&log[..], &other]).unwrap_err();
    assert!(error.ends_with(": the precision of the histogram differs from the others"), "{error}");
}

#[test]
fn samples_that_cannot_be_counted_are_an_error() {
    let mut many = histogram(&[]);
    many.record_n(1_000_000, u64::MAX / 2 + 1).unwrap();
    let mut merged = Merged::of_file();
    assert_eq!(merged.add_histogram(RESPONSE, &many), Ok(()));
    let error = merged.add_histogram(RESPONSE, &many).unwrap_err();
    assert_eq!(error, "there are more samples than can be counted");
}

#[test]
fn other_tools_leave_out_tags_and_count_time_from_the_start() {
    let log = String::from_utf8(log_of(&[vec![1_000_000], vec![2_000_000]])).unwrap();
    let untagged = log.replace("Tag=response,", "").replace('\n', "\r\n");
    let only_start = untagged.replace("#[BaseTime", "#[Base");
    for text in [&untagged, &only_start] {
        // Of two logs, the second a minute after the first.
        let later = text.replace("1797854400", "1797854460");
        let read = merged([text.as_bytes(), later.as_bytes()]).unwrap();
        assert_eq!((read.histograms[RESPONSE].len(), read.span()), (4, Duration::from_secs(62)));
    }
}

#[test]
fn a_log_without_a_complete_interval_is_an_error() {
    let whole = log_of(&[vec![1_000_000]]);
    let header = log_of(&[]);
    let is_cut = &whole[..header.len() + 9];
    for log in [b"", &header[..], is_cut] {
        let error = merged([&whole[..], log]).unwrap_err();
        assert_eq!(error, "1.hlog: the log has no complete interval");
    }
}

#[test]
fn a_tag_that_a_log_does_not_have_is_not_complete() {
    let whole = log_of(&[vec![1_000_000], vec![2_000_000]]);
    let without_service =
        String::from_utf8(whole.clone()).unwrap().replace("Tag=service", "Tag=other").into_bytes();
    let sum = merged([&whole[..], &without_service]).unwrap();
    assert_eq!(sum.complete(RESPONSE).map(Histogram::len), Some(4));
    assert_eq!(sum.histograms[SERVICE].len(), 2);
    assert!(sum.complete(SERVICE).is_none() && sum.complete(LAG).is_none());
}

#[test]
fn a_log_has_the_identity_of_its_run_and_an_end_unless_the_generator_was_killed() {
    let mut file = Vec::new();
    let mut log = IntervalLog::new(&mut file, started(), Some("5d1c")).unwrap();
    let response = histogram(&[5]);
    log.append_tagged(Duration::from_secs(3), Duration::from_secs(1), [(RESPONSE, &response)]).unwrap();
    log.finish().unwrap();
    let read = |file: &[u8]| {
        let log = Log::read("a", file).unwrap();
        let seconds: Vec<_> = log.seconds.iter().map(|second| (second.at_seconds, second.answered)).collect();
        (log.run_id.clone(), log.has_end, log.began_at(), seconds)
    };
    assert_eq!(read(&file), (Some("5d1c".into()), true, Some(started()), vec![(4.0, 1)]));
    let killed = &file[..file.len() - 7];
    assert!(killed.ends_with(
        b"
"
    ));
    assert!(!read(killed).1);
    let other = String::from_utf8(file).unwrap().replace("#[Run: 5d1c]", "#Run");
    assert_eq!(read(other.as_bytes()).0, None);
}

#[test]
fn the_span_is_from_the_first_start_to_the_latest_end_in_any_order_of_lines() {
    let log = String::from_utf8(log_of(&[vec![1], vec![2], vec![3]])).unwrap();
    let (intervals, header): (Vec<&str>, Vec<&str>) = log.lines().partition(|line| line.starts_with("Tag="));
    let reversed: Vec<&str> = header.into_iter().chain(intervals.into_iter().rev()).collect();
    let later = log.replace("1797854400", "1797854460");
    for logs in [[&log, &reversed.join("\n")], [&later, &log], [&log, &later]] {
        let seconds = if logs.contains(&&later) { 63 } else { 3 };
        assert_eq!(merged(logs.map(String::as_bytes)).unwrap().span(), Duration::from_secs(seconds));
    }
}

#[test]
fn a_timestamp_is_relative_to_the_base_time_then_to_the_start_time_then_to_the_epoch() {
    let log = String::from_utf8(log_of(&[vec![1], vec![2]])).unwrap();
    // A tool that keeps one base for several logs, and one that writes the time since the epoch.
    let other_start = log.replace("#[StartTime: 1797854400", "#[StartTime: 1797850000");
    let absolute = log.replace("#[BaseTime", "#[Base").replace(",0.000,", ",1797854400.000,");
    let absolute = absolute.replace(",1.000,1.000,", ",1797854401.000,1.000,");
    for other in [&other_start, &absolute] {
        let span = merged([log.as_bytes(), other.as_bytes()]).unwrap().span();
        assert_eq!(span, Duration::from_secs(2), "{other}");
    }
}
