//! Timers of connections, on the simulated clock.

use std::time::Duration;

use crate::script::Stage;

#[test]
fn a_timer_expires_when_its_time_is_over_and_once() {
    for after_ms in [1, 2, 63, 64, 65, 1000, 4096, 1_000_000, 100_000_000] {
        let mut stage = Stage::new(after_ms);
        let [peer] = stage.peers();
        stage.order(peer, &[&format!("after {after_ms}")]);
        stage.told();
        stage.pass(after_ms - 1);
        assert!(stage.told().is_empty(), "after {after_ms} ms");
        stage.pass(1);
        assert_eq!((stage.told(), stage.received(peer).as_str()), (vec!["0 timer".into()], "(timer)"));
        stage.pass(after_ms * 3);
        assert!(stage.told().is_empty());
        assert_eq!(stage.server.net().elapsed(), Duration::from_millis(after_ms * 4));
    }
}

#[test]
fn a_timer_is_replaced_and_canceled_and_goes_with_its_connection() {
    let mut stage = Stage::new(1);
    let [replaced, canceled, closed] = stage.peers();
    stage.order(replaced, &["after 10", "after 5000", "after 100"]);
    stage.order(canceled, &["after 10", "never", "never"]);
    stage.order(closed, &["after 10"]);
    stage.server.net().reset(closed);
    stage.run();
    // Another connection in the same slot has no timer.
    let [_successor] = stage.peers();
    stage.told();
    stage.pass(99);
    assert!(stage.told().is_empty());
    stage.pass(1);
    assert_eq!(stage.told(), ["0 timer"]);
    stage.pass(10_000);
    assert!(stage.told().is_empty());
}

#[test]
fn timers_of_many_connections_expire_in_the_order_of_their_times() {
    let mut stage = Stage::new(1);
    let peers: [_; 100] = stage.peers();
    for (index, peer) in peers.into_iter().enumerate() {
        stage.order(peer, &[&format!("after {}", 10 + (index * 37) % 100 * 1000)]);
    }
    stage.told();
    stage.pass(200_000);
    let told = stage.told();
    let mut numbers: Vec<usize> = (0..100).collect();
    numbers.sort_by_key(|index| (index * 37) % 100);
    let expected: Vec<String> = numbers.into_iter().map(|number| format!("{number} timer")).collect();
    assert_eq!(told, expected);
}
