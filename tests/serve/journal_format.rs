//! The journal as lines of JSON.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{MODELS, Serve, loopline, output, without_options};
use crate::schema;

fn serve(model: &str, format: &str, path: &Path) -> Serve {
    let serve = Serve::new("message=0 reply=0 --model").arg(model).arg("--journal-format").arg(format);
    serve.arg("--journal").arg(path)
}

/// The time of the clock, as the journal has it.
fn now() -> String {
    let date = output(without_options("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%3NZ"]));
    String::from_utf8(date.stdout).unwrap().trim_end().to_owned()
}

fn cat(path: &Path, option: &str) -> String {
    let cat = output(loopline().args(["journal", "cat", option]).arg(path));
    assert!(cat.status.success(), "{cat:?}");
    String::from_utf8(cat.stdout).unwrap()
}

#[test]
fn a_line_of_json_has_the_time_the_peer_the_service_and_the_message() {
    for model in MODELS {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let mut earliest = now();
        let server = serve(model, "json", &path).start();
        let mut peer = server.connect("message");
        let mut expected = Vec::new();
        for message in ["hello", "one\ntwo", "\"\\\u{202e}\u{7f}ü", ""] {
            peer.exchange(message);
            expected.push((peer.local_address(), json!({"service": "message", "text": message})));
        }
        let mut asking = server.connect("reply");
        asking.send(b"\xff\0");
        asking.receive_text();
        expected.push((asking.local_address(), json!({"service": "reply", "base64": "/wA="})));
        drop((peer, asking));
        server.stop_cleanly();

        let journal = fs::read_to_string(&path).unwrap();
        let latest = now();
        assert_eq!(journal.lines().count(), expected.len(), "{model}: {journal}");
        for (line, (peer, mut message)) in journal.lines().zip(expected) {
            let mut value: Value = serde_json::from_str(line).unwrap();
            schema::assert_is("JournalMessage", &value);
            let time = value.as_object_mut().unwrap().remove("time").unwrap();
            let time = time.as_str().unwrap();
            assert!(*earliest <= *time && *time <= *latest, "{earliest} {time} {latest}");
            time.clone_into(&mut earliest);
            message["peer"] = json!(peer.to_string());
            assert_eq!(value, message, "{model}");
            assert!(line.starts_with("{\"time\":\"") && !line.chars().any(char::is_control), "{line}");
        }
        let values = |text: &str| -> Vec<Value> {
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        assert_eq!(values(&cat(&path, "--json")), values(&journal));
    }
}

#[test]
fn a_journal_goes_on_in_another_format_after_its_incomplete_last_line_is_removed() {
    for model in MODELS {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        for (format, message) in [("text", "one"), ("json", "two"), ("text", "three")] {
            let server = serve(model, format, &path).start();
            server.connect("message").exchange(message);
            server.stop_cleanly();
            let mut file = fs::read(&path).unwrap();
            let mut whole_lines = file.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec);
            let last = whole_lines.next_back().unwrap();
            file.extend_from_slice(&last[..last.len() - 3]);
            fs::write(&path, file).unwrap();
        }
        serve(model, "json", &path).start().stop_cleanly();
        assert_eq!(cat(&path, "--null"), "one\0two\0three\0", "{model}");
        let first_bytes = fs::read_to_string(&path).unwrap();
        let first_bytes: String = first_bytes.lines().map(|line| &line[..1]).collect();
        assert_eq!(first_bytes, "[{[", "{model}");
    }
}
