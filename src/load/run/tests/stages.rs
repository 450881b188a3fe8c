//! Stages of rates and of active connections.

use super::*;
use crate::load::profile::{self, stages};
use crate::load::stats::stages::StageRow;

fn staged(change: impl FnOnce(&mut LoadOptions)) -> LoadOptions {
    let mut options = options(change);
    options.take_duration_of_stages(None).unwrap();
    options.check().unwrap();
    options
}

fn rows(options: &LoadOptions, net: FakeNet) -> Vec<StageRow> {
    result_of(options, net).summary.stages
}

fn values(row: &StageRow) -> Vec<String> {
    row.settings.iter().map(|setting| format!("{}={}", setting.option, setting.value)).collect()
}

#[test]
fn each_stage_sends_exactly_the_messages_of_its_area() {
    let options = staged(|it| it.rate_stages = stages("1000@1s,1000..3000@2s,0@500ms,500@1s"));
    let result = result_of(&options, net());
    let rows = &result.summary.stages;
    let counted: Vec<_> = rows.iter().map(|row| (row.sent, row.acknowledged, row.failed)).collect();
    assert_eq!(counted, [(1000, 1000, 0), (4000, 4000, 0), (0, 0, 0), (500, 500, 0)]);
    assert_eq!(
        rows.iter().map(values).collect::<Vec<_>>().concat(),
        ["rate=1000", "rate=1000..3000", "rate=0", "rate=500"]
    );
    assert_eq!(
        rows.iter().map(|row| row.offered_rate.unwrap()).collect::<Vec<_>>(),
        [1000.0, 2000.0, 0.0, 500.0]
    );
    for row in rows {
        assert!((row.measured_seconds - row.planned_seconds).abs() < 0.001, "{row:?}");
        assert!((row.rate - row.offered_rate.unwrap()).abs() < 2.0 && row.valid, "{row:?}");
        assert_eq!(row.latency_us.response.count, row.sent);
    }
    let messages = &result.summary.messages;
    assert_eq!((messages.sent, messages.never_sent), (5500, 0));
    assert!((messages.offered_rate.unwrap() - 5500.0 / 4.5).abs() < 1e-6);
    assert!((result.summary.duration_seconds - 4.5).abs() < 0.001);
    // A second ends where a stage ends: after the opening and 50 ms of settling.
    let ends: Vec<f64> = result.seconds.iter().map(|second| second.at_seconds).collect();
    for end in [1.05, 3.05, 3.55] {
        assert!(ends.iter().any(|at| (at - end).abs() < 0.001), "{ends:?}");
    }
    // And it begins with one: the last stage has a whole one.
    assert!(!ends.iter().any(|at| (3.56..4.54).contains(at)), "{ends:?}");
}

#[test]
fn a_backlog_belongs_to_the_stage_in_which_it_was_due() {
    let options = staged(|it| it.rate_stages = stages("1000@1s,500@2s"));
    let rows = rows(&options, FakeNet { stall_ns: (550 * MS, 2050 * MS), ..net() });
    let counted: Vec<_> = rows.iter().map(|row| (row.sent, row.acknowledged)).collect();
    assert_eq!(counted, [(1000, 1000), (1000, 1000)]);
    // The first half second of the first stage was answered in it.
    assert!((rows[0].rate - 500.0).abs() < 5.0 && (rows[1].rate - 750.0).abs() < 5.0, "{rows:?}");
    let max_ms = |row: &StageRow| row.latency_us.response.max.unwrap() / 1000.0;
    assert!((max_ms(&rows[0]) - 1500.0).abs() < 5.0, "{rows:?}");
    assert!((max_ms(&rows[1]) - 1000.0).abs() < 5.0, "{rows:?}");
}

#[test]
fn the_warm_up_has_the_first_rate_and_is_in_no_stage() {
    let options = staged(|it| {
        (it.rate_stages, it.warmup) = (stages("1000..2000@1s,10@1s"), Duration::from_secs(1));
    });
    let (tally, measurements) = measurements(&options, net());
    let outcome = outcome(&options, tally, &measurements, &Baseline::now(0));
    let sent: Vec<u64> = outcome.summary.stages.iter().map(|row| row.sent).collect();
    assert_eq!((sent, outcome.summary.messages.sent), (vec![1500, 10], 1510));
    let warm_up: u64 = outcome.seconds.iter().map(|second| second.sent).sum::<u64>() - 1510;
    assert_eq!(warm_up, 1000);
}

#[test]
fn the_warm_up_has_the_first_number_of_active_connections() {
    // The opening takes longer than the first stage.
    let options =
        staged(|it| (it.active_stages, it.warmup) = (stages("1@10ms,4@1s"), Duration::from_secs(1)));
    let result = result_of(&options, FakeNet { reply_delay_ns: 400 * MS, ..net() });
    // 0, 0.4, 0.8: the opening and the settling are in intervals of their own.
    assert_eq!(
        result.seconds.iter().map(|second| second.sent).take(3).sum::<u64>(),
        3,
        "{:?}",
        result.seconds
    );
}

#[test]
fn each_stage_has_the_share_of_its_time_in_which_the_generator_was_busy() {
    let options = staged(|it| {
        (it.rate_stages, it.warmup) = (stages("1000@1s,200@1s"), Duration::from_secs(1));
    });
    // A write takes half a millisecond.
    let summary = result_of(&options, FakeNet { write_ns: MS / 2, ..net() }).summary;
    let shares = [summary.stages[0].busy.unwrap(), summary.stages[1].busy.unwrap(), summary.generator.busy];
    for (share, expected) in shares.into_iter().zip([0.5, 0.1, 0.3]) {
        assert!((share - expected).abs() < 0.01, "{shares:?}");
    }
}

#[test]
fn stages_that_are_not_reached_have_no_results() {
    let options = staged(|it| it.rate_stages = stages("1000@1s,1000@1s,1000@1s"));
    let rows = rows(&options, FakeNet { stop_at_ns: Some(1550 * MS), ..net() });
    let reached: Vec<_> = rows.iter().map(|row| row.began_seconds.is_some()).collect();
    assert_eq!(reached, [true, true, false]);
    assert!((rows[1].measured_seconds - 0.5).abs() < 0.001, "{rows:?}");
    assert_eq!((rows[2].sent, rows[2].planned_seconds, rows[2].valid), (0, 1.0, false));
}

#[test]
fn a_stage_in_which_the_generator_slept_is_not_valid_and_the_others_are() {
    let options = staged(|it| it.rate_stages = stages("1000@1s,2000@2s,1000@1s"));
    let rows = rows(&options, FakeNet { sleep_ns: Some((1500 * MS, 2000 * MS)), ..net() });
    assert_eq!(rows.iter().map(|row| row.valid).collect::<Vec<_>>(), [true, false, true], "{rows:?}");
    assert_eq!(rows.iter().map(|row| row.sent).collect::<Vec<_>>(), [1000, 4000, 1000]);
}

#[test]
fn connections_are_opened_in_stages_and_then_at_the_last_rate() {
    let options = staged(|it| {
        (it.connections, it.rate) = (200, Some(100));
        it.open_rate_stages = stages("10@2s,0@1s,0..100@1s");
    });
    let result = result_of(&options, net());
    let rows = &result.summary.stages;
    let opened: Vec<u64> = rows.iter().map(|row| row.opened).collect();
    // 20, none, and of the 180 others 50 in the ramp, which the last rate continues.
    assert_eq!(opened, [20, 0, 180], "{rows:?}");
    assert_eq!(values(&rows[2]), ["open_rate=0..100"]);
    assert!((result.summary.connections.open_seconds - 5.3).abs() < 0.02, "{rows:?}");
    assert_eq!((rows[0].sent, rows[0].busy, rows[0].valid), (0, None, true));
    assert_eq!(rows[2].latency_us.connect.count, 180);
}

#[test]
fn the_number_of_active_connections_follows_its_stages_in_a_closed_loop() {
    #[derive(Default)]
    struct Active(Vec<u64>);
    impl Observer for Active {
        fn second(&mut self, second: &Second, _: &Times) {
            self.0.push(second.sent);
        }
    }
    let options = staged(|it| it.active_stages = stages("1@1s,4@1s,2@1s,0@1s"));
    // The server replies once in a second, so each active connection sends once or twice in one.
    let mut active = Active::default();
    let net = FakeNet { reply_delay_ns: 400 * MS, ..net() };
    let (tally, measurements) = measurements_seen_by(&mut active, &options, net);
    let rows = outcome(&options, tally, &measurements, &Baseline::now(0)).summary.stages;
    let sent: Vec<u64> = rows.iter().map(|row| row.sent).collect();
    // 0, 0.4, 0.8 | three begin at 1 (1, 1.4, 1.8), one goes on (1.2, 1.6) | 2.2 and 2.0; 2.4, 2.8, … | nothing.
    assert_eq!(sent, [3, 11, 5, 0], "{rows:?}");
    assert_eq!(rows.iter().map(|row| row.acknowledged).sum::<u64>(), 19);
}

#[test]
fn connections_become_active_one_after_the_other_in_a_ramp() {
    let options = staged(|it| it.active_stages = stages("1..3@1s"));
    // No reply comes when the number changes.
    let rows = rows(&options, FakeNet { reply_delay_ns: 700 * MS, ..net() });
    // 0, 0.7 | from a quarter: 0.25, 0.95 | from three quarters: 0.75.
    assert_eq!(rows[0].sent, 5, "{rows:?}");
}

#[test]
fn active_connections_of_an_open_loop_take_the_messages_in_turn() {
    let options = staged(|it| (it.rate, it.active_stages) = (Some(1000), stages("1@1s,1..4@1s")));
    let rows = rows(&options, net());
    assert_eq!(rows.iter().map(|row| row.sent).collect::<Vec<_>>(), [1000, 1000]);
    assert_eq!(values(&rows[1]), ["active=1..4"]);
    assert_eq!(rows[0].offered_rate, Some(1000.0));
}

#[test]
fn stages_that_cannot_be_combined_are_refused() {
    let refused = |change: fn(&mut LoadOptions)| options(change).check().unwrap_err();
    assert!(refused(|it| it.open_rate_stages = stages("10@1s,10..0@1s")).contains("must end above 0"));
    assert!(refused(|it| it.active_stages = stages("5@1s")).contains("--active must not exceed"));
    let lengths = refused(|it| {
        (it.rate_stages, it.active_stages) = (stages("10@2s"), stages("1@1s,2@1s"));
    });
    assert!(lengths.contains("the same lengths"), "{lengths}");
    let idle = refused(|it| (it.rate, it.active_stages) = (Some(1), stages("1@1s,0@1s")));
    assert!(idle.contains("at least 1"), "{idle}");
    assert!(refused(|it| (it.rate_stages, it.pipeline) = (stages("1@1s"), 2)).contains("closed loop"));
}

#[test]
fn the_duration_is_that_of_the_stages() {
    let mut options = options(|it| it.rate_stages = stages("10@30s,10..20@1m"));
    assert_eq!(options.take_duration_of_stages(Some(Duration::from_secs(90))), Ok(()));
    assert_eq!(
        (options.duration, profile::length(&options.rate_stages)),
        (Duration::from_secs(90), Duration::from_secs(90))
    );
    assert_eq!(
        options.take_duration_of_stages(Some(Duration::from_secs(10))).unwrap_err(),
        "--duration is 10s, and the stages of --rate last 90s: leave it out"
    );
}
