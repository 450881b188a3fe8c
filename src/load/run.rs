//! A run: its phases, and the event loop that drives them.
//!
//! ```text
//!  Opening ──▶ Settling ──▶ Warming ──▶ Driving ──▶ Draining ──▶ over
//! ```
//!
//! Connections are opened; the server gets time to close those it does not accept; messages are sent, at
//! first without being measured; then outstanding replies are awaited. A stop request leads from Warming and
//! Driving to Draining, and from the other phases to the end.

mod driving;
mod opening;
mod stages;

use std::io;

use self::stages::StageClock;
use super::closing::close_and_wait;
use super::idle_probe::IdleProbe;
use super::observer::Observer;
use super::options::LoadOptions;
use super::schedule::{SECOND_NS, Schedule};
use super::sources::SourceUse;
use super::traffic::{Context, Traffic};
use crate::load::error_kind::ErrorKind;
use crate::load::stats::ending::{EndedEarly, Silence, Stage};
use crate::load::stats::kernel_counters;
use crate::load::stats::tally::Tally;
use crate::net::{ClientNet, Token};
use crate::units::float;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Settling { until_ns: u64 },
    Warming { until_ns: u64 },
    Driving { until_ns: u64 },
    Draining { until_ns: u64 },
    Over,
}

/// What was measured in a run, except by its [`Tally`].
#[derive(Debug, Default)]
pub(crate) struct Measurements {
    /// Duration of the opening.
    pub(crate) open_ns: u64,
    /// Duration of the measured sending.
    pub(crate) drive_ns: u64,
    /// How much of it was spent waiting for events or for the next message, also by spinning.
    pub(crate) idle_ns: u64,
    /// Duration of the spinning, also in the warm-up.
    pub(crate) spin_ns: u64,
    /// Messages answered while sending, without heartbeats.
    pub(crate) answered: u64,
    /// Messages that were due and not sent when sending ended.
    pub(crate) never_sent: u64,
    /// A signal has ended the run.
    pub(crate) is_interrupted: bool,
    /// Why the run, or its opening, ended early, and in which part of it.
    pub(crate) ended_early: Option<(EndedEarly, Stage)>,
    /// Why the opening ended early, which `ended_early` may not name: the run may have ended early later.
    pub(crate) opening_ended_early: Option<EndedEarly>,
    /// The time since the last reply at the end of the run.
    pub(crate) silence: Silence,
    /// The error that ended opening before all connections were requested.
    pub(crate) stopped_opening: Option<ErrorKind>,
    /// Share of the measured time in which this process was ready to run and had no CPU, 0 to 1.
    pub(crate) waited_share: f64,
    /// Anonymous memory of a connection.
    pub(crate) bytes_per_connection: Option<f64>,
    /// Where connections were requested from.
    pub(crate) sources: Vec<SourceUse>,
    /// The groups of silent connections, if connections were probed.
    pub(crate) idle_probe: Option<IdleProbe>,
    /// Resident memory at the end, with all connections still open.
    pub(crate) rss_bytes: u64,
}

impl Measurements {
    fn end_opening_early(&mut self, reason: EndedEarly) {
        self.ended_early = Some((reason, Stage::Opening));
        self.opening_ended_early = Some(reason);
    }
}

/// How long this process has been ready to run without a CPU, until a moment.
#[derive(Debug, Clone, Copy, Default)]
struct Waiting {
    at_ns: u64,
    waited_ns: u64,
}

impl Waiting {
    /// The share of the time since `before`, 0 to 1.
    fn share_since(self, before: Self) -> f64 {
        let waited_ns = self.waited_ns.saturating_sub(before.waited_ns);
        let all_ns = self.at_ns.saturating_sub(before.at_ns);
        // The kernel's clock may differ slightly.
        if all_ns == 0 { 0.0 } else { (float(waited_ns) / float(all_ns)).min(1.0) }
    }
}

/// A run in progress.
pub(crate) struct Run<'a, N, T> {
    options: &'a LoadOptions,
    context: Context<N>,
    traffic: T,
    phase: Phase,
    measurements: Measurements,
    schedule: Option<Schedule>,
    /// When connections are requested; `None`: as fast as they are accepted.
    open_schedule: Option<Schedule>,
    stages: StageClock,
    /// The share of waiting of a stage is counted from here.
    stage_waited_from: Waiting,
    requested: u32,
    /// Connections to request: as many as the options say and descriptors allow.
    connections: u32,
    began_ns: u64,
    drive_began_ns: u64,
    next_second_ns: u64,
    next_report_ns: u64,
    /// [`Measurements::waited_share`] is counted from here.
    waited_from: Waiting,
    /// Connections that could not be opened, when the phase last looked.
    open_failed: u64,
    /// A number of connections, and the anonymous memory with these.
    memory_baseline: Option<(u64, u64)>,
}

impl<'a, N: ClientNet, T: Traffic<N>> Run<'a, N, T> {
    pub(crate) fn new(options: &'a LoadOptions, mut net: N, traffic: T, connections: u32) -> Self {
        let began_ns = net.now_ns();
        let stopped_opening = (connections < options.connections).then_some(ErrorKind::Descriptors);
        let mut measurements = Measurements { stopped_opening, ..Measurements::default() };
        if let Some(kind) = stopped_opening {
            measurements.end_opening_early(EndedEarly::of_opening(kind));
        }
        let tally = Tally::new(began_ns, !options.is_open_loop());
        // One-shot connections are opened with their messages.
        let requested = if options.one_shot { connections } else { 0 };
        let mut run = Self {
            options,
            context: Context { net, tally },
            traffic,
            phase: Phase::Opening,
            measurements,
            schedule: None,
            open_schedule: options.open_schedule(began_ns),
            stages: StageClock::default(),
            stage_waited_from: Waiting::default(),
            requested,
            connections,
            began_ns,
            drive_began_ns: began_ns,
            next_second_ns: began_ns + SECOND_NS,
            next_report_ns: began_ns,
            waited_from: Waiting::default(),
            open_failed: 0,
            memory_baseline: None,
        };
        run.begin_stages(&options.open_rate_stages, began_ns);
        run
    }

    /// Runs until the last phase is over.
    pub(crate) fn run(mut self, observer: &mut dyn Observer) -> io::Result<(Tally, Measurements)> {
        observer.began();
        let mut events = Vec::with_capacity(EVENTS_PER_TURN_MAX);
        let mut now_ns = self.context.net.now_ns();
        while self.phase != Phase::Over {
            let (began_ns, sent) = (now_ns, self.context.tally.counts().sent);
            self.advance(now_ns, observer);
            let overdue_ns = self.traffic.expire(&mut self.context, now_ns);
            // No event follows if these have ended the last connection.
            self.stop_if_hopeless(now_ns, observer);
            let until_ns = self.wait_until(now_ns, overdue_ns);
            // In an open loop, sending the due messages has taken time.
            let polling_ns = if self.schedule.is_some() { self.context.net.now_ns() } else { now_ns };
            // A stop request ends the sending after this wait.
            let was_sending = self.is_sending();
            // Only messages must not be late; a phase may end late.
            let spin = self.options.spin && self.schedule.is_some() && was_sending;
            let has_spun =
                self.context.net.poll_until(&mut events, EVENTS_PER_TURN_MAX, polling_ns, until_ns, spin)?;
            let (polled_ns, is_idle_poll) = (self.context.net.now_ns(), events.is_empty());
            let polled = if was_sending { polled_ns - polling_ns } else { 0 };
            self.measurements.idle_ns += polled;
            // What the events bring is in the next stage.
            self.continue_stages(polled_ns, observer);
            if events.iter().any(|event| event.token == Token::STOP) {
                for _ in 0..self.context.net.stop_requests() {
                    self.stop_early(observer);
                }
            }
            for event in events.drain(..) {
                self.traffic.on_event(&mut self.context, event);
            }
            self.traffic.resume(&mut self.context);
            now_ns = self.context.net.now_ns();
            if was_sending {
                // A turn without an event and without a message has only read the clock.
                let is_idle = is_idle_poll && sent == self.context.tally.counts().sent;
                self.measurements.idle_ns += if is_idle { now_ns - began_ns - polled } else { 0 };
                self.measurements.spin_ns += if is_idle && has_spun { now_ns - began_ns } else { 0 };
            }
            self.stop_if_hopeless(now_ns, observer);
            self.report(now_ns, observer);
            if cfg!(debug_assertions) {
                self.check();
            }
        }
        if matches!(self.measurements.ended_early, Some((_, Stage::WarmUp))) {
            // Nothing was measured: the warm-up is no result.
            let now_ns = self.context.net.now_ns();
            self.end_interval(now_ns, observer);
            self.context.tally.discard_messages(now_ns);
        }
        let now_ns = self.context.net.now_ns();
        self.end_stages(now_ns);
        self.report_last(observer);
        self.measurements.silence = self.silence();
        self.measurements.rss_bytes = kernel_counters::memory_bytes().0;
        self.measurements.sources = self.traffic.sources().uses();
        self.measurements.idle_probe = self.traffic.idle_probe().take();
        if self.options.awaits_close && !self.measurements.is_interrupted {
            close_and_wait(&mut self.context.net, self.traffic.into_streams())?;
        }
        Ok((self.context.tally, self.measurements))
    }

    /// Does what is due, and starts the next phase when this one is over.
    fn advance(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        match self.phase {
            Phase::Opening => self.continue_opening(now_ns, observer),
            Phase::Settling { .. } if self.context.tally.counts().open_failed != self.open_failed => {
                // The server has closed connections, and may close more.
                self.open_failed = self.context.tally.counts().open_failed;
                self.phase = Phase::Settling { until_ns: now_ns + SETTLE_NS };
            }
            Phase::Settling { until_ns } if now_ns >= until_ns => self.start_sending(now_ns, observer),
            Phase::Warming { until_ns } if now_ns >= until_ns => self.end_warm_up(now_ns, observer),
            Phase::Driving { until_ns } if now_ns >= until_ns => self.end_driving(now_ns, until_ns, observer),
            Phase::Warming { .. } | Phase::Driving { .. } => self.send_due(now_ns),
            Phase::Draining { until_ns } => {
                if now_ns >= until_ns || self.traffic.is_drained(&self.context.tally) {
                    self.phase = Phase::Over;
                }
            }
            Phase::Settling { .. } | Phase::Over => {}
        }
    }

    /// The time until which only events bring work.
    fn wait_until(&self, now_ns: u64, overdue_ns: Option<u64>) -> u64 {
        let phase_ns = match self.phase {
            Phase::Opening => self.open_next_at(now_ns),
            Phase::Settling { until_ns } => until_ns,
            Phase::Warming { until_ns } | Phase::Driving { until_ns } => {
                self.schedule.as_ref().map_or(until_ns, |schedule| schedule.next_ns().min(until_ns))
            }
            Phase::Draining { until_ns } if !self.traffic.is_drained(&self.context.tally) => until_ns,
            Phase::Draining { .. } | Phase::Over => now_ns,
        };
        let more_ns = if self.traffic.has_pending_work() { now_ns } else { u64::MAX };
        phase_ns
            .min(self.stages.next_ns())
            .min(self.next_second_ns)
            .min(overdue_ns.unwrap_or(u64::MAX))
            .min(more_ns)
    }

    /// Once a second: reports the progress.
    fn report(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        if now_ns < self.next_second_ns {
            return;
        }
        while self.next_second_ns <= now_ns {
            self.next_second_ns += SECOND_NS;
        }
        self.end_interval(now_ns, observer);
    }

    /// Reports the interval that is over, and starts the next.
    fn end_interval(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        let (second, times) = self.context.tally.close_interval(now_ns);
        observer.second(second, times);
        self.context.tally.begin_interval();
    }

    fn report_last(&mut self, observer: &mut dyn Observer) {
        let now_ns = self.context.net.now_ns();
        let (second, times) = self.context.tally.close_interval(now_ns);
        observer.second(second, times);
        observer.finished();
    }

    /// Asserts, in debug builds, what holds after each turn.
    fn check(&self) {
        let counts = self.context.tally.counts();
        counts.check();
        self.traffic.check(&self.context.tally);
        let known = counts.requested();
        debug_assert!(self.options.one_shot || known == u64::from(self.requested), "{counts:?}");
    }
}

/// Events taken from the poller in one turn.
const EVENTS_PER_TURN_MAX: usize = 1024;

/// Consecutive failures to connect after which no further connection is tried.
const CONSECUTIVE_FAILURES_MAX: u64 = 100;

/// How long to wait for the server to close connections that it has accepted and does not serve, after the
/// last one that it closed.
const SETTLE_NS: u64 = 50_000_000;

/// Interval of the progress reports while connections are opened.
const OPENING_REPORT_INTERVAL_NS: u64 = 100_000_000;

#[cfg(test)]
mod tests;
