//! Servers of any protocol: numbers in requests and replies, and what precedes them.

use super::*;
use crate::load::stats::summary::Failure;

const GREETING: &[u8] = b"220 hi\r\n";
const HELLO: &[u8] = b"AUTH 1\n";
const REPLY: &[u8] = b"+OK\r\n";

impl Fixture {
    /// One connection with these requests and replies.
    fn stated(request: &str, reply: &str, change: impl FnOnce(&mut Plan)) -> Self {
        let mut plan = plan();
        change(&mut plan);
        let messages = MessageBuffers::stated(request.parse().unwrap(), reply.parse().unwrap(), 1);
        Self::open_with(1, plan, messages)
    }

    /// One connection that begins with a greeting, a hello and a reply, before the first event of it.
    fn introduced() -> Self {
        let messages = MessageBuffers::stated("PING".parse().unwrap(), "PONG".parse().unwrap(), 1);
        let introduction = Introduction {
            greeting: "until:\\r\\n".parse().ok(),
            hello: "AUTH {conn}\\n".parse().ok(),
            reply: "+OK\\r\\n".parse().ok(),
        };
        let mut it = Self::open_with(0, Plan { introduction, ..plan() }, messages);
        assert_eq!(it.with(TcpTraffic::open_next), None);
        it
    }

    fn deliver(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.context.net.deliver(0, bytes);
        }
        self.ready(self.context.net.event(0));
    }

    fn written(&self) -> &[u8] {
        &self.context.net.pipes[0].written
    }

    /// Connections that are being opened, are open, and could not be opened.
    fn connections(&self) -> (u64, u64, u64) {
        let count = self.context.tally.counts();
        (count.connecting, count.open, count.open_failed)
    }

    fn failure(self) -> (ErrorKind, String) {
        let (.., mut failures) = self.context.tally.into_parts();
        let Failure { reason, first, .. } = failures.remove(0);
        (reason, first)
    }
}

#[test]
fn numbered_requests_and_replies_cut_at_any_byte_keep_their_order() {
    let requests = b"<1/1><2/1><3/1>";
    let replies = b"[1][2][3]";
    for cut in 0..requests.len() {
        let mut it = Fixture::stated("<{seq}/{conn}>", "[{seq}]", |plan| plan.pipeline = Some(3));
        it.context.net.pipes[0].room = cut;
        it.with(TcpTraffic::start);
        assert_eq!(it.written(), &requests[..cut]);
        it.context.net.pipes[0].room = usize::MAX;
        it.deliver(b"");
        assert_eq!(it.written(), requests, "cut at {cut}");
        let cut = cut % replies.len();
        it.deliver(&replies[..cut]);
        it.deliver(&replies[cut..]);
        assert_eq!(it.messages(), (6, 3, 0), "cut at {cut}");
        assert_eq!(it.written(), b"<1/1><2/1><3/1><4/1><5/1><6/1>");
    }
}

#[test]
fn a_wrong_byte_in_a_numbered_reply_ends_the_connection_at_any_position() {
    let mut replies = *b"[1][2]";
    for position in 0..replies.len() {
        replies[position] ^= 0x80;
        let mut it = Fixture::stated("{seq}", "[{seq}]", |plan| plan.pipeline = Some(2));
        it.with(TcpTraffic::start);
        it.deliver(&replies);
        assert_eq!((it.messages(), it.connections()), ((2, 0, 2), (0, 0, 0)), "wrong at {position}");
        let (kind, first) = it.failure();
        assert_eq!(kind, ErrorKind::WrongReply);
        assert!(first.contains(&format!("byte {} of the reply is 0x", position % 3)), "{first}");
        replies[position] ^= 0x80;
    }
}

#[test]
fn numbers_begin_again_with_each_connection() {
    let mut it = Fixture::stated("{seq}/{conn};", "{seq}", |plan| plan.one_shot = true);
    it.with(TcpTraffic::start);
    for pipe in 0..3 {
        it.with(TcpTraffic::resume);
        it.ready(it.context.net.event(pipe));
        assert_eq!(it.context.net.pipes[pipe].written, b"1/1;");
        it.context.net.deliver(pipe, b"1");
        it.ready(it.context.net.event(pipe));
        assert_eq!(it.messages(), (pipe as u64 + 1, pipe as u64 + 1, 0));
    }
}

#[test]
fn more_replies_than_requests_are_wrong() {
    for (reply, sent) in [("+", &b"++"[..]), ("{seq}", b"12"), ("bytes:2", b"1234"), ("until:;", b"a;b;")] {
        let mut it = Fixture::stated("PING", reply, |_| {});
        it.with(TcpTraffic::start);
        it.deliver(sent);
        assert_eq!(it.messages().1, 1, "{reply}");
        let expected = (ErrorKind::WrongReply, "connection 1: received a reply without a request".into());
        assert_eq!(it.failure(), expected);
    }
}

#[test]
fn an_introduction_cut_at_any_byte_opens_the_connection() {
    let from_server = [GREETING, REPLY].concat();
    for cut in 0..=from_server.len() {
        let mut it = Fixture::introduced();
        it.context.net.now_ns = 300;
        it.deliver(b"");
        assert_eq!((it.written(), it.connections()), (&b""[..], (1, 0, 0)));
        it.context.net.now_ns = 900;
        it.deliver(&from_server[..cut.min(GREETING.len())]);
        assert_eq!(it.written(), if cut < GREETING.len() { b"" } else { HELLO }, "cut at {cut}");
        it.deliver(&from_server[cut.min(GREETING.len())..cut]);
        assert_eq!(it.connections().0, u64::from(cut < from_server.len()), "cut at {cut}");
        it.deliver(&from_server[cut..]);
        assert_eq!((it.written(), it.connections()), (HELLO, (0, 1, 0)), "cut at {cut}");
        it.with(TcpTraffic::start);
        it.deliver(b"PONG");
        assert_eq!((it.written(), it.messages()), (&b"AUTH 1\nPINGPING"[..], (2, 1, 0)));
        let (_, times) = it.context.tally.close_interval(1000);
        assert_eq!((times.connect.len(), times.connect.max()), (1, 300), "the time of the handshake");
    }
}

#[test]
fn a_hello_cut_at_any_byte_is_continued_there() {
    for cut in 0..HELLO.len() {
        let mut it = Fixture::introduced();
        it.context.net.pipes[0].room = cut;
        it.deliver(GREETING);
        assert_eq!(it.written(), &HELLO[..cut]);
        it.context.net.pipes[0].room = usize::MAX;
        it.deliver(b"");
        assert_eq!(it.written(), HELLO, "cut at {cut}");
        it.deliver(REPLY);
        assert_eq!(it.connections(), (0, 1, 0));
    }
}

#[test]
fn a_wrong_byte_in_an_introduction_fails_the_connection_at_any_position() {
    for position in 0..REPLY.len() {
        let mut it = Fixture::introduced();
        it.deliver(GREETING);
        let mut reply = REPLY.to_vec();
        reply[position] = b'?';
        it.deliver(&reply);
        assert_eq!((it.connections(), it.context.net.pipes[0].is_closed), ((0, 0, 1), true));
        let (kind, first) = it.failure();
        assert_eq!(kind, ErrorKind::WrongReply);
        assert!(
            first.starts_with(&format!("connection 1: byte {position} of the reply to the hello is '?'"))
        );
    }
}

#[test]
fn a_server_that_ends_the_stream_in_an_introduction_is_reported_with_where() {
    for (sent, kind, expected) in [
        (&b""[..], ErrorKind::ServerCap, "the server ended the stream before the greeting"),
        (b"220", ErrorKind::Closed, "the server ended the stream 3 bytes into the greeting"),
        (GREETING, ErrorKind::ServerCap, "the server ended the stream before the reply to the hello"),
        (b"\r\n+", ErrorKind::Closed, "the server ended the stream 1 bytes into the reply to the hello"),
    ] {
        let mut it = Fixture::introduced();
        it.deliver(sent);
        it.context.net.deliver(0, b"");
        it.ready(Event { ended: true, ..it.context.net.event(0) });
        assert_eq!(it.connections(), (0, 0, 1));
        assert_eq!(it.failure(), (kind, format!("connection 1: {expected}")));
    }
}

#[test]
fn the_timeout_covers_the_introduction() {
    for (sent, expected) in [
        (&b""[..], "no byte of the greeting from 127.0.0.1:9"),
        (b"220", "only 3 bytes of the greeting from 127.0.0.1:9"),
        (GREETING, "no byte of the reply to the hello from 127.0.0.1:9"),
        (b"\r\n+O", "only 2 bytes of the reply to the hello from 127.0.0.1:9"),
    ] {
        let mut it = Fixture::introduced();
        it.deliver(sent);
        assert_eq!(it.with(|traffic, context| traffic.expire(context, 999)), Some(1000));
        assert_eq!(it.with(|traffic, context| traffic.expire(context, 1000)), None);
        assert_eq!(it.connections(), (0, 0, 1));
        assert_eq!(it.failure(), (ErrorKind::ConnectTimeout, format!("connection 1: {expected}")));
    }
}

#[test]
fn what_follows_an_introduction_is_a_reply_without_a_request() {
    let mut it = Fixture::introduced();
    it.deliver(GREETING);
    it.deliver(b"+OK\r\nPONG");
    assert_eq!(it.connections(), (0, 0, 0));
    assert_eq!(it.failure().1, "connection 1: received a reply without a request");
    let mut it = Fixture::introduced();
    it.context.net.pipes[0].room = 0;
    it.deliver(b"220 hi\r\n+OK\r\n?");
    assert_eq!(it.failure().1, "connection 1: received before the hello was sent: ?");
}
