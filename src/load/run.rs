//! A run: the phases, and the turn of the loop that drives them.
//!
//! ```text
//!  Opening ──▶ Settling ──▶ Warming ──▶ Driving ──▶ Draining ──▶ over
//! ```
//!
//! Connections are opened; whoever the server does not want is let go; messages are sent, at first without
//! being measured; then they are sent no more, and what is on its way is waited for. Being asked to stop
//! leads to Draining from anywhere, and from there to the end.

use std::io;

use super::options::LoadOptions;
use super::schedule::{SECOND_NS, Schedule};
use super::summary::Second;
use super::tally::{Tally, Times};
use super::traffic::{Scene, Traffic};
use super::trouble::Trouble;
use super::usage;
use crate::net::{Dial, Token};

/// Somebody who is told how a run goes.
pub trait Observer {
    /// Some connections more are open; more than once a second, and only while they are being opened.
    fn opening(&mut self, opened: u64, asked: u64, elapsed_seconds: f64) {
        let _ = (opened, asked, elapsed_seconds);
    }

    /// Connections are open, and messages are sent from now on.
    fn driving(&mut self) {}

    /// Messages are measured from now on: what came before was to warm up.
    fn measuring(&mut self) {}

    /// The last message that is measured has been sent; replies may be on their way. What this takes, they
    /// wait.
    fn measured(&mut self) {}

    /// The run is over, and its connections are still open.
    fn over(&mut self) {}

    /// A second is over. `times` are those of this second alone, in nanoseconds.
    fn second(&mut self, second: &Second, times: &Times) {
        let _ = (second, times);
    }
}

/// Nobody.
impl Observer for () {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Settling { until_ns: u64 },
    Warming { until_ns: u64 },
    Driving { until_ns: u64 },
    Draining { until_ns: u64 },
    Over,
}

/// What is known of a run once it is over.
pub(crate) struct Course {
    pub(crate) tally: Tally,
    /// Time that opening took, in nanoseconds.
    pub(crate) open_ns: u64,
    /// Time in which messages were sent and measured.
    pub(crate) drive_ns: u64,
    /// Of it, time that was spent waiting.
    pub(crate) idle_ns: u64,
    /// Messages answered in it.
    pub(crate) answered: u64,
    /// Messages on schedule in it that it was too late for.
    pub(crate) never_sent: u64,
    /// Somebody has asked to stop.
    pub(crate) is_interrupted: bool,
    /// What stopped opening before all connections were asked for.
    pub(crate) stopped_opening: Option<Trouble>,
    /// Time in which this process was ready to run and had no processor.
    pub(crate) waited_ns: u64,
    /// Own memory of each further connection, in bytes.
    pub(crate) bytes_per_connection: Option<f64>,
}

/// A run under way.
pub(crate) struct Run<'a, N, T> {
    options: &'a LoadOptions,
    net: N,
    traffic: T,
    phase: Phase,
    course: Course,
    schedule: Option<Schedule>,
    asked_for: u32,
    /// Connections to be asked for: what the options say, or what there are descriptors for.
    connections: u32,
    began_ns: u64,
    drive_began_ns: u64,
    next_second_ns: u64,
    next_look_ns: u64,
    waited_before_ns: u64,
    /// Connections that could not be opened, when that was last looked at.
    not_opened: u64,
    /// With so many connections, so many bytes of own memory.
    first_bytes: Option<(u64, u64)>,
}

impl<'a, N: Dial, T: Traffic<N>> Run<'a, N, T> {
    pub(crate) fn new(options: &'a LoadOptions, mut net: N, traffic: T, connections: u32) -> Self {
        let began_ns = net.now_ns();
        let course = Course {
            tally: Tally::new(began_ns, options.rate.is_none()),
            open_ns: 0,
            drive_ns: 0,
            idle_ns: 0,
            answered: 0,
            never_sent: 0,
            is_interrupted: false,
            stopped_opening: (connections < options.connections).then_some(Trouble::Descriptors),
            waited_ns: 0,
            bytes_per_connection: None,
        };
        // Where each message has its own connection, there is none to be opened before.
        let asked_for = if options.is_one_shot() { connections } else { 0 };
        Self {
            options,
            net,
            traffic,
            phase: Phase::Opening,
            course,
            schedule: None,
            asked_for,
            connections,
            began_ns,
            drive_began_ns: began_ns,
            next_second_ns: began_ns + SECOND_NS,
            next_look_ns: began_ns,
            waited_before_ns: 0,
            not_opened: 0,
            first_bytes: None,
        }
    }

    /// Runs to the end.
    pub(crate) fn go(mut self, observer: &mut dyn Observer) -> io::Result<Course> {
        let mut events = Vec::with_capacity(EVENTS_PER_TURN_MAX);
        let mut now_ns = self.net.now_ns();
        while self.phase != Phase::Over {
            let (began_ns, sent) = (now_ns, self.course.tally.count.sent);
            self.advance(now_ns, observer);
            let overdue_ns = self.traffic.expire(&mut scene(&mut self.net, &mut self.course.tally), now_ns);
            let until_ns = self.wait_until(now_ns, overdue_ns);
            // In an open loop, sending what was due has taken its time.
            let asked_ns = if self.schedule.is_some() { self.net.now_ns() } else { now_ns };
            self.net.poll_until(&mut events, EVENTS_PER_TURN_MAX, asked_ns, until_ns)?;
            let (polled_ns, is_quiet) = (self.net.now_ns(), events.is_empty());
            if events.iter().any(|event| event.token == Token::STOP) {
                for _ in 0..self.net.stop_requests() {
                    self.stop_early(observer);
                }
            }
            let mut scene = scene(&mut self.net, &mut self.course.tally);
            for event in events.drain(..) {
                self.traffic.ready(&mut scene, event);
            }
            self.traffic.go_on(&mut scene);
            now_ns = self.net.now_ns();
            if self.is_sending() {
                // A turn in which nothing came and nothing was sent has only looked at the clock.
                let is_idle = is_quiet && sent == self.course.tally.count.sent;
                self.course.idle_ns += if is_idle { now_ns - began_ns } else { polled_ns - asked_ns };
            }
            if self.is_sending() && self.traffic.failed_in_a_row() >= FAILED_IN_A_ROW_MAX {
                self.stop_sending(now_ns, observer);
            }
            self.tell(now_ns, observer);
        }
        self.tell_the_rest(observer);
        Ok(self.course)
    }

    /// Does what is due now, and goes on to the next phase where this one is over.
    fn advance(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        match self.phase {
            Phase::Opening => {
                self.open(now_ns);
                let opened = self.course.tally.count.opened;
                if self.first_bytes.is_none() && opened >= CONNECTIONS_TO_WEIGH {
                    self.first_bytes = Some((opened, usage::memory_bytes().1));
                }
                if now_ns >= self.next_look_ns {
                    self.next_look_ns = now_ns + LOOK_NS;
                    let asked = self.options.connections.into();
                    observer.opening(opened, asked, self.elapsed(now_ns));
                }
                if self.is_opened() {
                    self.course.open_ns = now_ns - self.began_ns;
                    let settle_ns = if self.options.is_one_shot() { 0 } else { SETTLE_NS };
                    self.not_opened = self.course.tally.count.not_opened;
                    self.phase = Phase::Settling { until_ns: now_ns + settle_ns };
                }
            }
            Phase::Settling { .. } if self.course.tally.count.not_opened != self.not_opened => {
                // There may be more that the server does not want.
                self.not_opened = self.course.tally.count.not_opened;
                self.phase = Phase::Settling { until_ns: now_ns + SETTLE_NS };
            }
            Phase::Settling { until_ns } if now_ns >= until_ns => self.begin(now_ns, observer),
            Phase::Warming { until_ns } if now_ns >= until_ns => self.begin_to_measure(now_ns, observer),
            Phase::Driving { until_ns } if now_ns >= until_ns => {
                // What was due before the end is sent, however late it is by now.
                self.send_due(now_ns.min(until_ns));
                let is_behind = self.schedule.as_ref().is_some_and(|schedule| schedule.next_ns() < until_ns);
                if !is_behind || now_ns >= until_ns + GRACE_NS {
                    self.stop_sending(now_ns, observer);
                }
            }
            Phase::Warming { .. } | Phase::Driving { .. } => self.send_due(now_ns),
            Phase::Draining { until_ns } => {
                if now_ns >= until_ns || self.traffic.is_quiet(&self.course.tally) {
                    self.phase = Phase::Over;
                }
            }
            Phase::Settling { .. } | Phase::Over => {}
        }
    }

    /// Asks for as many connections as may be on their way at once, and as the rate allows.
    fn open(&mut self, now_ns: u64) {
        let allowed = match self.options.open_rate {
            None => u64::MAX,
            Some(rate) => 1 + mul_div(now_ns - self.began_ns, rate, SECOND_NS),
        };
        for _ in 0..OPENED_PER_TURN_MAX {
            let may_ask = self.asked_for < self.connections
                && u64::from(self.asked_for) < allowed
                && self.traffic.connecting() < HANDSHAKES_MAX;
            if !may_ask {
                return;
            }
            self.asked_for += 1;
            let stopped =
                self.traffic.open_next(&mut scene(&mut self.net, &mut self.course.tally)).or_else(|| {
                    // So many in a row will go on failing.
                    let is_hopeless = self.traffic.failed_in_a_row() >= FAILED_IN_A_ROW_MAX;
                    is_hopeless.then(|| self.course.tally.not_opened_for()).flatten()
                });
            if stopped.is_some() {
                self.course.stopped_opening = stopped;
                self.connections = self.asked_for;
            }
        }
    }

    fn is_opened(&self) -> bool {
        self.asked_for >= self.connections && self.traffic.connecting() == 0 || self.options.is_one_shot()
    }

    /// Connections are open: messages may be sent.
    fn begin(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        let opened = self.course.tally.count.opened;
        self.weigh(opened);
        observer.driving();
        if opened == 0 && !self.options.is_one_shot() {
            self.phase = Phase::Over;
            return;
        }
        let warmup_ns = nanoseconds(self.options.warmup);
        self.schedule = self.options.rate.map(|rate| Schedule::new(now_ns, rate, self.options.arrivals));
        self.traffic.start(&mut scene(&mut self.net, &mut self.course.tally));
        if warmup_ns > 0 {
            self.drive_began_ns = now_ns;
            self.phase = Phase::Warming { until_ns: now_ns + warmup_ns };
        } else {
            self.drive(now_ns, observer);
        }
    }

    /// What connections cost beyond the first thousand, which fill pages that are there already.
    fn weigh(&mut self, opened: u64) {
        let Some((few, few_bytes)) = self.first_bytes.filter(|(few, _)| opened >= few * 4) else { return };
        let bytes = usage::memory_bytes().1.saturating_sub(few_bytes);
        #[expect(clippy::cast_precision_loss, reason = "memory and connections are far below 2^52")]
        let slope = bytes as f64 / (opened - few) as f64;
        self.course.bytes_per_connection = Some(slope);
    }

    fn begin_to_measure(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        self.course.tally.forget_messages();
        if self.options.is_one_shot() {
            self.course.tally.forget_connections();
        }
        self.drive(now_ns, observer);
    }

    fn drive(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        observer.measuring();
        self.phase = Phase::Driving { until_ns: now_ns + nanoseconds(self.options.duration) };
        self.drive_began_ns = now_ns;
        self.course.idle_ns = 0;
        self.waited_before_ns = usage::scheduled().waited_ns;
    }

    /// Sends what is due before `until_ns`.
    fn send_due(&mut self, until_ns: u64) {
        let Some(schedule) = &mut self.schedule else { return };
        for _ in 0..SENT_PER_TURN_MAX {
            let due_ns = schedule.next_ns();
            if due_ns >= until_ns {
                return;
            }
            schedule.take();
            // The message before may have taken its time.
            let now_ns = self.net.now_ns();
            let mut scene = scene(&mut self.net, &mut self.course.tally);
            scene.tally.lagged(now_ns.saturating_sub(due_ns));
            self.traffic.send_due(&mut scene, due_ns, now_ns);
        }
    }

    fn stop_sending(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        observer.measured();
        if let (Some(schedule), Phase::Driving { until_ns }) = (&mut self.schedule, self.phase) {
            while schedule.next_ns() < until_ns && schedule.next_ns() < now_ns {
                schedule.take();
                self.course.never_sent += 1;
            }
        }
        self.traffic.stop(&mut scene(&mut self.net, &mut self.course.tally));
        self.course.drive_ns = now_ns - self.drive_began_ns;
        self.course.waited_ns = usage::scheduled().waited_ns.saturating_sub(self.waited_before_ns);
        self.course.answered = self.course.tally.count.answered;
        self.phase = Phase::Draining { until_ns: now_ns + nanoseconds(self.options.drain_timeout) };
    }

    /// Somebody asks to stop: once to let what is on its way come, twice at once.
    fn stop_early(&mut self, observer: &mut dyn Observer) {
        let now_ns = self.net.now_ns();
        self.course.is_interrupted = true;
        match self.phase {
            Phase::Opening | Phase::Settling { .. } => {
                self.course.open_ns = now_ns - self.began_ns;
                self.phase = Phase::Over;
            }
            Phase::Warming { .. } | Phase::Driving { .. } => self.stop_sending(now_ns, observer),
            Phase::Draining { .. } | Phase::Over => self.phase = Phase::Over,
        }
    }

    fn is_sending(&self) -> bool {
        matches!(self.phase, Phase::Warming { .. } | Phase::Driving { .. })
    }

    /// Until when there is nothing to do but what events bring.
    fn wait_until(&self, now_ns: u64, overdue_ns: Option<u64>) -> u64 {
        let phase_ns = match self.phase {
            Phase::Opening => match self.options.open_rate {
                Some(rate) if self.asked_for < self.connections => {
                    let next_ns = self.began_ns + mul_div(self.asked_for.into(), SECOND_NS, rate);
                    if self.traffic.connecting() < HANDSHAKES_MAX { next_ns } else { self.next_look_ns }
                }
                None if self.asked_for < self.connections && self.traffic.connecting() < HANDSHAKES_MAX => {
                    now_ns
                }
                _ => {
                    if self.is_opened() {
                        now_ns
                    } else {
                        self.next_look_ns
                    }
                }
            },
            Phase::Settling { until_ns } => until_ns,
            Phase::Warming { until_ns } | Phase::Driving { until_ns } => {
                self.schedule.as_ref().map_or(until_ns, |schedule| schedule.next_ns().min(until_ns))
            }
            Phase::Draining { until_ns } if !self.traffic.is_quiet(&self.course.tally) => until_ns,
            Phase::Draining { .. } | Phase::Over => now_ns,
        };
        let more_ns = if self.traffic.has_more() { now_ns } else { u64::MAX };
        phase_ns.min(self.next_second_ns).min(overdue_ns.unwrap_or(u64::MAX)).min(more_ns)
    }

    /// Once a second: says how it goes, and looks whether it can.
    fn tell(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        if now_ns < self.next_second_ns {
            return;
        }
        while self.next_second_ns <= now_ns {
            self.next_second_ns += SECOND_NS;
        }
        let (second, times) = self.course.tally.close_interval(now_ns);
        observer.second(second, times);
        self.course.tally.begin_interval();
        if self.options.target.service_name().is_some() && self.is_sending() && !self.traffic.is_usable() {
            self.stop_sending(now_ns, observer);
        }
    }

    fn tell_the_rest(&mut self, observer: &mut dyn Observer) {
        let now_ns = self.net.now_ns();
        let (second, times) = self.course.tally.close_interval(now_ns);
        observer.second(second, times);
        observer.over();
    }

    fn elapsed(&self, now_ns: u64) -> f64 {
        super::tally::seconds(now_ns - self.began_ns)
    }
}

fn scene<'a, N>(net: &'a mut N, tally: &'a mut Tally) -> Scene<'a, N> {
    Scene { net, tally }
}

/// `number * times / by`, without running over in between.
fn mul_div(number: u64, times: u64, by: u64) -> u64 {
    u64::try_from(u128::from(number) * u128::from(times) / u128::from(by)).unwrap_or(u64::MAX)
}

fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Events taken from the poller at once.
const EVENTS_PER_TURN_MAX: usize = 1024;

/// Connections that may be on their way at once. A backlog of 128, which many servers have, takes them.
const HANDSHAKES_MAX: u32 = 128;

/// Connections asked for before the poller is asked what has become of them.
const OPENED_PER_TURN_MAX: u32 = 64;

/// Messages sent before replies are read again.
const SENT_PER_TURN_MAX: u32 = 256;

/// After so many failures to connect in a row, no further connection is tried.
const FAILED_IN_A_ROW_MAX: u32 = 100;

/// How long messages that were due before the end may be sent after it, if it is too late for them.
const GRACE_NS: u64 = 100_000_000;

/// How long the server is given to close connections that it has accepted and does not want; from the last
/// one on, since a server that closes one will close more.
const SETTLE_NS: u64 = 50_000_000;

/// How often an observer hears of connections being opened.
const LOOK_NS: u64 = 100_000_000;

/// With fewer connections, what they cost is lost in pages that are only partly used.
const CONNECTIONS_TO_WEIGH: u64 = 1000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::exchange::Exchange;
    use super::super::fake_net::FakeNet;
    use super::super::sources::Sources;
    use super::super::streams::Streams;
    use super::super::traffic::Plan;
    use super::*;
    use crate::frame;
    use crate::service::Kind;
    use crate::service::message::ACKNOWLEDGEMENT;

    const MS: u64 = 1_000_000;

    fn options(change: impl FnOnce(&mut LoadOptions)) -> LoadOptions {
        let mut options = LoadOptions::of("message".parse().unwrap());
        (options.connections, options.duration) = (4, Duration::from_secs(2));
        change(&mut options);
        options
    }

    fn net() -> FakeNet {
        let mut reply = Vec::new();
        frame::append(ACKNOWLEDGEMENT, &mut reply);
        FakeNet { request_bytes: 90, reply, ..FakeNet::default() }
    }

    fn course(options: &LoadOptions, net: FakeNet) -> Course {
        course_seen_by(&mut (), options, net)
    }

    fn course_seen_by(observer: &mut dyn Observer, options: &LoadOptions, net: FakeNet) -> Course {
        let target = "127.0.0.1:9".parse().unwrap();
        let plan = Plan {
            active: options.connections,
            pipeline: options.rate.is_none().then_some(options.pipeline),
            one_shot: false,
            timeout_ns: SECOND_NS,
        };
        let exchange = Exchange::of(Kind::named("message").unwrap(), options.body_bytes);
        let sources = Sources::new(&[], target, 1);
        let streams = Streams::new(plan, target, sources, exchange, options.connections as usize);
        Run::new(options, net, streams, options.connections).go(observer).unwrap()
    }

    #[test]
    fn messages_are_sent_when_they_are_due_while_the_server_stalls() {
        let options = options(|it| it.rate = Some(1000));
        let stall_ns = (500 * MS, 1500 * MS);
        let course = course(&options, FakeNet { stall_ns, ..net() });
        let count = course.tally.count;
        assert_eq!((count.sent, count.answered, course.never_sent), (2000, 2000, 0));
        let (_, times, ..) = course.tally.into_parts();
        assert_eq!(times.lag.len(), 2000);
        assert!(times.lag.max() < 1000, "{}", times.lag.max());
        // As many as were due in the stall have waited for its end, one longer than the next.
        assert_eq!(times.response.len() - times.response.count_between(0, MS / 2), 1000);
        assert!(times.response.max().abs_diff(1000 * MS) <= MS, "{}", times.response.max());
        assert!(times.response.value_at_percentile(75.0).abs_diff(500 * MS) <= MS);
    }

    #[test]
    fn a_generator_that_slept_sends_late_and_says_so() {
        let options = options(|it| it.rate = Some(1000));
        let course = course(&options, FakeNet { sleep_ns: Some((500 * MS, 1500 * MS)), ..net() });
        assert_eq!((course.tally.count.sent, course.never_sent), (2000, 0));
        let (_, times, ..) = course.tally.into_parts();
        assert!(times.lag.max().abs_diff(1000 * MS) <= MS, "{}", times.lag.max());
        // Nobody but the generator was slow.
        assert!(times.service.max() < MS, "{}", times.service.max());
        assert!(times.response.max().abs_diff(1000 * MS) <= MS, "{}", times.response.max());
    }

    #[test]
    fn what_was_due_long_before_the_end_and_can_not_be_sent_is_counted() {
        let options = options(|it| it.rate = Some(1000));
        let course = course(&options, FakeNet { sleep_ns: Some((500 * MS, 3000 * MS)), ..net() });
        // What one turn sends is sent all the same.
        let sent = course.tally.count.sent;
        assert!(sent < 2000 && sent + course.never_sent == 2000, "{sent}, {}", course.never_sent);
    }

    #[test]
    fn a_closed_loop_waits_for_a_server_that_stalls() {
        #[derive(Default)]
        struct Slow(u64);
        impl Observer for Slow {
            fn second(&mut self, _: &Second, times: &Times) {
                self.0 += times.response.len() - times.response.count_between(0, MS / 2);
            }
        }
        let options = options(|it| (it.duration, it.connections) = (Duration::from_millis(100), 2));
        // The clock of this network goes on only when nothing is to be done, so it has to stall all along.
        let mut slow = Slow::default();
        let stall_ns = (0, 80 * MS);
        let course =
            course_seen_by(&mut slow, &options, FakeNet { stall_ns, stop_at_ns: Some(80 * MS), ..net() });
        assert_eq!((course.tally.count.answered, course.tally.count.in_flight()), (2, 0));
        assert_eq!(slow.0, 2);
    }

    #[test]
    fn the_warm_up_counts_for_nothing() {
        #[derive(Default)]
        struct Told(Vec<&'static str>);
        impl Observer for Told {
            fn driving(&mut self) {
                self.0.push("driving");
            }
            fn measuring(&mut self) {
                self.0.push("measuring");
            }
        }
        let options = options(|it| {
            (it.rate, it.warmup) = (Some(1000), Duration::from_millis(700));
        });
        let mut told = Told::default();
        let course = course_seen_by(&mut told, &options, net());
        let count = course.tally.count;
        assert_eq!((count.sent, count.answered), (2000, 2000));
        assert_eq!((course.answered, course.drive_ns / MS), (2000, 2000));
        assert_eq!(course.tally.into_parts().1.response.len(), 2000);
        assert_eq!(told.0, ["driving", "measuring"]);
    }

    #[test]
    fn stopping_while_it_warms_up_tells_how_long_that_took() {
        let options = options(|it| {
            (it.rate, it.warmup, it.open_rate) = (Some(1000), Duration::from_secs(9), Some(2));
        });
        let course = course(&options, FakeNet { stop_at_ns: Some(2000 * MS), ..net() });
        // Four connections at two a second, and the time given to those that are not wanted.
        assert_eq!(course.open_ns / MS, 1500);
        assert_eq!(course.drive_ns.div_ceil(MS), 450);
        assert!(course.is_interrupted);
    }

    #[test]
    fn replies_that_do_not_come_are_waited_for_until_the_drain_timeout() {
        let options = options(|it| it.duration = Duration::from_secs(1));
        let mut told = Seconds::default();
        let course = course_seen_by(&mut told, &options, FakeNet::default());
        assert_eq!((course.tally.count.sent, course.tally.count.in_flight()), (4, 4));
        // Settling, driving and draining, in seconds that are told one by one.
        let lengths: f64 = told.0.iter().sum();
        assert!((lengths - 3.05).abs() < 1e-6, "{:?}", told.0);
        assert_eq!(told.0.len(), 4);
    }

    #[derive(Default)]
    struct Seconds(Vec<f64>);

    impl Observer for Seconds {
        fn second(&mut self, second: &Second, _: &Times) {
            self.0.push(second.length_seconds);
        }
    }

    #[test]
    fn numbers_do_not_run_over_on_the_way() {
        assert_eq!(mul_div(u64::MAX, 3, 3), u64::MAX);
        assert_eq!(mul_div(u64::MAX, 3, 1), u64::MAX);
        assert_eq!(mul_div(7, 10, 4), 17);
    }
}
