//! The service `message` replies to a stream of bytes in the same way, however the stream is cut.
//!
//! Each byte of the first part of the input is the length of a piece; the rest is the stream.

#![no_main]

use libfuzzer_sys::fuzz_target;
use loopline::journal::Lines;
use loopline::service::message::Message;
use loopline::service::{Action, Output, StreamService};

/// Bytes of replies, lines of the journal, and whether the service ended the stream.
type Outcome = (Vec<u8>, Vec<u8>, bool);

/// Passes the stream in `pieces`, and keeps what the service does not consume, as a connection does.
fn run<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let peer = "192.0.2.1:4000".parse().expect("an address");
    let service = Message::new(100);
    let (mut replies, mut lines, mut unread) = (Vec::new(), Lines::default(), Vec::new());
    for piece in pieces {
        unread.extend_from_slice(piece);
        let mut out = Output::new(peer, &mut replies, Some(&mut lines));
        let progress = service.received(&unread, false, &mut out);
        assert!(progress.consumed <= unread.len(), "more is consumed than there is");
        unread.drain(..progress.consumed);
        if progress.action != Action::Continue {
            return (replies, lines.as_bytes().to_vec(), true);
        }
        assert!(unread.len() < 64 + 100, "a whole frame, or more than a header over the limit, is kept");
    }
    (replies, lines.as_bytes().to_vec(), false)
}

fuzz_target!(|input: &[u8]| {
    let Some((cuts, stream)) = input.split_at_checked(8) else { return };
    let mut cuts = cuts.iter().cycle();
    let mut rest = stream;
    let pieces = std::iter::from_fn(|| {
        let bytes = usize::from(*cuts.next()?).max(1).min(rest.len());
        let (piece, after) = rest.split_at(bytes);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(run(pieces), run(std::iter::once(stream)));
});
