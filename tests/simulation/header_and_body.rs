//! What may arrive as a header and a body, in any portions, and what the server answers.

use loopline::CloseReason;
use loopline::frame::{self, HEADER_BYTES};
use loopline::limits::Limits;

use crate::sim::peer::MESSAGE_BYTES_MAX;
use crate::sim::scene::{Scene, framed};

/// What the server sends on a connection that brings `portions`, each in a turn of its own, and what it records.
fn exchange(scene: &mut Scene, portions: &[&[u8]]) -> (String, Vec<String>) {
    let peer = scene.connect();
    for portion in portions {
        scene.send(peer, portion);
        scene.turns(1);
    }
    scene.turns(3);
    let address = scene.wire(peer).address;
    let records = scene.net().disk.lock().unwrap().records(address).to_vec();
    (String::from_utf8(scene.wire(peer).sent.clone()).unwrap(), records)
}

fn acknowledgements(count: usize) -> String {
    String::from_utf8(framed("Message received successfully....").repeat(count)).unwrap()
}

fn refusal(reason: &str) -> String {
    String::from_utf8(framed(&format!("Error: {reason}"))).unwrap()
}

fn padded(start: &[u8]) -> Vec<u8> {
    let mut header = start.to_vec();
    header.resize(HEADER_BYTES, b' ');
    header
}

#[test]
fn a_header_that_is_no_number_and_spaces_is_refused_with_byte_and_value() {
    let mut scene = Scene::new(&Limits::default());
    for (start, reason) in [
        (&b""[..], "header byte 0 is ' ', expected a digit"),
        (b"+5", "header byte 0 is '+', expected a digit"),
        (b"-1", "header byte 0 is '-', expected a digit"),
        (b"-0", "header byte 0 is '-', expected a digit"),
        (b" 5", "header byte 0 is ' ', expected a digit"),
        (b"05", "header byte 1 is '5', expected a space"),
        (b"00", "header byte 1 is '0', expected a space"),
        (b"5 5", "header byte 2 is '5', expected a space"),
        (b"5\t", "header byte 1 is 0x09, expected a digit or a space"),
        (b"5\r\n", "header byte 1 is 0x0d, expected a digit or a space"),
        (b"5\n", "header byte 1 is 0x0a, expected a digit or a space"),
        (b"5 \0", "header byte 2 is 0x00, expected a space"),
        (b"5\xc2\xa0", "header byte 1 is 0xc2, expected a digit or a space"),
        (b"5\xc2\x85", "header byte 1 is 0xc2, expected a digit or a space"),
        ("５".as_bytes(), "header byte 0 is 0xef, expected a digit"),
        ("٥".as_bytes(), "header byte 0 is 0xd9, expected a digit"),
        (b"1e3", "header byte 1 is 'e', expected a digit or a space"),
        (b"0x10", "header byte 1 is 'x', expected a space"),
        (b"1_000", "header byte 1 is '_', expected a digit or a space"),
        (b"5.0", "header byte 1 is '.', expected a digit or a space"),
    ] {
        let (sent, records) = exchange(&mut scene, &[&padded(start), b"hello"]);
        assert_eq!((sent, records), (refusal(reason), vec![]), "{}", start.escape_ascii());
    }
    assert_eq!(scene.run.server.connections(), 20, "each may still read why");
}

#[test]
fn a_length_over_the_limit_is_refused_at_the_header() {
    let mut scene = Scene::new(&Limits::default());
    let reason =
        |number: &str| format!("the header announces {number} bytes, the limit is {MESSAGE_BYTES_MAX}");
    let twenty = "18446744073709551616";
    let sixty_four = "9".repeat(64);
    for (start, number) in [
        ((MESSAGE_BYTES_MAX + 1).to_string(), (MESSAGE_BYTES_MAX + 1).to_string()),
        (twenty.into(), "at least 18446744073709551615".into()),
        (sixty_four, "at least 18446744073709551615".into()),
    ] {
        let (sent, records) = exchange(&mut scene, &[&padded(start.as_bytes())]);
        assert_eq!((sent, records), (refusal(&reason(&number)), vec![]));
    }
}

#[test]
fn a_body_of_no_bytes_and_one_of_the_limit_are_acknowledged() {
    let mut scene = Scene::new(&Limits::default());
    for body in [String::new(), "x".repeat(MESSAGE_BYTES_MAX)] {
        let (sent, records) = exchange(&mut scene, &[&framed(&body)]);
        assert_eq!((sent, records), (acknowledgements(1), vec![body]));
    }
}

#[test]
fn frames_split_at_any_place_have_the_same_answers_as_unsplit_ones() {
    let mut scene = Scene::new(&Limits::default());
    let bodies = ["grün € 😀", "", "two"].map(str::to_owned);
    let bytes: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
    let unsplit = exchange(&mut scene, &[&bytes]);
    assert_eq!(unsplit, (acknowledgements(3), bodies.to_vec()));
    for place in 1..bytes.len() {
        let (first, second) = bytes.split_at(place);
        assert_eq!(exchange(&mut scene, &[first, second]), unsplit, "split at {place}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(exchange(&mut scene, &single), unsplit, "byte by byte");
}

#[test]
fn an_end_of_stream_inside_a_header_or_a_body_is_not_acknowledged_and_counted_as_truncated() {
    let mut scene = Scene::new(&Limits::default());
    let message = framed("text");
    for place in 1..message.len() {
        let peer = scene.connect();
        scene.send(peer, &message[..place]);
        scene.wire(peer).end();
        scene.turns(3);
        assert!(scene.is_closed(peer) && scene.wire(peer).sent.is_empty());
    }
    assert_eq!(scene.closed(CloseReason::Truncated), message.len() as u64 - 1);
}

#[test]
fn a_half_close_after_whole_frames_is_answered_before_the_connection_is_closed() {
    let mut scene = Scene::new(&Limits::default());
    let peer = scene.connect();
    scene.send(peer, &framed("text").repeat(3));
    scene.wire(peer).end();
    scene.turns(3);
    assert_eq!((scene.acknowledged(peer), scene.closed(CloseReason::Served)), (3, 1));
}

#[test]
fn a_body_that_is_not_utf8_is_refused_wherever_the_bad_byte_is() {
    let mut scene = Scene::new(&Limits::default());
    for bad in [&b"\xc0\xaf"[..], b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"] {
        for before in [0, 1, 15, 16, 2048, 2049, 3900] {
            let mut frame = frame::header(before + bad.len()).to_vec();
            frame.resize(HEADER_BYTES + before, b'a');
            frame.extend_from_slice(bad);
            let reason = refusal(&format!("body byte {before} begins no UTF-8 character"));
            assert_eq!(exchange(&mut scene, &[&frame]), (reason, vec![]));
        }
    }
}

#[test]
fn a_peer_that_counts_characters_instead_of_bytes_is_refused_at_the_next_header() {
    let mut scene = Scene::new(&Limits::default());
    let mut frame = padded(b"4");
    frame.extend_from_slice("grün".as_bytes());
    frame.extend_from_slice(&framed("next"));
    let (sent, records) = exchange(&mut scene, &[&frame]);
    assert_eq!(sent, acknowledgements(1) + &refusal("header byte 0 is 'n', expected a digit"));
    assert_eq!(records, ["grü".to_owned()], "what follows is not guessed at");
}

#[test]
fn other_protocols_on_the_port_are_refused_at_their_first_bytes() {
    let mut scene = Scene::new(&Limits::default());
    for (bytes, byte) in [
        (&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], "'G'"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "0x16"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "'S'"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 9999\r\n", "'P'"),
        (b"\r\n\r\n\0\r\nQUIT\n!\x11", "0x0d"),
    ] {
        let (sent, records) = exchange(&mut scene, &[bytes]);
        assert_eq!((sent, records), (refusal(&format!("header byte 0 is {byte}, expected a digit")), vec![]));
    }
    assert_eq!(scene.closed(CloseReason::BadInput), 0, "each may still read why");
}
