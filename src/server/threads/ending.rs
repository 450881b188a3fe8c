//! What the main thread does while the others serve: it waits for signals, and ends the process.

#![expect(clippy::disallowed_methods, reason = "blocking threads read the clock themselves")]

use std::net::{Shutdown, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use socket2::SockRef;

use super::inherited::EndOfWaits;
use super::shared::{MainEvent, Shared};
use crate::conn::deadlines::Tick;
use crate::event_loop::LoopError;
use crate::net::notify::Notifier;
use crate::net::signals::Signals;

/// Between two samples.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// Why a wait has ended.
enum Waited {
    Signal,
    Drained,
    Timeout,
}

/// Reports to a service manager, if there is one.
pub(super) struct Reports {
    notifier: Option<Notifier>,
    started: Instant,
}

impl Reports {
    pub(super) fn to(notifier: Option<Notifier>) -> Self {
        Self { notifier, started: Instant::now() }
    }

    /// Reports what is due. Returns how long it may take until the next report.
    fn alive(&mut self, shared: &Shared) -> Option<Duration> {
        let notifier = self.notifier.as_mut()?;
        let now = Tick::after(self.started.elapsed());
        notifier.alive(now, shared.connections_served(), None);
        let wait = notifier.wait_ms(now).map(|ms| Duration::from_millis(ms.into()));
        // Connections come and go meanwhile.
        Some(wait.unwrap_or(SAMPLE_INTERVAL))
    }
}

/// What the main thread waits for, and what it reports.
pub(super) type Events<'a> = (&'a Receiver<MainEvent>, Reports);

/// Returns when the process is to end; threads end with it.
pub(super) fn wait_for_end(
    mut events: Events<'_>,
    listeners: &[Arc<TcpListener>],
    end_of_waits: EndOfWaits,
    shared: &Shared,
) -> Result<(), LoopError> {
    let events = &mut events;
    if let Some(notifier) = &mut events.1.notifier {
        notifier.ready(Tick::default());
    }
    while !matches!(wait(events, None, shared)?, Waited::Signal) {}
    shared.show_stopping();
    if let Some(notifier) = &events.1.notifier {
        notifier.stopping();
    }
    let delay = shared.limits.drain_delay;
    if !delay.is_zero() {
        log::info!("stopping in {} ms: everything is served until then", delay.as_millis());
        let until = Instant::now() + delay;
        loop {
            match wait(events, Some(until), shared)? {
                Waited::Signal => return end_with_unfinished(shared),
                Waited::Drained => {}
                Waited::Timeout => break,
            }
        }
    }
    let deadline = Instant::now() + shared.limits.drain_timeout;
    log::info!("stopping: {} open connections", shared.connections_served());
    shared.drain();
    let _ = end_of_waits.end();
    for listener in listeners {
        // Wakes the thread that waits in accept. From now on the kernel refuses new connections.
        let _ = SockRef::from(&**listener).shutdown(Shutdown::Both);
    }
    let mut lingering_until = Some(deadline.min(Instant::now() + shared.limits.drain_linger_timeout));
    while shared.connections() > 0 {
        match wait(events, Some(lingering_until.unwrap_or(deadline)), shared)? {
            Waited::Drained => {}
            Waited::Timeout if lingering_until.take().is_some() => shared.finish(),
            Waited::Signal | Waited::Timeout => return end_with_unfinished(shared),
        }
    }
    shared.check_journal_is_idle().map_err(LoopError::Journal)
}

fn end_with_unfinished(shared: &Shared) -> Result<(), LoopError> {
    // Idle connections are finished.
    shared.finish();
    match shared.unfinished() {
        0 => {}
        connections => log::warn!("stopped with unfinished connections: {connections}"),
    }
    shared.check_journal_is_idle().map_err(LoopError::Journal)
}

/// Waits for something that ends a phase, and does meanwhile what does not.
fn wait(
    (events, reports): &mut Events<'_>,
    until: Option<Instant>,
    shared: &Shared,
) -> Result<Waited, LoopError> {
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let sample = shared.is_measured().then_some(SAMPLE_INTERVAL);
        let timeout = [left, sample, reports.alive(shared)].into_iter().flatten().min();
        let event = match timeout {
            Some(timeout) => events.recv_timeout(timeout),
            None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match event {
            Ok(MainEvent::Signal) => return Ok(Waited::Signal),
            Ok(MainEvent::Drained) => return Ok(Waited::Drained),
            Ok(MainEvent::Hangup) => {
                shared.reopen_journal();
                if let Some(notifier) = &reports.notifier {
                    notifier.reloaded();
                }
            }
            Ok(MainEvent::Summary) => log::info!("counters: {}", shared.summary()),
            Ok(MainEvent::JournalFailed(error)) => return Err(LoopError::Journal(error)),
            Err(_) => {}
        }
        shared.publish();
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(Waited::Timeout);
        }
    }
}

/// Forwards signals to the main thread.
pub(super) fn forward_signals(
    mut stops: Signals,
    mut hangups: Signals,
    mut summaries: Signals,
    events: &Sender<MainEvent>,
) {
    loop {
        let mut waiting = [&stops, &hangups, &summaries].map(|signals| PollFd::new(signals, PollFlags::IN));
        // Interrupted or not: what has arrived is forwarded.
        let _ = poll(&mut waiting, None);
        let summary = (summaries.take() > 0).then_some(MainEvent::Summary);
        let hangup = (hangups.take() > 0).then_some(MainEvent::Hangup);
        let stops = (0..stops.take()).map(|_| MainEvent::Signal);
        for event in summary.into_iter().chain(hangup).chain(stops) {
            if events.send(event).is_err() {
                return;
            }
        }
    }
}
