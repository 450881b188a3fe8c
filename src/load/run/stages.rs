//! Stages of `--open-rate`, `--rate` and `--active`: where one ends and the next begins, and how many connections send.

use super::{Phase, Run};
use crate::load::observer::Observer;
use crate::load::profile::LoadStage;
use crate::load::schedule::SECOND_NS;
use crate::load::stats::tally::seconds;
use crate::load::traffic::Traffic;
use crate::net::ClientNet;

/// The stages of a phase of the run.
#[derive(Debug, Default)]
pub(super) struct StageClock {
    /// Whether a stage has begun and not ended.
    is_running: bool,
    /// When the current stage and those after it end, the last first. The last one ends with the phase.
    ends_ns: Vec<u64>,
    /// When the number of connections that send changes next.
    active_changes_ns: Option<u64>,
    /// When the current one began, and the idle time until then.
    began_ns: u64,
    idle_ns: u64,
}

impl StageClock {
    /// When the next change is due.
    pub(super) fn next_ns(&self) -> u64 {
        // Each turn calls this, mostly without stages.
        let ends_ns = self.ends_ns.last().copied().unwrap_or(u64::MAX);
        ends_ns.min(self.active_changes_ns.unwrap_or(u64::MAX))
    }
}

impl<N: ClientNet, T: Traffic<N>> Run<'_, N, T> {
    /// A phase with `stages` begins.
    pub(super) fn begin_stages(&mut self, stages: &[LoadStage], now_ns: u64) {
        if stages.is_empty() {
            return;
        }
        let mut next_ns = now_ns;
        let began_ns: Vec<u64> = stages
            .iter()
            .map(|stage| {
                let began_ns = next_ns;
                next_ns = began_ns.saturating_add(stage.length_ns());
                began_ns
            })
            .collect();
        let is_sending = matches!(self.phase, Phase::Driving { .. });
        let (stages, counts) = self.context.tally.stages_mut();
        stages.plan(&began_ns, is_sending, counts);
        self.stages.ends_ns = began_ns.into_iter().skip(1).rev().collect();
        self.begin_stage(now_ns);
    }

    fn begin_stage(&mut self, now_ns: u64) {
        self.stages.is_running = true;
        (self.stages.began_ns, self.stages.idle_ns) = (now_ns, self.measurements.idle_ns);
        // Seconds begin with the stage, so that it has no short ones.
        self.next_second_ns = now_ns + SECOND_NS;
        self.stage_waited_from = self.waiting();
        let (stages, counts) = self.context.tally.stages_mut();
        stages.begin(now_ns, *counts);
    }

    fn end_stage(&mut self, now_ns: u64) {
        let (length_ns, idle_ns) =
            (now_ns - self.stages.began_ns, self.measurements.idle_ns - self.stages.idle_ns);
        let is_measured = length_ns > 0 && matches!(self.phase, Phase::Driving { .. });
        let busy = is_measured.then(|| (1.0 - seconds(idle_ns) / seconds(length_ns)).clamp(0.0, 1.0));
        let waited = self.waiting().share_since(self.stage_waited_from);
        let (stages, counts) = self.context.tally.stages_mut();
        stages.end(now_ns, counts, busy, waited);
    }

    /// Ends the stages that are over, and sets the number of connections that send.
    pub(super) fn continue_stages(&mut self, now_ns: u64, observer: &mut dyn Observer) {
        if now_ns < self.stages.next_ns() {
            return;
        }
        let is_over = |stages: &StageClock| stages.ends_ns.last().is_some_and(|ends_ns| now_ns >= *ends_ns);
        if is_over(&self.stages) {
            // An interval is in one stage.
            self.end_interval(now_ns, observer);
        }
        while is_over(&self.stages) {
            self.end_stage(now_ns);
            self.stages.ends_ns.pop();
            self.begin_stage(now_ns);
        }
        self.set_active(now_ns);
    }

    /// The phase is over, and with it the current stage.
    pub(super) fn end_stages(&mut self, now_ns: u64) {
        if self.stages.is_running {
            self.end_stage(now_ns);
        }
        self.stages = StageClock::default();
    }

    /// Sets the number of connections that send at `now_ns`: before measuring, as at the beginning.
    pub(super) fn set_active(&mut self, now_ns: u64) {
        let stages = &self.options.active_stages;
        let is_measuring = matches!(self.phase, Phase::Driving { .. });
        let mut stage_began_ns = if is_measuring { self.drive_began_ns } else { now_ns };
        let current = stages.iter().find(|stage| {
            let is_current = now_ns < stage_began_ns + stage.length_ns();
            stage_began_ns += if is_current { 0 } else { stage.length_ns() };
            is_current
        });
        let Some(stage) = current else {
            self.stages.active_changes_ns = None;
            return;
        };
        let since_ns = now_ns - stage_began_ns;
        let change_ns = stage.next_change(since_ns).filter(|_| is_measuring);
        self.stages.active_changes_ns = change_ns.map(|change_ns| stage_began_ns + change_ns);
        let active = u32::try_from(stage.at(since_ns)).unwrap_or(u32::MAX);
        self.traffic.set_active(&mut self.context, active);
    }
}
