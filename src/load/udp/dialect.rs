//! What is sent in datagrams and what their answers mean: that of a service, or as a user states it.

use super::numbered::Numbered;
use super::requests::Requests;
use super::session::{InFlight, Session};
use crate::load::byte_text::{ByteText, Numbers};
use crate::load::excerpt::excerpt;
use crate::load::exchange::{Exchange, Introduction};
use crate::load::expected::Expected;
use crate::service::{Answer, DatagramClient};

/// The requests of a run and their answers.
pub(crate) enum Dialect {
    /// Those of a service.
    Service(&'static dyn DatagramClient),
    /// Those of a user.
    Stated(Box<Stated>),
}

/// The datagrams of a user.
pub(crate) struct Stated {
    request: ByteText,
    /// `None`: any.
    reply: Option<Expected>,
    introduction: Introduction,
}

impl Dialect {
    pub(crate) fn stated(exchange: &Exchange) -> Self {
        Self::Stated(Box::new(Stated {
            request: exchange.send.clone().unwrap_or_default(),
            reply: exchange.reply(),
            introduction: exchange.introduction(),
        }))
    }

    /// A session whose first hello, if there is one, is sent at `now_ns`.
    pub(super) fn session(&self, now_ns: u64) -> Session {
        match self {
            Self::Service(client) => {
                Session::opening(now_ns, InFlight::Rotating(Requests::new(in_flight_max(*client))))
            }
            Self::Stated(it) => {
                let Stated { reply, introduction, .. } = &**it;
                let mask = reply.as_ref().and_then(Expected::seq_mask);
                let in_flight = match mask {
                    Some(mask) => InFlight::Numbered(Numbered::new(mask)),
                    None => InFlight::Rotating(Requests::new(1)),
                };
                if introduction.reply.is_some() {
                    Session::opening(now_ns, in_flight)
                } else {
                    Session::open(in_flight)
                }
            }
        }
    }

    /// Appends the first datagram of the socket to `out`. Returns whether there is one.
    pub(super) fn hello(&self, key: u32, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Service(client) => out.extend_from_slice(client.hello()),
            Self::Stated(it) => {
                let Some(hello) = &it.introduction.hello else { return false };
                hello.render(Numbers { conn: key + 1, seq: 0 }, out);
            }
        }
        true
    }

    /// Appends a request to `out`: the one of the service with this name, or number `seq` of the socket.
    pub(super) fn request(&self, key: u32, name: u32, seq: u32, out: &mut Vec<u8>) {
        match self {
            Self::Service(client) => out.extend_from_slice(client.requests()[name as usize].as_bytes()),
            Self::Stated(it) => it.request.render(Numbers { conn: key + 1, seq }, out),
        }
    }

    /// What `datagram` is to the session of a socket.
    pub(super) fn classify(&self, key: u32, session: &Session, datagram: &[u8]) -> Answer {
        let (reply, introduction) = match self {
            Self::Service(client) => return client.classify(datagram),
            Self::Stated(it) => (&it.reply, &it.introduction),
        };
        let conn = key + 1;
        if !session.is_opening() {
            let name = match reply {
                None => Some(0),
                Some(reply) => reply.seq_of(conn, datagram),
            };
            if let Some(name) = name {
                return Answer::To(name as usize);
            }
        }
        let is_hello =
            introduction.reply.as_ref().is_some_and(|reply| reply.seq_of(conn, datagram).is_some());
        if is_hello { Answer::Opened } else { Answer::Unknown }
    }

    /// Describes `datagram`, which is no answer.
    pub(super) fn describe(&self, key: u32, session: &Session, datagram: &[u8]) -> String {
        let stated = match self {
            Self::Service(_) => None,
            Self::Stated(it) if session.is_opening() => it.introduction.reply.as_ref(),
            Self::Stated(it) => it.reply.as_ref(),
        };
        let numbers = Numbers { conn: key + 1, seq: session.oldest_number() };
        match stated.and_then(|expected| expected.describe_datagram(datagram, numbers)) {
            Some(why) => format!("{why}; received: {}", excerpt(datagram)),
            None => format!("unexpected answer: {}", excerpt(datagram)),
        }
    }
}

/// The most requests in flight on a socket that can all be matched with their answers.
pub(crate) fn in_flight_max(client: &dyn DatagramClient) -> u8 {
    u8::try_from(client.requests().len()).unwrap_or(u8::MAX)
}
