//! The live page, in a headless browser.
//!
//! `LOOPLINE_SCREENSHOTS=DIR` writes pictures of it.

use std::path::Path;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::common::{DatagramPeer, Server, Signal};
use crate::is_missing;

/// The values that a plot shows, and the note below its title.
fn shown(plot: &str) -> String {
    format!(
        "(() => {{ const all = document.querySelectorAll('#{plot} .value, #{plot} .small:not(.tag)'); \
         return [...all].map((it) => it.textContent).join(' | '); }})()"
    )
}

const STATE: &str = "document.querySelector('#state strong').textContent";

/// How many pixels of a plot have the color of this series.
fn pixels(plot: &str, series: u32) -> String {
    let script = r"(() => {
        const canvas = document.querySelector('#PLOT canvas'), copy = document.createElement('canvas');
        [copy.width, copy.height] = [canvas.width + 1, canvas.height];
        const paint = copy.getContext('2d', {willReadFrequently: true});
        paint.drawImage(canvas, 0, 0);
        paint.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--series-SERIES');
        paint.fillRect(canvas.width, 0, 1, 1);
        const color = paint.getImageData(canvas.width, 0, 1, 1).data;
        const {data} = paint.getImageData(0, 0, canvas.width, canvas.height);
        let number = 0;
        for (let at = 0; at < data.length; at += 4)
            number += [0, 1, 2, 3].every((part) => Math.abs(data[at + part] - color[part]) < 40);
        return number;
    })()";
    script.replace("PLOT", plot).replace("SERIES", &series.to_string())
}

/// What does not fit into the window.
const WIDE: &str = "[...document.querySelectorAll('body *')].filter((it) => \
    it.getBoundingClientRect().right > innerWidth || it.scrollWidth > it.clientWidth + 1 && it.clientWidth > 1) \
    .map((it) => it.outerHTML.slice(0, 80))";

fn url(server: &Server) -> String {
    format!("http://{}/", server.address("metrics"))
}

/// Writes a picture, if pictures are wanted.
fn picture(browser: &mut Browser, name: &str) {
    if let Some(folder) = std::env::var_os("LOOPLINE_SCREENSHOTS") {
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), browser.screenshot()).unwrap();
    }
}

#[test]
fn the_page_draws_what_the_server_measures() {
    if is_missing("chromium") {
        return;
    }
    let server = Server::start("message=0 month=0 --metrics 0 --max-connections 3 --drain-delay 1h");
    let mut peers: Vec<_> = (0..3).map(|_| server.connect("message")).collect();
    for peer in &mut peers {
        (0..10).for_each(|_| peer.exchange("text"));
    }
    assert!(server.connect("message").receive_frame().contains("the server is full"));
    DatagramPeer::connect(server.address("month")).request("1");

    let mut browser = Browser::start();
    browser.show_as(1280, 1000, "light");
    browser.open(&url(&server));
    browser.wait_until(STATE, &json!("Serving."));
    browser.wait_until(&format!("{}.split(' | ')[0]", shown("connections")), &json!("3"));
    browser.wait_until(&format!("{}.split(' · ')[0]", shown("messages")), &json!("0/s | 30 in total"));
    browser.wait_until(&shown("refused"), &json!("0/s | 1 in total"));
    browser.wait_until(
        &format!("{}.split(' | ')[2]", shown("datagrams")),
        &json!("1 received, 0 dropped in total"),
    );
    let about = browser.evaluate("document.getElementById('server').textContent");
    let about = about.as_str().unwrap();
    assert!(about.starts_with(&format!("{} · loop · up ", env!("CARGO_PKG_VERSION"))), "{about}");

    // Lines grow as time passes, in the colors of the scheme.
    for scheme in ["light", "dark"] {
        browser.show_as(1280, 1000, scheme);
        for (plot, series) in [
            ("connections", 1),
            ("messages", 1),
            ("turns", 2),
            ("refused", 2),
            ("memory", 1),
            ("datagrams", 2),
        ] {
            browser.wait_until(&format!("{} > 3", pixels(plot, series)), &json!(true));
        }
        let ground = browser.evaluate("getComputedStyle(document.body).backgroundColor");
        assert_eq!(ground, json!(if scheme == "dark" { "rgb(18, 22, 27)" } else { "rgb(246, 247, 249)" }));
        picture(&mut browser, scheme);
    }
    assert_eq!(browser.faults(&url(&server)), Vec::<String>::new());

    browser.show_as(360, 740, "light");
    browser.wait_until("document.documentElement.scrollWidth", &json!(360));
    browser.wait_until(WIDE, &json!([]));
    picture(&mut browser, "phone");

    server.signal(Signal::TERM);
    browser.wait_until(STATE, &json!("Stopping."));
    picture(&mut browser, "stopping");
    // The second signal ends the delay.
    server.stop();
    browser.wait_until(STATE, &json!("No answer."));
    picture(&mut browser, "no-answer");
}

/// A page whose requests for samples are answered by a test.
struct Scripted {
    browser: Browser,
    _server: Server,
}

impl Scripted {
    fn open() -> Self {
        let server = Server::start("message=0 --metrics 0");
        let mut browser = Browser::start();
        browser.show_as(1280, 1000, "light");
        browser.call("Fetch.enable", json!({"patterns": [{"urlPattern": "*/samples*"}]}));
        browser.open(&url(&server));
        Self { browser, _server: server }
    }

    /// Responds to the next request, and returns its number of the first sample.
    fn respond(&mut self, status: u16, body: &str) -> u64 {
        // A page that is shown again asks at once.
        self.browser.evaluate("document.dispatchEvent(new Event('visibilitychange'))");
        let paused = self.browser.take_event("Fetch.requestPaused");
        let url = paused["request"]["url"].as_str().unwrap();
        let first = url.split_once("/samples?after=").expect(url).1.parse().expect(url);
        let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, body);
        self.browser.call(
            "Fetch.fulfillRequest",
            json!({"requestId": paused["requestId"], "responseCode": status, "body": body}),
        );
        // The page has read it and has drawn.
        self.browser.evaluate(
            "new Promise((done) => setTimeout(done, 0)).then(() => new Promise(requestAnimationFrame))",
        );
        first
    }

    /// Responds with the samples of a process that was started at `started`.
    fn samples(&mut self, started: i64, next: u64, samples: &[Value]) -> u64 {
        self.respond(200, &document(started, next, samples, false))
    }

    fn expect(&mut self, plot: &str, text: &str) {
        self.browser.wait_until(&shown(plot), &json!(text));
    }
}

fn document(started: i64, next: u64, samples: &[Value], stopping: bool) -> String {
    let document = json!({
        "interval_seconds": 1, "next": next, "version": "1.2.3", "model": "loop", "started": started,
        "stopping": stopping, "samples": samples
    });
    document.to_string()
}

/// A sample at `t` with all counters at `count`.
fn sample(t: i64, count: u64) -> Value {
    json!({
        "t": t, "open": 7, "accepted": count, "refused": count, "closed": count, "messages": count,
        "received_bytes": count, "datagrams": count, "datagrams_dropped": count, "memory_used": 512,
        "memory_budget": 1024, "turns": count, "turn_us_p50": 10, "turn_us_p99": 1000, "turn_us_max": 2_500_000
    })
}

#[test]
fn the_page_draws_any_samples() {
    if is_missing("chromium") {
        return;
    }
    let mut page = Scripted::open();
    // None.
    assert_eq!(page.samples(100, 0, &[]), 0);
    page.browser.wait_until(STATE, &json!("Serving."));
    page.expect("connections", "– | ");
    // One: there is no rate yet.
    assert_eq!(page.samples(100, 1, &[sample(1000, 50)]), 0);
    page.expect("connections", "7 | accepted – · closed –");
    page.expect("turns", "10 µs | 1 ms | 2.5 s | turns –");
    page.expect("memory", "512 B | 1 KiB | 50 % of the budget is used");
    assert!(page.browser.evaluate(&pixels("connections", 1)).as_u64() > Some(0), "a point is drawn");
    // A second later, and after a break, whose rate is the mean.
    assert_eq!(page.samples(100, 2, &[sample(1001, 60)]), 1);
    page.expect("messages", "10/s | 60 in total · 10 B/s");
    assert_eq!(page.samples(100, 3, &[sample(1101, 1060)]), 2);
    page.expect("messages", "10/s | 1,060 in total · 10 B/s");
    // Another process: all its samples are requested.
    assert_eq!(page.samples(1102, 2, &[]), 3);
    assert_eq!(page.samples(1102, 2, &[sample(1103, 1), sample(1104, 3)]), 0);
    page.expect("refused", "2/s | 3 in total");
    // Numbers as large as they can be.
    let huge = (1 << 53) - 1;
    assert_eq!(page.samples(1102, 3, &[sample(1105, huge)]), 2);
    page.expect("refused", "9.01 P/s | 9.01 P in total");
    // Counters that went back all the same; a clock that did.
    page.samples(1102, 4, &[sample(1106, 5)]);
    page.expect("refused", "–| 5 in total".replace('|', " |").as_str());
    page.samples(1102, 5, &[sample(500, 6)]);
    page.expect("refused", "– | 6 in total");
    // A server that responds with something else.
    for (status, body) in [(500, "{}"), (200, "nonsense"), (200, "{}")] {
        page.respond(status, body);
        page.browser.wait_until(STATE, &json!("No answer."));
        page.samples(1102, 6, &[]);
        page.browser.wait_until(STATE, &json!("Serving."));
    }
    let exceptions = page.browser.events.iter().filter(|event| event["method"] == "Runtime.exceptionThrown");
    assert_eq!(exceptions.collect::<Vec<_>>(), Vec::<&Value>::new());
}

#[test]
fn the_page_says_that_the_server_stops_and_since_when_it_does_not_answer() {
    if is_missing("chromium") {
        return;
    }
    let mut page = Scripted::open();
    page.samples(100, 1, &[sample(190_000, 1)]);
    page.browser.wait_until(STATE, &json!("Serving."));
    let about = page.browser.evaluate("document.getElementById('server').textContent");
    assert!(about.as_str().unwrap().starts_with("1.2.3 · loop · up 2 d 4 h · 127.0.0.1:"), "{about}");
    page.respond(200, &document(100, 1, &[], true));
    page.browser.wait_until(STATE, &json!("Stopping."));
    let mut reasons = Vec::new();
    for _ in 0..2 {
        page.respond(500, "");
        page.browser.wait_until(STATE, &json!("No answer."));
        reasons.push(page.browser.evaluate("document.querySelector('#state span').textContent"));
    }
    assert_eq!(reasons[0], reasons[1], "it is the time of the first failure");
    let reason = reasons[0].as_str().unwrap();
    let time = reason
        .strip_prefix("The server was stopping, and has not answered since ")
        .and_then(|rest| rest.strip_suffix(". Asking again every second."))
        .expect(reason);
    assert!(time.len() == 8 && time.split(':').all(|part| part.parse::<u8>().is_ok()), "{time}");
    // Another process answers.
    page.samples(190_010, 1, &[]);
    page.samples(190_010, 1, &[sample(190_011, 1)]);
    page.browser.wait_until(STATE, &json!("Serving."));
    assert_eq!(page.browser.evaluate("document.querySelector('#state span').textContent"), json!(""));
}

#[test]
fn values_are_shown_at_a_point_in_time_by_keys_and_by_touch() {
    if is_missing("chromium") {
        return;
    }
    let mut page = Scripted::open();
    let samples: Vec<_> =
        (0..600u64).map(|at| sample(43_200 + i64::try_from(at).unwrap(), at * at)).collect();
    page.samples(1, 600, &samples);
    page.expect("messages", "1,197/s | 358,801 in total · 1.17 KiB/s");
    let browser = &mut page.browser;
    browser.evaluate("document.querySelector('#messages .drawing').focus()");
    let (tag, spoken) = (
        "document.querySelector('#turns .tag').textContent",
        "document.getElementById('spoken').textContent",
    );
    for (key, time, rate) in [
        ("ArrowLeft", "12:09:59", "1,197"),
        ("ArrowLeft", "12:09:58", "1,195"),
        ("Home", "12:00:00", "–"),
        ("ArrowRight", "12:00:01", "1"),
    ] {
        browser.press(key);
        assert_eq!(browser.evaluate(tag), json!(time));
        let rate = if rate == "–" { rate.into() } else { format!("{rate}/s") };
        assert_eq!(browser.evaluate(spoken), json!(format!("{time}: per second {rate}")));
        assert_eq!(browser.evaluate(&format!("{}.split(' | ')[0]", shown("messages"))), json!(rate));
    }
    browser.press("Escape");
    let is_hidden = "document.querySelector('#turns .tag').hidden";
    assert_eq!(browser.evaluate(is_hidden), json!(true));
    // In the middle of the plot.
    let place = "(() => { const box = document.querySelector('#turns .u-over').getBoundingClientRect(); \
                 return [box.left + box.width / 2, box.top + 20]; })()";
    let place = browser.evaluate(place);
    browser.call("Emulation.setTouchEmulationEnabled", json!({"enabled": true}));
    let touch = json!([{"x": place[0], "y": place[1]}]);
    browser.call("Input.dispatchTouchEvent", json!({"type": "touchStart", "touchPoints": touch}));
    browser.call("Input.dispatchTouchEvent", json!({"type": "touchEnd", "touchPoints": []}));
    browser.wait_until(is_hidden, &json!(false));
    let time = browser.evaluate(tag);
    assert!(["12:04:59", "12:05:00"].contains(&time.as_str().unwrap()), "{time}");
}

#[test]
fn a_hidden_page_asks_nothing_and_catches_up_when_it_is_shown() {
    if is_missing("chromium") {
        return;
    }
    let mut page = Scripted::open();
    page.samples(1, 1, &[sample(1000, 1)]);
    page.browser.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})");
    // A request that was already sent.
    page.browser.evaluate("new Promise((done) => setTimeout(done, 1000))");
    while page.browser.events.iter().any(|event| event["method"] == "Fetch.requestPaused") {
        page.samples(1, 1, &[]);
    }
    page.browser.evaluate("new Promise((done) => setTimeout(done, 1500))");
    let requests = page.browser.events.iter().filter(|event| event["method"] == "Fetch.requestPaused");
    assert_eq!(requests.count(), 0);
    page.browser.evaluate("delete document.hidden");
    let missed: Vec<_> = (2..=100u64).map(|at| sample(999 + i64::try_from(at).unwrap(), at)).collect();
    assert_eq!(page.samples(1, 100, &missed), 1);
    page.expect("messages", "1/s | 100 in total · 1 B/s");
}

#[test]
fn a_page_that_stays_open_keeps_ten_minutes_and_no_more() {
    if is_missing("chromium") {
        return;
    }
    let mut page = Scripted::open();
    let mut next = 0;
    let mut sizes = Vec::new();
    for _ in 0..2 {
        // Two hours.
        for _ in 0..12 {
            let samples: Vec<_> =
                (next..next + 600u64).map(|at| sample(i64::try_from(at).unwrap(), at)).collect();
            assert_eq!(page.samples(1, next + 600, &samples), next);
            next += 600;
        }
        page.browser.call("HeapProfiler.collectGarbage", json!({}));
        let heap = page.browser.call("Runtime.getHeapUsage", json!({}))["usedSize"].as_f64().unwrap();
        let nodes = page.browser.call("Memory.getDOMCounters", json!({}))["nodes"].as_u64().unwrap();
        sizes.push((heap, nodes));
    }
    let [(heap, nodes), (heap_later, nodes_later)] = sizes[..] else { unreachable!() };
    assert!(heap_later < heap + 500_000.0, "{heap} bytes, later {heap_later}");
    assert!(nodes_later <= nodes + 20, "{nodes} nodes, later {nodes_later}");
    eprintln!("{heap} bytes and {nodes} nodes, later {heap_later} and {nodes_later}");
}
