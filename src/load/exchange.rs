//! The options for a server of any protocol: requests, replies, and what precedes them on a connection.

use serde::Serialize;

use super::byte_text::ByteText;
use super::expected::{Delimiter, Expected};
use super::message_buffers::MessageBuffers;
use super::target::{Kind, Target};

/// Requests and replies as bytes. As JSON, the keys are the names on the command line, and the values what was written
/// there.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Exchange {
    /// The request of `tcp=` or `udp=`; null for other targets.
    pub send: Option<ByteText>,
    /// The reply to it, if that is known.
    pub expect: Option<ByteText>,
    /// The number of bytes of the reply, if that is known.
    pub expect_bytes: Option<u32>,
    /// The bytes that end the reply, if those are known.
    pub expect_until: Option<Delimiter>,
    /// What the server sends first on each connection; null: nothing.
    pub greeting: Option<Expected>,
    /// What is sent once on each connection, before requests; null: nothing.
    pub hello: Option<ByteText>,
    /// The reply to that; null: none.
    pub hello_expect: Option<Expected>,
}

/// What is exchanged on a connection before it is open, in this order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Introduction {
    /// What the server sends first.
    pub(crate) greeting: Option<Expected>,
    /// What is sent then.
    pub(crate) hello: Option<ByteText>,
    /// The reply to that.
    pub(crate) reply: Option<Expected>,
}

impl Introduction {
    pub(crate) fn is_empty(&self) -> bool {
        self.greeting.is_none() && self.hello.is_none()
    }
}

impl Exchange {
    /// Checks that the options can be combined with each other and with `target`.
    ///
    /// # Errors
    /// One line that names those that cannot.
    pub(crate) fn check(&self, target: &Target) -> Result<(), String> {
        let refuse = |line: String| Err(line);
        let given = self.given();
        if !matches!(target.kind, Kind::Tcp | Kind::Udp) {
            return given
                .first()
                .map_or(Ok(()), |(name, _)| refuse(format!("--{name} requires tcp= or udp=")));
        }
        let name = target.name();
        let Some(send) = &self.send else { return refuse(format!("{name}= requires --send")) };
        let replies: Vec<&str> =
            given.iter().map(|(name, _)| *name).filter(|name| name.starts_with("expect")).collect();
        if let [first, second, ..] = *replies {
            return refuse(format!("--{first} and --{second} exclude each other"));
        }
        if self.hello_expect.is_some() && self.hello.is_none() {
            return refuse("--hello-expect requires --hello".into());
        }
        if let Some((name, _)) =
            given.iter().find(|(name, has_seq)| *has_seq && !MAY_BE_NUMBERED.contains(name))
        {
            return refuse(format!("--{name} precedes the requests: {{seq}} does not apply"));
        }
        if target.is_datagrams() {
            return if self.greeting.is_some() {
                refuse("--greeting requires tcp=: a server cannot send the first datagram".into())
            } else {
                Ok(())
            };
        }
        if replies.is_empty() {
            return refuse("tcp= requires --expect, --expect-bytes or --expect-until".into());
        }
        let is_empty = |text: &ByteText| text.fixed().is_some_and(<[u8]>::is_empty);
        let texts = [("send", Some(send)), ("expect", self.expect.as_ref()), ("hello", self.hello.as_ref())];
        if let Some((name, _)) = texts.iter().find(|(_, text)| text.is_some_and(is_empty)) {
            return refuse(format!("--{name} has no bytes"));
        }
        if self.expect_bytes == Some(0) {
            return refuse("--expect-bytes must be at least one byte".into());
        }
        Ok(())
    }

    /// The options that are given, and whether the number of the request stands in each.
    fn given(&self) -> Vec<(&'static str, bool)> {
        let text = |text: &Option<ByteText>| text.as_ref().map(ByteText::has_seq);
        let reply = |reply: &Option<Expected>| reply.as_ref().map(Expected::has_seq);
        let all = [
            ("send", text(&self.send)),
            ("expect", text(&self.expect)),
            ("expect-bytes", self.expect_bytes.map(|_| false)),
            ("expect-until", self.expect_until.as_ref().map(|_| false)),
            ("greeting", reply(&self.greeting)),
            ("hello", text(&self.hello)),
            ("hello-expect", reply(&self.hello_expect)),
        ];
        all.into_iter().filter_map(|(name, has_seq)| Some((name, has_seq?))).collect()
    }

    /// The reply to a request; `None`: any.
    pub(crate) fn reply(&self) -> Option<Expected> {
        let exact = self.expect.clone().map(Expected::Exact);
        let bytes = self.expect_bytes.map(Expected::Bytes);
        exact.or(bytes).or_else(|| self.expect_until.clone().map(Expected::Until))
    }

    pub(crate) fn introduction(&self) -> Introduction {
        Introduction {
            greeting: self.greeting.clone(),
            hello: self.hello.clone(),
            reply: self.hello_expect.clone(),
        }
    }

    /// Requests and replies over TCP; none if there are no requests.
    pub(crate) fn messages(&self, connections: usize) -> MessageBuffers {
        match (&self.send, self.reply()) {
            (Some(request), Some(reply)) => MessageBuffers::stated(request.clone(), reply, connections),
            (None, _) | (_, None) => MessageBuffers::default(),
        }
    }
}

/// Options in which the number of the request can stand.
const MAY_BE_NUMBERED: [&str; 2] = ["send", "expect"];

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(target: &str, change: fn(&mut Exchange)) -> String {
        let mut exchange = exchange();
        change(&mut exchange);
        exchange.check(&target.parse().unwrap()).unwrap_err()
    }

    fn exchange() -> Exchange {
        Exchange {
            send: "PING\\r\\n".parse().ok(),
            expect: "+PONG\\r\\n".parse().ok(),
            ..Exchange::default()
        }
    }

    #[test]
    fn options_that_cannot_be_combined_are_refused_in_a_line() {
        assert_eq!(exchange().check(&"tcp=1".parse().unwrap()), Ok(()));
        assert_eq!(exchange().check(&"udp=1".parse().unwrap()), Ok(()));
        let refused_by_tcp = |change| refused("tcp=1", change);
        for (line, expected) in [
            (refused("message", |_| {}), "--send requires tcp= or udp="),
            (refused("hold=1", |it| it.send = None), "--expect requires tcp= or udp="),
            (refused_by_tcp(|it| it.send = None), "tcp= requires --send"),
            (refused("udp=1", |it| it.send = None), "udp= requires --send"),
            (
                refused_by_tcp(|it| it.expect = None),
                "tcp= requires --expect, --expect-bytes or --expect-until",
            ),
            (
                refused_by_tcp(|it| it.expect_until = "\\n".parse().ok()),
                "--expect and --expect-until exclude each other",
            ),
            (refused_by_tcp(|it| it.send = "".parse().ok()), "--send has no bytes"),
            (refused_by_tcp(|it| it.expect = "hex:".parse().ok()), "--expect has no bytes"),
            (
                refused_by_tcp(|it| (it.expect, it.expect_bytes) = (None, Some(0))),
                "--expect-bytes must be at least one byte",
            ),
            (refused_by_tcp(|it| it.hello_expect = "a".parse().ok()), "--hello-expect requires --hello"),
            (
                refused_by_tcp(|it| it.hello = "{seq}".parse().ok()),
                "--hello precedes the requests: {seq} does not apply",
            ),
            (
                refused("udp=1", |it| it.greeting = "a".parse().ok()),
                "--greeting requires tcp=: a server cannot send the first datagram",
            ),
        ] {
            assert_eq!(line, expected);
        }
    }

    #[test]
    fn a_datagram_may_be_empty_and_its_reply_unknown() {
        let exchange = Exchange { send: "".parse().ok(), ..Exchange::default() };
        assert_eq!(exchange.check(&"udp=1".parse().unwrap()), Ok(()));
        assert!(exchange.reply().is_none());
    }
}
