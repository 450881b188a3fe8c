//! Sessions driven with bytes alone.

use std::net::SocketAddr;

use super::*;
use crate::conn::admission::Refusal;
use crate::conn::deadlines::Tick;
use crate::conn::spare_maps::SpareMaps;
use crate::frame;
use crate::journal::Lines;
use crate::service::message::{ACKNOWLEDGEMENT, DISCONNECT, Message};

fn peer() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 4000))
}

/// A session of `message`, and what it has answered and written to the journal.
struct Driven {
    session: StreamSession,
    unread: Unread,
    maps: SpareMaps,
    answer: Vec<u8>,
    lines: Lines,
}

impl Driven {
    fn new() -> Self {
        Self {
            session: StreamSession::new(),
            unread: Unread::new(),
            maps: SpareMaps::new(1 << 20),
            answer: Vec::new(),
            lines: Lines::default(),
        }
    }

    fn receive(&mut self, bytes: &[u8]) -> Step {
        let mut out = Output::new(peer(), &mut self.answer, Some(&mut self.lines));
        self.unread.append(bytes, &mut self.maps);
        let step = self.session.receive(&Message::new(1000), &mut self.unread, bytes.len(), &mut out);
        self.unread.release_memory(step.frame != FrameDeadline::Keep, &mut self.maps, Tick::default());
        step
    }

    fn peer_ended(&mut self) -> Step {
        let mut out = Output::new(peer(), &mut self.answer, Some(&mut self.lines));
        let is_in_frame = !self.unread.is_empty();
        self.session.peer_ended(&Message::new(1000), is_in_frame, &mut out)
    }
}

#[test]
#[cfg(feature = "cli")]
fn a_connection_before_its_header_is_no_connection_of_a_source_and_ends_without_a_word() {
    let mut out = Vec::new();
    let mut out = Output::new(peer(), &mut out, None);
    let mut ended = StreamSession::behind_proxy();
    assert!(ended.is_receiving() && !ended.is_open() && !ended.is_admitted());
    let step = ended.peer_ended(&Message::new(10), false, &mut out);
    assert_eq!(
        (step.refusal, ended.reason(), ended.flushed()),
        (None, CloseReason::NoProxyHeader, Effect::Close)
    );
    assert!(!ended.is_admitted());

    let mut stopped = StreamSession::behind_proxy();
    assert_eq!((stopped.flushed(), stopped.stop()), (Effect::Nothing, Effect::Close));
    assert_eq!((stopped.reason(), stopped.is_admitted()), (CloseReason::Stopped, false));

    let reset = io::ErrorKind::ConnectionReset.into();
    assert_eq!(StreamSession::behind_proxy().reason_of(&reset), CloseReason::NoProxyHeader);
    assert_eq!(StreamSession::new().reason_of(&reset), CloseReason::Reset);
    let mut served = StreamSession::behind_proxy();
    let _ = served.identified(&Message::new(10), None, 0, &mut out);
    assert!(served.is_open() && served.is_admitted());
    assert!(out.answer().is_empty());
}

#[test]
fn the_deadline_of_a_frame_runs_from_its_first_byte_to_its_last() {
    let wire = wire(&["one", "two"]);
    let mut driven = Driven::new();
    for (bytes, frame) in [
        (0..1, FrameDeadline::Start),
        (1..64, FrameDeadline::Keep),
        (64..67, FrameDeadline::Stop),
        (67..70, FrameDeadline::Start),
        (70..134, FrameDeadline::Stop),
    ] {
        assert_eq!(driven.receive(&wire[bytes.clone()]).frame, frame, "{bytes:?}");
    }
    assert_eq!(driven.receive(&wire).frame, FrameDeadline::Keep, "complete frames need no deadline");
}

#[test]
fn a_frame_that_begins_behind_a_complete_one_has_a_deadline_of_its_own() {
    let wire = wire(&["one", "two"]);
    let mut driven = Driven::new();
    assert_eq!(driven.receive(&wire[..10]).frame, FrameDeadline::Start);
    assert_eq!(driven.receive(&wire[10..70]).frame, FrameDeadline::Start);
}

#[test]
fn what_is_known_of_a_frame_is_passed_to_the_service_until_it_is_complete() {
    let wire = wire(&["größe", "two"]);
    let mut driven = Driven::new();
    let known = |driven: &Driven| (driven.unread.known.wire_bytes, driven.unread.known.checked_bytes);
    for (bytes, after) in [(0..63, (0, 0)), (63..67, (71, 2)), (67..68, (71, 4)), (68..135, (67, 0))] {
        let _ = driven.receive(&wire[bytes.clone()]);
        assert_eq!(known(&driven), after, "{bytes:?}");
    }
    let _ = driven.receive(&wire[135..]);
    assert_eq!((driven.unread.len(), known(&driven)), (0, (0, 0)));
    // What the service has looked at it does not look at again.
    let _ = driven.receive(&wire[..66]);
    driven.unread.known.checked_bytes = 7;
    let _ = driven.receive(b"\xff\xff\xff\xff\xff");
    assert_eq!(driven.session.reason(), CloseReason::Served);
}

#[test]
fn a_peer_that_ends_inside_a_frame_is_truncated_and_not_answered() {
    let mut driven = Driven::new();
    let _ = driven.receive(b"12");
    let step = driven.peer_ended();
    assert_eq!((step.journal_lines, step.frame), (0, FrameDeadline::Stop));
    assert_eq!(driven.session.reason(), CloseReason::Truncated);
    assert!(driven.answer.is_empty() && driven.lines.as_bytes().is_empty());
    assert_eq!(driven.session.flushed(), Effect::Close);
}

#[test]
fn a_peer_that_ends_between_frames_is_closed_once_everything_is_sent() {
    let mut driven = Driven::new();
    assert_eq!(driven.receive(&wire(&["one"])).journal_lines, 1);
    assert!(!driven.session.is_ending());
    let _ = driven.peer_ended();
    assert!(driven.session.is_ending());
    assert_eq!(driven.session.flushed(), Effect::Close);
    assert_eq!(driven.session.reason(), CloseReason::Served);
}

#[test]
fn bad_input_is_refused_with_a_reason_and_the_stream_ends_after_it() {
    let mut driven = Driven::new();
    let step = driven.receive(b"12x");
    let reason = "header byte 2 is 'x', expected a digit or a space";
    assert_eq!(step.refusal, Some(reason.into()));
    assert_eq!(driven.session.reason(), CloseReason::BadInput);
    let refusal = frame::parse(&driven.answer, 1000).unwrap().unwrap();
    assert_eq!(refusal.text(), format!("Error: {reason}"));
    assert_eq!(driven.session.flushed(), Effect::HalfClose);
    assert_eq!(driven.session.flushed(), Effect::Nothing, "our side is ended once");
}

#[test]
fn the_service_ends_the_stream_once() {
    let mut driven = Driven::new();
    assert_eq!(driven.receive(&wire(&[DISCONNECT])).journal_lines, 1);
    assert!(driven.session.is_ending() && !driven.session.is_open());
    assert_eq!(driven.session.flushed(), Effect::HalfClose);
    assert_eq!(driven.session.reason(), CloseReason::Served);
}

#[test]
fn a_peer_over_the_limit_reads_how_many_are_served() {
    let (mut session, mut answer) = (StreamSession::new(), Vec::new());
    let mut out = Output::new(peer(), &mut answer, None);
    let step = session.refuse(&Message::new(1000), Refusal::Full(7), &mut out);
    assert!(step.refusal.is_none(), "it is the server that refuses, not its input");
    let refusal = frame::parse(&answer, 1000).unwrap().unwrap();
    assert_eq!(refusal.text(), "Error: the server is full, it serves 7 connections");
    assert_eq!((session.reason(), session.flushed()), (CloseReason::Full, Effect::HalfClose));
}

#[test]
fn a_stopping_server_ends_a_connection_between_frames() {
    let mut session = StreamSession::new();
    assert_eq!(session.stop(), Effect::HalfClose);
    assert_eq!(session.reason(), CloseReason::Stopped);
}

/// Passes `pieces` to a session one after the other, as reads bring them, and returns its answers.
fn answers(pieces: &[&[u8]]) -> Vec<u8> {
    let service = Message::new(1000);
    let (mut session, mut unread, mut answer) = (StreamSession::new(), Unread::new(), Vec::new());
    for piece in pieces {
        let mut out = Output::new(SocketAddr::from(([127, 0, 0, 1], 1)), &mut answer, None);
        unread.append(piece, &mut SpareMaps::new(0));
        let _ = session.receive(&service, &mut unread, piece.len(), &mut out);
    }
    assert!(unread.is_empty(), "nothing is left of whole frames");
    answer
}

fn wire(bodies: &[&str]) -> Vec<u8> {
    let mut wire = Vec::new();
    bodies.iter().for_each(|body| frame::append(body, &mut wire));
    wire
}

#[test]
fn frames_split_at_any_two_bytes_are_each_acknowledged_once() {
    let wire = wire(&["größe", "", "b"]);
    let whole = answers(&[&wire]);
    assert_eq!(whole.len(), 3 * (64 + ACKNOWLEDGEMENT.len()));
    for first in 0..wire.len() {
        for second in first..wire.len() {
            let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
            let pieces: Vec<&[u8]> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
            assert_eq!(answers(&pieces), whole, "split at {first} and {second}");
        }
    }
}

#[test]
fn frames_that_come_byte_by_byte_are_each_acknowledged_once() {
    let wire = wire(&["one", "two"]);
    let pieces: Vec<&[u8]> = wire.chunks(1).collect();
    assert_eq!(answers(&pieces), answers(&[&wire]));
}

#[test]
fn whole_frames_leave_no_memory_behind_and_a_long_one_none_to_the_next() {
    let mut driven = Driven::new();
    let _ = driven.receive(&wire(&["one", "two"]));
    assert_eq!(driven.unread.memory_bytes(), 0);
    let (long, next) = (wire(&[&"x".repeat(900)]), wire(&["next"]));
    let _ = driven.receive(&long[..900]);
    let _ = driven.receive(&[&long[900..], &next[..2]].concat());
    assert_eq!(*driven.unread, next[..2]);
    assert!(driven.unread.memory_bytes() < 100);
    let _ = driven.receive(&next[2..]);
    assert_eq!(driven.unread.memory_bytes(), 0);
}

#[test]
fn what_follows_the_end_of_the_stream_is_not_kept() {
    for last in [wire(&[DISCONNECT]), b"1x".to_vec()] {
        for split in 0..last.len() {
            let mut driven = Driven::new();
            if split > 0 {
                let _ = driven.receive(&last[..split]);
            }
            let _ = driven.receive(&[&last[split..], b"more"].concat());
            assert!(!driven.session.is_open() && driven.unread.is_empty(), "split at {split}");
        }
    }
}

#[test]
fn long_frames_that_are_read_in_any_portions_are_each_recorded_and_acknowledged_once() {
    let bodies = [10, 1500, 20_000, 130_000, 1_300_000, 4, 66_000].map(|bytes| "ä".repeat(bytes / 2));
    let wire = wire(&bodies.each_ref().map(String::as_str));
    for bytes_max in [999, 2048, 70_000, 131_072, 3_000_000] {
        let (mut driven, service) = (Driven::new(), Message::new(2_000_000));
        let mut left = &wire[..];
        while !left.is_empty() {
            let bytes = driven.unread.make_space(bytes_max, &mut driven.maps).min(left.len());
            let (fresh, rest) = left.split_at(bytes);
            driven.unread.space(bytes).copy_from_slice(fresh);
            driven.unread.add(bytes);
            left = rest;
            let mut out = Output::new(peer(), &mut driven.answer, Some(&mut driven.lines));
            let step = driven.session.receive(&service, &mut driven.unread, bytes, &mut out);
            let is_other = step.frame != FrameDeadline::Keep;
            driven.unread.release_memory(is_other, &mut driven.maps, Tick::default());
        }
        assert!(driven.session.is_open() && driven.unread.is_empty());
        assert_eq!(driven.answer.len(), bodies.len() * (64 + ACKNOWLEDGEMENT.len()), "{bytes_max}");
        let lines = String::from_utf8_lossy(driven.lines.as_bytes());
        assert!(
            lines.lines().eq(bodies.each_ref().map(|body| format!("[{}] {body}", peer()))),
            "{bytes_max}"
        );
    }
}
