//! The table with a fake clock.

use super::*;
use std::time::Duration;

fn table() -> ConnTable<u32> {
    ConnTable::new(&Limits { idle_timeout: Some(Duration::from_secs(1)), ..Limits::default() })
}

fn insert(table: &mut ConnTable<u32>, stream: u32) -> ConnToken {
    table.insert(stream, SocketAddr::from(([127, 0, 0, 1], 4000)), 0)
}

#[test]
fn a_late_event_does_not_reach_the_next_connection_in_a_slot() {
    let mut table = table();
    let old = insert(&mut table, 1);
    table.remove(old.key);
    assert_eq!(table.find(old), None);
    let new = insert(&mut table, 2);
    assert_eq!(new.key, old.key, "the slot is used again");
    assert_eq!(table.find(old), None);
    assert_eq!(table.find(new), Some(new.key));
}

#[test]
fn a_generation_recurs_only_after_all_others() {
    let mut table = table();
    let mut ids = Vec::new();
    for _ in 0..=u32::from(GENERATION_MASK) {
        let id = insert(&mut table, 1);
        table.remove(id.key);
        ids.push(id);
    }
    let id = insert(&mut table, 1);
    let same = ids.iter().filter(|old| **old == id).count();
    assert_eq!(same, 1, "only that of {} connections ago", ids.len());
}

#[test]
fn a_removed_connection_is_in_no_queue_and_holds_nothing() {
    let mut table = table();
    let later = Tick::after(Duration::from_secs(1000));
    let ids: Vec<ConnToken> = (0..4).map(|stream| insert(&mut table, stream)).collect();
    for id in &ids {
        table.renew_idle(id.key, Tick::default());
        table.store_unread(id.key, &[1]);
        table.start_frame(id.key, Tick::default());
        table.push_unsent(id.key, b"answer");
        table.renew_write(id.key, false, Tick::default());
    }
    let _ = table.stop(ids[1].key, Tick::default());
    assert_eq!(table.wait_ms(later), Some(0));
    for id in ids {
        table.remove(id.key);
    }
    assert_eq!((table.len(), table.busy_len(), table.wait_ms(later)), (0, 0, None));
}

#[test]
fn a_removed_connection_leaves_no_address_of_either_family() {
    let mut table = table();
    for address in ["10.0.0.1:4000", "[2001:db8::1]:4000", "[fe80::1%3]:4000"] {
        for _ in 0..3 {
            let id = table.insert(1, address.parse().unwrap(), 0);
            assert_eq!(table.peer(id.key), address.parse().unwrap());
            table.remove(id.key);
        }
    }
    assert_eq!(table.peers.long_len(), 0);
}

#[test]
fn buffers_exist_only_while_they_hold_bytes() {
    let mut table = table();
    let key = insert(&mut table, 1).key;
    table.store_unread(key, &[]);
    table.push_unsent(key, b"");
    assert!(table.conn(key).is_idle());
    table.push_unsent(key, b"answer");
    assert_eq!((table.unsent(key), table.conn(key).is_idle()), (&b"answer"[..], false));
    table.advance_unsent(key, 6);
    table.release_if_empty(key);
    assert!(table.conn(key).is_idle());
    assert_eq!(table.busy_len(), 0);
}

#[test]
fn only_progress_renews_the_write_deadline() {
    let mut table = table();
    let at = |seconds| Tick::after(Duration::from_secs(seconds));
    let key = insert(&mut table, 1).key;
    table.push_unsent(key, b"answer");
    table.renew_write(key, false, at(0));
    table.renew_write(key, false, at(20));
    let wait_ms = table.wait_ms(at(20)).unwrap();
    assert!((10_000..13_000).contains(&wait_ms), "{wait_ms}");
    table.renew_write(key, true, at(20));
    assert!(table.wait_ms(at(20)).unwrap() >= 30_000);
}

#[test]
fn the_table_knows_how_many_it_has_and_where() {
    let mut table = table();
    let keys: Vec<u32> = (0..4).map(|stream| insert(&mut table, stream).key).collect();
    table.push_unsent(2, b"answer");
    table.push_unsent(3, b"answer");
    table.remove(1);
    assert_eq!((keys, table.keys()), (vec![0, 1, 2, 3], vec![0, 2, 3]));
    assert_eq!((table.len(), table.busy_len()), (3, 2));
    assert_eq!([0, 2].map(|key| table.unsent_bytes_of(table.conn(key))), [0, 6]);
    table.check();
}

#[test]
fn the_beginning_of_a_frame_is_discarded_once() {
    let mut table = table();
    let key = insert(&mut table, 1).key;
    assert!(!table.discard_unread(key));
    table.push_unsent(key, b"answer");
    assert!(!table.discard_unread(key));
    table.store_unread(key, b"12");
    assert_eq!([(); 2].map(|()| table.discard_unread(key)), [true, false]);
    assert_eq!(table.unsent(key), b"answer");
}

#[test]
fn nothing_sent_takes_no_memory_and_discarded_bytes_are_counted() {
    let mut table = table();
    let key = insert(&mut table, 1).key;
    table.advance_unsent(key, 0);
    assert!(!table.conn(key).has_buffers());
    assert_eq!([5, 7].map(|bytes| table.add_discarded(key, bytes)), [5, 12]);
    table.release_if_empty(key);
    assert!(table.conn(key).has_buffers(), "the count stays");
}

#[test]
fn the_slab_of_buffers_is_freed_once_it_is_empty_and_has_been_large() {
    for (count, capacity) in [(64, 64), (65, 0)] {
        let mut table = table();
        let keys: Vec<u32> = (0..count).map(|stream| insert(&mut table, stream).key).collect();
        keys.iter().for_each(|key| _ = table.push_unsent(*key, b"answer"));
        keys[1..].iter().for_each(|key| _ = table.remove(*key));
        assert_eq!(table.unsent(0), b"answer", "it is not freed for the others");
        table.remove(0);
        assert_eq!(table.buffers.capacity(), capacity);
    }
}

#[test]
fn address_space_is_reserved_for_all_connections_up_to_a_million() {
    for (connections_max, capacity) in [(1000, 1010), (usize::MAX, 1_048_576)] {
        let table: ConnTable<u32> =
            ConnTable::new(&Limits { connections_max, refusals_max: 10, ..Limits::default() });
        assert_eq!(table.conns.capacity(), capacity);
    }
}

#[test]
fn each_kind_of_deadline_is_due_at_its_time_until_it_is_ended() {
    let limit = |seconds| Some(Duration::from_secs(seconds));
    let mut table: ConnTable<u32> = ConnTable::new(&Limits {
        idle_timeout: limit(64),
        write_timeout: limit(32),
        frame_timeout: limit(20),
        linger_timeout: Duration::from_secs(10),
        ..Limits::default()
    });
    let at = |seconds| Tick::after(Duration::from_secs(seconds));
    let key = insert(&mut table, 1).key;
    // Without buffers there is nothing to time.
    table.start_frame(key, at(0));
    table.stop_frame(key);
    table.renew_write(key, true, at(0));
    table.stop_write(key);
    table.recount_unread(key);
    assert_eq!((table.wait_ms(at(0)), table.frame_ms(table.conn(key), at(0))), (None, None));

    table.restart_idle(key, at(0));
    assert_eq!((table.wait_ms(at(0)), table.due(at(67))), (Some(68_000), None));
    assert_eq!(table.due(at(68)), Some((key, TimeoutKind::Idle)));
    table.renew_idle(key, at(68));
    assert_eq!(table.due(at(68)), None);

    table.push_unsent(key, b"answer");
    table.renew_write(key, false, at(68));
    assert_eq!((table.due(at(101)), table.due(at(102))), (None, Some((key, TimeoutKind::Write))));
    table.store_unread(key, b"1");
    table.start_frame(key, at(70));
    assert_eq!(table.frame_ms(table.conn(key), at(75)), Some(5000));
    assert_eq!((table.due(at(89)), table.due(at(90))), (None, Some((key, TimeoutKind::Frame))));
    table.check();
    table.stop_frame(key);
    assert_eq!(table.due(at(90)), None);
    table.stop_write(key);
    assert_eq!(table.due(at(130)), None);

    assert_eq!(table.stop(key, at(130)), Effect::HalfClose);
    assert_eq!((table.due(at(139)), table.due(at(140))), (None, Some((key, TimeoutKind::Linger))));
    table.remove(key);
    assert_eq!(table.due(at(1000)), None);
}
