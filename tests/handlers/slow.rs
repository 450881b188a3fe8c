//! Peers that do not take what they are sent.

use loopline::limits::Limits;

use crate::script::Stage;

/// More than a write of the simulated network takes.
const BURST: usize = 100_000;

#[test]
fn a_slow_peer_is_sent_everything_and_the_handler_is_told_when_it_has_taken_it() {
    for seed in 0..30 {
        let mut stage = Stage::new(seed);
        let [slow] = stage.peers();
        stage.server.net().set_pace(slow, Some(0));
        let text = "x".repeat(BURST);
        stage.order(slow, &["then more", &format!("say {text}")]);
        assert_eq!(stage.told_all(), ["0 opened by 198.51.100.1"]);
        stage.server.net().set_pace(slow, Some(10_000));
        stage.run();
        assert_eq!(stage.told_all()[0], "0 drained", "seed {seed}");
        assert_eq!(stage.received(slow), text + "more");
    }
}

#[test]
fn what_is_published_reaches_a_slow_member_later_and_the_others_at_once() {
    for seed in 0..30 {
        let mut stage = Stage::new(seed);
        let [speaker, slow, quick] = stage.peers();
        for member in [slow, quick] {
            stage.order(member, &["join 1"]);
        }
        stage.server.net().set_pace(slow, Some(0));
        let texts: Vec<String> = (0..20).map(|number| format!("{number} {}.", "x".repeat(9000))).collect();
        for text in &texts {
            stage.order(speaker, &[&format!("publish 1 {text}")]);
        }
        assert_eq!(stage.received(quick), texts.concat(), "seed {seed}");
        stage.server.net().set_pace(slow, None);
        stage.run();
        assert_eq!(stage.received(slow), texts.concat(), "seed {seed}");
    }
}

#[test]
fn a_member_that_takes_nothing_is_closed_beyond_the_limit_and_the_others_stay() {
    let limits = Limits { unsent_bytes_max: 50_000, ..Limits::default() };
    for seed in 0..30 {
        let mut stage = Stage::with(seed, limits.clone());
        let [speaker, slow, quick] = stage.peers();
        for member in [slow, quick] {
            stage.order(member, &["join 1"]);
        }
        stage.server.net().set_pace(slow, Some(0));
        stage.told();
        let text = "x".repeat(10_000);
        let mut published = 0;
        while stage.told().is_empty() {
            stage.order(speaker, &[&format!("publish 1 {text}")]);
            published += 1;
            assert!(published < 20, "it is never closed");
        }
        // As many as the limit allows are kept for it; only one more is too much.
        assert!(published > 50_000 / 10_000, "{published} were published");
        assert!(stage.server.net().is_closed(slow) && !stage.server.net().is_closed(quick));
        assert_eq!(stage.received(quick).len(), published * text.len());
        let closed = stage.server.counters().closed(loopline::CloseReason::TooSlow);
        assert_eq!(closed, 1, "seed {seed}");
    }
}
