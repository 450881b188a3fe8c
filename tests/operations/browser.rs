//! A headless Chromium, controlled by JSON messages through a pair of pipes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::common::{WAIT_MAX, eventually};

/// A browser with one page.
pub(crate) struct Browser {
    process: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    last_call: u64,
    session: Option<String>,
    /// Everything that it has reported, unless a test has taken it.
    pub(crate) events: Vec<Value>,
    /// Its files.
    _profile: tempfile::TempDir,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut process = Command::new("sh")
            // It reads from descriptor 3 and writes to 4.
            .args(["-c", "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh"])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--hide-scrollbars", "--no-proxy-server", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromium can be started");
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (sender, messages) = channel();
        thread::spawn(move || {
            for message in BufReader::new(output).split(0) {
                let message = serde_json::from_slice(&message.unwrap()).expect("messages are JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            process,
            input,
            messages,
            last_call: 0,
            session: None,
            events: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Log", "Runtime", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// The result of a method.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last_call += 1;
        let mut message = json!({"id": self.last_call, "method": method});
        message["params"] = parameters;
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.input.write_all((message.to_string() + "\0").as_bytes()).expect("the browser is running");
        loop {
            let mut message = self.receive();
            if message["id"] == self.last_call {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    fn receive(&self) -> Value {
        self.messages.recv_timeout(WAIT_MAX).expect("the browser responds")
    }

    /// Opens a page, and waits until it is loaded.
    pub(crate) fn open(&mut self, url: &str) {
        self.events.clear();
        self.call("Page.navigate", json!({"url": url}));
        self.take_event("Page.loadEventFired");
    }

    /// The parameters of the next event of this kind.
    pub(crate) fn take_event(&mut self, method: &str) -> Value {
        loop {
            if let Some(at) = self.events.iter().position(|event| event["method"] == method) {
                return self.events.remove(at)["params"].take();
            }
            let event = self.receive();
            self.events.push(event);
        }
    }

    /// The value of an expression, or what its promise resolves to.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut result = self.call("Runtime.evaluate", parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].take()
    }

    /// Waits until an expression has this value.
    pub(crate) fn wait_until(&mut self, expression: &str, expected: &Value) {
        let mut last = Value::Null;
        eventually(&format!("{expression} is {expected}"), || {
            let value = self.evaluate(expression);
            if value != last {
                eprintln!("is {value}");
                last = value.clone();
            }
            (value == *expected).then_some(())
        });
    }

    /// The size of the window in pixels, and the color scheme.
    pub(crate) fn show_as(&mut self, width: u32, height: u32, scheme: &str) {
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", media);
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Presses and releases a key.
    pub(crate) fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({"type": kind, "key": key}));
        }
    }

    /// The window as a PNG file.
    pub(crate) fn screenshot(&mut self) -> Vec<u8> {
        let shot = self.call("Page.captureScreenshot", json!({}));
        STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()
    }

    /// Requests to elsewhere than `origin`, and what was written to the console since the page was opened.
    pub(crate) fn faults(&self, origin: &str) -> Vec<String> {
        let fault = |event: &Value| {
            let parameters = &event["params"];
            match event["method"].as_str()? {
                "Network.requestWillBeSent" => {
                    let url = parameters["request"]["url"].as_str()?;
                    (!url.starts_with(origin)).then(|| format!("requests {url}"))
                }
                "Log.entryAdded" | "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" => {
                    Some(parameters.to_string())
                }
                _ => None,
            }
        };
        self.events.iter().filter_map(fault).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It is of no use any more; a failure to end it would hide why.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
