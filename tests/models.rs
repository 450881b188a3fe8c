//! One table of inputs, and what comes back for each until the end of the stream: from the event loop and
//! from the thread per connection the very same bytes, and those that a naive reading of the protocol says.

mod common;

use std::str;
use std::thread;

use common::{
    ACKNOWLEDGEMENT, DatagramPeer, End, GREETING, INTRODUCTION, MODELS, MONTHS, Peer, REPLY, Server,
    acknowledgement, frame,
};
use loopline::journal::escape::unescape;

/// The longest message, in bytes. Beyond it and a little, there is nothing to learn from longer ones.
const MESSAGE_BYTES_MAX: usize = 4096;

/// What a peer does on a connection of its own.
struct Input {
    name: String,
    service: &'static str,
    /// Each is sent alone: the server has looked at what came before it.
    writes: Vec<Vec<u8>>,
    /// Whether the peer ends its side after that. If not, it is the server that must end the stream.
    half_closes: bool,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    name: String,
    bytes: Vec<u8>,
    end: End,
}

#[test]
fn both_models_answer_every_input_as_the_protocol_says() {
    let inputs = inputs();
    let [by_loop, by_threads] = thread::scope(|scope| {
        MODELS.map(|model| scope.spawn(|| put_in(&inputs, model))).map(|answers| answers.join().unwrap())
    });
    for (input, answer) in inputs.iter().zip(&by_loop.0) {
        check(input, answer);
    }
    for (one, other) in by_loop.0.iter().zip(&by_threads.0) {
        assert_eq!(one, other, "the models differ");
    }
    let texts: Vec<Vec<u8>> = inputs.iter().flat_map(recorded).collect();
    for (model, record) in MODELS.into_iter().zip([by_loop.1, by_threads.1]) {
        let read_back = record.iter().map(|text| unescape(text).expect("an escaped line"));
        assert!(read_back.eq(texts.iter().cloned()), "{model} records what it acknowledges, in order");
    }
}

#[test]
fn both_models_answer_every_datagram_as_the_protocol_says() {
    const WRONG: &str = "Error: expected an integer from 1 to 12, or 0 to end\n";
    const TOO_LONG: &str =
        "Error: expected an integer from 0 to 12, the datagram is longer than 1024 bytes\n";
    // What a peer says and what it hears. A datagram without an answer must not disturb those after it.
    let mut talks: Vec<Vec<(Vec<u8>, Option<&str>)>> = Vec::new();
    let all_months = (1..=12).map(|month| (format!("{month}").into_bytes(), Some(MONTHS[month - 1])));
    talks.push([(b"hello".to_vec(), Some(INTRODUCTION))].into_iter().chain(all_months).collect());
    for first in [&b""[..], b"0", b"7", b"\xff\xfe", &[b'1'; 1024]] {
        talks.push(vec![(first.to_vec(), Some(INTRODUCTION)), (b"1".to_vec(), Some("January"))]);
    }
    for (number, month) in [(" 5", "May"), ("5\n", "May"), ("\t05 \r\n", "May"), ("0012", "December")] {
        talks.push(vec![(b"x".to_vec(), Some(INTRODUCTION)), (number.into(), Some(month))]);
    }
    let wrong: [&[u8]; 12] =
        [b"", b" ", b"13", b"-1", b"+1", b"1.0", b"1e0", b"1 2", b"one", b"\xd9\xa1", b"\xff", &[b'9'; 1024]];
    for bad in wrong {
        let session_goes_on = (b"2".to_vec(), Some("February"));
        talks.push(vec![(b"x".to_vec(), Some(INTRODUCTION)), (bad.to_vec(), Some(WRONG)), session_goes_on]);
    }
    talks.push(vec![
        (b"x".to_vec(), Some(INTRODUCTION)),
        (vec![b' '; 1025], Some(TOO_LONG)),
        (b"3".to_vec(), Some("March")),
    ]);
    talks.push(vec![(vec![b'x'; 1025], None), (vec![b'x'; 9000], None), (b"x".to_vec(), Some(INTRODUCTION))]);
    for zero in ["0", " 0\n", "000"] {
        let goodbye = (zero.into(), Some("Goodbye"));
        talks.push(vec![(b"x".to_vec(), Some(INTRODUCTION)), goodbye, (b"1".to_vec(), Some(INTRODUCTION))]);
    }
    for own in
        MONTHS.into_iter().chain([INTRODUCTION, "Goodbye", WRONG, TOO_LONG, "Error: of another server"])
    {
        let own = (own.into(), None);
        talks.push(vec![
            own.clone(),
            (b"x".to_vec(), Some(INTRODUCTION)),
            own,
            (b"4".to_vec(), Some("April")),
        ]);
    }
    for model in MODELS {
        let server = Server::start(&format!("month=0 --model {model}"));
        // None is gone before the last has spoken: its port could go to another, with its session.
        let callers: Vec<DatagramPeer> =
            talks.iter().map(|_| DatagramPeer::connect(server.address("month"))).collect();
        for (talk, caller) in talks.iter().zip(&callers) {
            for (datagram, answer) in talk {
                match answer {
                    Some(answer) => assert_eq!(caller.request(datagram), *answer, "{model}: {datagram:?}"),
                    None => caller.send(datagram),
                }
            }
        }
        server.stop_cleanly();
    }
}

/// Everything a peer may send, each with what makes it worth a line.
fn inputs() -> Vec<Input> {
    let mut inputs = good_frames();
    inputs.extend(cut_off());
    inputs.extend(bad_headers());
    inputs.extend(bad_bodies());
    inputs.extend(other_services());
    inputs
}

fn good_frames() -> Vec<Input> {
    let mut inputs = Vec::new();
    let mut good = |name: String, writes: Vec<Vec<u8>>| {
        inputs.push(Input { name, service: "message", writes, half_closes: true });
    };
    good("nothing at all".into(), vec![]);
    good("one frame".into(), vec![frame("hello")]);
    good(
        "one frame in two writes, as its peers send it".into(),
        vec![frame("hi")[..64].into(), b"hi".into()],
    );
    good("frames one by one".into(), vec![frame("one"), frame("two"), frame("three")]);
    good("an empty message".into(), vec![frame("")]);
    good("empty messages among others".into(), vec![[frame("a"), frame(""), frame(""), frame("b")].concat()]);
    good("a message of the limit".into(), vec![frame("x".repeat(MESSAGE_BYTES_MAX))]);
    good("messages of the limit".into(), vec![frame("x".repeat(MESSAGE_BYTES_MAX)).repeat(20)]);
    good("all that is ASCII".into(), vec![frame((0..128).collect::<Vec<u8>>())]);
    good("a message that looks like a frame".into(), vec![frame(frame("inner"))]);
    good("an acknowledgement sent back".into(), vec![acknowledgement()]);
    good(
        "characters at the ends of their ranges".into(),
        vec![frame("\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}")],
    );
    good(
        "1000 frames in one write".into(),
        vec![(0..1000).flat_map(|place| frame(place.to_string())).collect()],
    );
    good("10,000 empty frames in one write".into(), vec![frame("").repeat(10_000)]);

    let body = "grüße, 世界 🙂";
    let frames = [frame(body), frame("next")].concat();
    for place in 1..frames.len() {
        let (before, after) = frames.split_at(place);
        good(format!("two frames split at byte {place}"), vec![before.into(), after.into()]);
    }
    good("two frames byte by byte".into(), frames.iter().map(|byte| vec![*byte]).collect());
    for bytes in [7, 63, 65] {
        let writes = frames.repeat(5).chunks(bytes).map(<[u8]>::to_vec).collect();
        good(format!("frames in writes of {bytes} bytes"), writes);
    }

    for (name, more) in [
        ("nothing", vec![]),
        ("a frame", frame("never read")),
        ("the beginning of a frame", frame("never read")[..70].to_vec()),
        ("bytes that are none", vec![b'x'; 10_000]),
    ] {
        for half_closes in [false, true] {
            let writes = vec![frame("before"), [frame("Disconnect !"), more.clone()].concat()];
            let name = format!("the farewell and {name} after it, ended by the peer: {half_closes}");
            inputs.push(Input { name, service: "message", writes, half_closes });
        }
    }
    inputs
}

fn cut_off() -> Vec<Input> {
    let whole = frame("cut off");
    let ends = (1..whole.len())
        .map(|place| (format!("the end at byte {place} of a frame"), whole[..place].to_vec()));
    ends.flat_map(|(name, beginning)| {
        let behind = [frame("whole"), beginning.clone()].concat();
        [
            Input { name: name.clone(), service: "message", writes: vec![beginning], half_closes: true },
            Input {
                name: format!("{name} behind another"),
                service: "message",
                writes: vec![behind],
                half_closes: true,
            },
        ]
    })
    .collect()
}

/// Input that the server refuses, and so ends the stream: alone, behind good frames, and with more behind.
fn refused(name: &str, bytes: &[u8]) -> [Input; 4] {
    let good = [frame("good"), frame("too")].concat();
    let one = |how: &str, writes: Vec<Vec<u8>>, half_closes| Input {
        name: format!("{name}, {how}"),
        service: "message",
        writes,
        half_closes,
    };
    [
        one("alone", vec![bytes.into()], false),
        one("and the end", vec![bytes.into()], true),
        one("behind good frames", vec![[&good, bytes].concat()], false),
        one("and good frames behind", vec![[bytes, &good].concat(), good.clone()], false),
    ]
}

fn bad_headers() -> Vec<Input> {
    let mut inputs = Vec::new();
    let starts: [(&str, &[u8]); 41] = [
        ("only spaces", b""),
        ("a plus", b"+5"),
        ("a minus", b"-1"),
        ("a minus zero", b"-0"),
        ("a leading space", b" 5"),
        ("a leading zero", b"05"),
        ("leading zeros", b"005"),
        ("two zeros", b"00"),
        ("an inner space", b"5 5"),
        ("a space and a letter", b"5 x"),
        ("a tab", b"5\t"),
        ("a CR", b"5\r\n"),
        ("an LF", b"5\n"),
        ("a NUL", b"5\0"),
        ("NULs", &[0; 64]),
        ("a vertical tab", b"5\x0b"),
        ("a DEL", b"5\x7f"),
        ("a no-break space", b"5\xc2\xa0"),
        ("a no-break space of Latin 1", b"5\xa0"),
        ("a next line", b"5\xc2\x85"),
        ("an ideographic space", "5\u{3000}".as_bytes()),
        ("a byte order mark", "\u{feff}5".as_bytes()),
        ("full-width digits", "５".as_bytes()),
        ("Arabic digits", "٥".as_bytes()),
        ("an exponent", b"1e3"),
        ("a hexadecimal number", b"0x10"),
        ("an underscore", b"1_000"),
        ("a comma", b"1,000"),
        ("a fraction", b"5.0"),
        ("a letter", b"12x"),
        ("a bad byte at the very end", b"5                                                              x"),
        ("the limit and one", b"4097"),
        ("2^32", b"4294967296"),
        ("2^63", b"9223372036854775808"),
        ("2^64 - 1", b"18446744073709551615"),
        ("2^64 and 5", b"18446744073709551621"),
        ("21 digits", b"100000000000000000005"),
        ("64 digits", &[b'9'; 64]),
        ("64 zeros", &[b'0'; 64]),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n"),
    ];
    for (name, start) in starts {
        let mut header = start.to_vec();
        header.resize(header.len().max(64), b' ');
        inputs.extend(refused(name, &header));
    }
    // These are refused before a header is whole.
    let beginnings: [(&str, &[u8]); 5] = [
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("PROXY v1", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n"),
        ("PROXY v2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"),
        ("a telnet negotiation", b"\xff\xfd\x03"),
        ("one bad byte", b"x"),
    ];
    for (name, beginning) in beginnings {
        inputs.extend(refused(name, beginning));
    }
    inputs.push(Input {
        name: "a bad byte that comes last and alone".into(),
        service: "message",
        writes: vec![b"1".into(), b"2".into(), b"x".into()],
        half_closes: false,
    });
    inputs.extend(refused(
        "a length in characters",
        "5                                                               grüße".as_bytes(),
    ));
    inputs
}

fn bad_bodies() -> Vec<Input> {
    let bodies: [(&str, &[u8]); 14] = [
        ("a continuation byte", b"\x80"),
        ("an overlong slash in two bytes", b"\xc0\xaf"),
        ("an overlong slash in three bytes", b"\xe0\x80\xaf"),
        ("an overlong slash in four bytes", b"\xf0\x80\x80\xaf"),
        ("the smallest overlong", b"\xc1\xbf"),
        ("a surrogate", b"\xed\xa0\x80"),
        ("a pair of surrogates", b"\xed\xa0\xbd\xed\xb9\x82"),
        ("above U+10FFFF", b"\xf4\x90\x80\x80"),
        ("five bytes", b"\xf8\x88\x80\x80\x80"),
        ("a byte that is in no UTF-8", b"\xff"),
        ("UTF-16", b"\xff\xfea\0"),
        ("a character cut off after one byte", b"\xc3"),
        ("a character cut off after two bytes", b"\xe2\x82"),
        ("a character cut off after three bytes", b"\xf0\x9f\x99"),
    ];
    let bad = |(name, bad): (&str, &[u8])| {
        let inside = refused(&format!("{name} inside"), &frame([b"before ", bad, b" after"].concat()));
        inside.into_iter().chain(refused(&format!("{name} at the end"), &frame([b"before ", bad].concat())))
    };
    bodies.into_iter().flat_map(bad).collect()
}

fn other_services() -> Vec<Input> {
    let mut inputs = Vec::new();
    for service in ["greeting", "daytime"] {
        for half_closes in [false, true] {
            for writes in [vec![], vec![b"GET / HTTP/1.0\r\n\r\n".to_vec()], vec![vec![b'x'; 5000]; 2]] {
                let name = format!("{service}, {} writes, ended by the peer: {half_closes}", writes.len());
                inputs.push(Input { name, service, writes, half_closes });
            }
        }
    }
    for half_closes in [false, true] {
        for request in
            [&b"hello"[..], b"\r\n", b"\xff\0\x1b[31m", &[b'x'; 1024], &[b'y'; 1025], &[b'z'; 9000]]
        {
            let name = format!("a request of {} bytes, ended by the peer: {half_closes}", request.len());
            inputs.push(Input { name, service: "reply", writes: vec![request.into()], half_closes });
        }
    }
    let service = "reply";
    inputs.push(Input { name: "no request".into(), service, writes: vec![], half_closes: true });
    inputs
}

/// Does what the inputs say with a server of `model`, and returns what came back and what is on record.
fn put_in(inputs: &[Input], model: &str) -> (Vec<Answer>, Vec<String>) {
    let endpoints = "message=0 greeting=0 daytime=0 reply=0";
    let server = Server::start(&format!("{endpoints} --model {model} --max-message {MESSAGE_BYTES_MAX}"));
    let mut pacer = server.connect("message");
    let answers = inputs.iter().map(|input| {
        let (bytes, end) = put_in_one(input, &server, &mut pacer);
        let bytes = if input.service == "daytime" { shape(&bytes) } else { bytes };
        Answer { name: input.name.clone(), bytes, end }
    });
    let answers = answers.collect();
    // Nothing of all that has hurt the server.
    server.connect("message").exchange(PACE);
    pacer.exchange(PACE);
    let ended = server.stop_cleanly();
    let texts = ended.messages().into_iter().filter(|text| *text != PACE).map(ToString::to_string);
    (answers, texts.collect())
}

/// What the pacer says.
const PACE: &str = "pace";

fn put_in_one(input: &Input, server: &Server, pacer: &mut Peer) -> (Vec<u8>, End) {
    let mut peer = server.connect(input.service);
    let mut sender = Peer::on(peer.stream.try_clone().unwrap());
    thread::scope(|scope| {
        scope.spawn(move || {
            for (place, write) in input.writes.iter().enumerate() {
                if place > 0 {
                    // When this is answered, what was sent before it is read.
                    pacer.exchange(PACE);
                }
                // The server may have refused what came before, and not take this any more.
                if sender.try_send(write).is_err() {
                    return;
                }
            }
            if input.half_closes {
                let _ = sender.stream.shutdown(std::net::Shutdown::Write);
            }
        });
        peer.receive_all_of(&input.name)
    })
}

/// The time without the time.
fn shape(told: &[u8]) -> Vec<u8> {
    let told = str::from_utf8(told).unwrap();
    assert_eq!(told.len(), 26, "{told:?}");
    let (days, months) = ("SunMonTueWedThuFriSat", "JanFebMarAprMayJunJulAugSepOctNovDec");
    assert!(days.contains(&told[..3]) && months.contains(&told[4..7]), "{told:?}");
    assert!(told[8..10].trim_start().parse::<u8>().is_ok_and(|day| (1..=31).contains(&day)), "{told:?}");
    let digits = |character: char| if character.is_ascii_digit() { '0' } else { character };
    let rest: String = told[10..].chars().map(digits).collect();
    assert_eq!(rest, " 00:00:00 0000\r\n", "{told:?}");
    b"a time".to_vec()
}

fn check(input: &Input, answer: &Answer) {
    assert_eq!(answer.end, End::Closed, "{}", input.name);
    match input.service {
        "message" => check_frames(input, &answer.bytes),
        "greeting" => assert_eq!(answer.bytes, GREETING.as_bytes(), "{}", input.name),
        "reply" => assert_eq!(answer.bytes, REPLY.as_bytes(), "{}", input.name),
        _ => assert_eq!(answer.bytes, b"a time", "{}", input.name),
    }
}

/// The acknowledgements that are owed, byte for byte, and then nothing, or one frame that says what was
/// wrong and where.
fn check_frames(input: &Input, answer: &[u8]) {
    let said = naive_reading(&input.writes.concat());
    let owed = acknowledgement().repeat(said.messages.len());
    let rest = answer.strip_prefix(owed.as_slice());
    let rest = rest.unwrap_or_else(|| {
        panic!("{}: {} of {} bytes of acknowledgements came", input.name, answer.len(), owed.len())
    });
    match said.refusal {
        None => assert_eq!(str::from_utf8(rest), Ok(""), "{}", input.name),
        Some(why) => {
            let (header, body) =
                rest.split_at_checked(64).unwrap_or_else(|| panic!("{}: {rest:?}", input.name));
            let body = str::from_utf8(body).unwrap();
            assert_eq!(str::from_utf8(header), Ok(format!("{:<64}", body.len()).as_str()), "{}", input.name);
            assert!(body.starts_with(&format!("Error: {why}")), "{}: '{body}' is not '{why}'", input.name);
            assert!(!body.contains(['\n', '\r']), "{}: {body}", input.name);
        }
    }
}

/// The protocol as it is written, read one byte after the other and without a thought of speed.
fn naive_reading(input: &[u8]) -> Said {
    let mut said = Said::default();
    let mut bytes = input.iter().copied();
    loop {
        let (mut digits, mut spaces) = (String::new(), 0);
        for position in 0..64 {
            let Some(byte) = bytes.next() else { return said };
            match byte {
                b'0'..=b'9' if spaces == 0 && digits != "0" => digits.push(char::from(byte)),
                b' ' if !digits.is_empty() => spaces += 1,
                b'!'..=b'~' | b' ' => {
                    return said
                        .refused(format!("header byte {position} is '{}', expected ", char::from(byte)));
                }
                _ => return said.refused(format!("header byte {position} is 0x{byte:02x}, expected ")),
            }
        }
        let body_bytes = match digits.parse() {
            Ok(body_bytes) if body_bytes <= MESSAGE_BYTES_MAX => body_bytes,
            Ok(announced) if announced < usize::MAX => {
                let why = format!("the header announces {announced} bytes, the limit is {MESSAGE_BYTES_MAX}");
                return said.refused(why);
            }
            _ => return said.refused("the header announces at least 18446744073709551615 bytes".into()),
        };
        let body: Vec<u8> = bytes.by_ref().take(body_bytes).collect();
        if body.len() < body_bytes {
            return said;
        }
        // The one character that stands for bytes that are none is in no body of the table.
        let valid = String::from_utf8_lossy(&body);
        if let Some(position) = valid.find('\u{fffd}') {
            return said.refused(format!("body byte {position} begins no UTF-8 character"));
        }
        said.messages.push(body.clone());
        if body == b"Disconnect !" {
            return said;
        }
    }
}

/// What the server has to say to an input.
#[derive(Default)]
struct Said {
    /// These are acknowledged.
    messages: Vec<Vec<u8>>,
    /// How the reason begins, if there is one.
    refusal: Option<String>,
}

impl Said {
    fn refused(mut self, why: String) -> Self {
        self.refusal = Some(why);
        self
    }
}

/// What an input leaves on record.
fn recorded(input: &Input) -> Vec<Vec<u8>> {
    let sent = input.writes.concat();
    match input.service {
        "message" => naive_reading(&sent).messages,
        "reply" if !sent.is_empty() => vec![sent[..sent.len().min(1024)].to_vec()],
        _ => vec![],
    }
}

#[test]
fn the_naive_reading_knows_good_from_bad() {
    let said = naive_reading(&[frame("a"), frame(""), b"12x".to_vec()].concat());
    assert_eq!(said.messages, [b"a".to_vec(), vec![]]);
    assert_eq!(said.refusal.as_deref(), Some("header byte 2 is 'x', expected "));
    assert_eq!(ACKNOWLEDGEMENT.len(), 33);
    assert_eq!(naive_reading(&frame("cut off")[..70]).messages.len(), 0);
}
