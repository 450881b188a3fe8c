//! What holds for every service of the program.

use std::net::SocketAddr;

use super::*;

#[test]
fn names_ports_and_summaries_are_unique() {
    for (index, definition) in ALL.iter().enumerate() {
        assert!(std::ptr::eq(named(definition.name).unwrap(), definition));
        assert_eq!(format!("{definition:?}"), definition.name);
        assert!(!definition.summary().is_empty() && !definition.summary().ends_with('.'));
        for other in &ALL[..index] {
            assert_ne!(other.default_port, definition.default_port);
            assert_ne!(other.summary(), definition.summary());
        }
    }
}

const TEXT: &str = "a text";

fn settings() -> Settings {
    Settings { message_bytes_max: 1024, time_zone: tz::TimeZone::utc() }
}

/// What the server side sends on a connection with one request, and whether it ends the stream.
fn reply_of(service: &dyn StreamService, request: &[u8]) -> (Vec<u8>, bool) {
    let mut reply = Vec::new();
    let mut out = Output::new(SocketAddr::from(([127, 0, 0, 1], 1)), &mut reply, None);
    let mut action = service.opened(1_620_419_812, &mut out);
    if action == Action::Continue {
        let progress = service.received(request, false, &mut out);
        assert_eq!(progress.consumed, request.len());
        action = progress.action;
    }
    (reply, action == Action::End)
}

fn check_stream(name: &str, service: &dyn StreamService, client: &dyn StreamClient) {
    let mut request = Vec::new();
    client.append_request(TEXT, &mut request);
    assert_eq!(client.request(TEXT.into()), request, "{name}");
    assert_eq!(request.is_empty(), client.text_bytes().is_none(), "{name}");
    let (reply, ends) = reply_of(service, &request);
    assert_eq!(ends, client.server_ends_stream(), "{name}");
    let expected = client.expected_reply(TEXT);
    assert_eq!(reply.len(), expected.wire_bytes(), "{name}");
    assert!((0..).zip(&reply).all(|(position, byte)| expected.allows(position, *byte)), "{name}");
    let parsed = client.parse_reply(&reply).unwrap().unwrap();
    assert_eq!((parsed.wire_bytes, parsed.is_refusal), (reply.len(), false), "{name}");
    assert_eq!(client.parse_reply(&reply[..reply.len() - 1]), Ok(None), "{name}");
    assert!(!ends || client.farewell().is_none(), "{name}: there is no second request");
    if let Some(farewell) = client.farewell() {
        let mut request = Vec::new();
        client.append_request(farewell, &mut request);
        assert!(reply_of(service, &request).1, "{name}");
    }
}

fn check_datagrams(name: &str, service: &dyn DatagramService, client: &dyn DatagramClient) {
    let answer = |session, datagram: &[u8]| {
        let mut answer = Vec::new();
        let mut out = Output::new(SocketAddr::from(([127, 0, 0, 1], 1)), &mut answer, None);
        let session = service.received(session, datagram, &mut out);
        let bytes = answer.len();
        (client.classify(&answer), session, bytes)
    };
    let (opened, session, bytes) = answer(Session::None, client.hello());
    assert_eq!((opened, session), (Answer::Opened, Session::Open), "{name}");
    assert!(3 * client.hello().len() >= bytes, "{name}: a server beyond loopback cuts the answer");
    assert!((1..=255).contains(&client.requests().len()), "{name}");
    for (index, request) in client.requests().iter().enumerate() {
        let (to, session, _) = answer(Session::Open, request.as_bytes());
        assert_eq!((to, session), (Answer::To(index), Session::Open), "{name}");
    }
    assert_eq!(answer(Session::Open, client.farewell()).1, Session::None, "{name}");
    assert_eq!(client.classify(b""), Answer::Unknown, "{name}");
}

#[test]
fn both_sides_of_every_service_agree() {
    for definition in ALL {
        match (&definition.make, definition.client_side()) {
            (Make::Stream(make), ClientSide::Stream(client)) => {
                assert_eq!(definition.transport(), "tcp");
                check_stream(definition.name, &*make(settings()), client);
            }
            (Make::Datagram(make), ClientSide::Datagram(client)) => {
                assert_eq!(definition.transport(), "udp");
                check_datagrams(definition.name, &*make(settings()), client);
            }
            _ => unreachable!("a definition is for one transport"),
        }
    }
}
