//! How quiet this machine is, measured before the comparison, and what that allows.
//!
//! The same amount of work is repeated on the processors of the server and on that of the generator. On a quiet machine
//! it always takes the same time.

#![expect(clippy::disallowed_methods, reason = "it measures how long the same work takes")]

use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

use procfs::{CpuTime, Current, CurrentSI, KernelStats, Meminfo};
use serde::Serialize;

use super::analysis::verdict::{Looks, smallest_difference};
use super::cores::Cores;
use super::process_stats::cpu_us;
use crate::load::stats::kernel_counters::scheduler_times;
use crate::report::format;
use crate::units::float;

/// How quiet the machine is. Shares are from 0 to 1.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Quietness {
    /// The conclusion.
    pub level: Level,
    /// Share of the time in which the probe was ready to run and had no processor.
    pub waited: f64,
    /// Share of the time of all processors that other programs used.
    pub other_programs: Option<f64>,
    /// Share of the time of all processors that the hypervisor gave to other machines.
    pub stolen: Option<f64>,
    /// Standard deviation of the time of the same work, relative to its mean.
    pub time_spread: f64,
    /// The same of its CPU time.
    pub cpu_spread: f64,
    /// Growth of the kernel's memory that cannot be distinguished from other activity, in bytes.
    pub kernel_noise_bytes: f64,
    /// What the machine allows, in a sentence.
    pub sentence: String,
}

/// A rough conclusion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) enum Level {
    /// Other programs hardly run.
    #[default]
    Quiet,
    /// Other programs run at times.
    Disturbed,
    /// Other programs use much of the processors.
    Busy,
}

/// What a probe has seen on some processors.
#[derive(Debug, Default)]
struct Probe {
    /// Time and CPU time of each piece of work, in microseconds.
    pieces: Vec<[f64; 2]>,
    /// Share of the time, 0 to 1.
    waited: f64,
}

impl Quietness {
    /// Measures for less than a second, and pins this thread to the processor of the generator. `pairs` of runs are
    /// planned.
    pub(super) fn measure(cores: &Cores, pairs: u32, looks: Looks) -> Self {
        let (before, own_before) = (KernelStats::current().ok(), cpu_us(std::process::id()));
        let mut memory = vec![kernel_memory()];
        let probes = [(); 2].map(|()| {
            memory.push(kernel_memory());
            // The first probe runs where the server will.
            if memory.len() == 2 { cores.as_server(Probe::run) } else { Probe::run() }
        });
        memory.push(kernel_memory());
        let own_us = cpu_us(std::process::id()).zip(own_before).map_or(0.0, |(after, before)| after - before);
        let after = KernelStats::current().ok();
        let times = before.zip(after).and_then(|(before, after)| shares(&before.total, &after.total, own_us));
        Self::of(&probes, times, range(&memory), pairs, looks)
    }

    /// The worse of both probes.
    fn of(probes: &[Probe], times: Option<[f64; 2]>, noise: f64, pairs: u32, looks: Looks) -> Self {
        let worst = |of: &dyn Fn(&Probe) -> f64| probes.iter().map(of).fold(0.0, f64::max);
        let [time_spread, cpu_spread] =
            [0, 1].map(|which| worst(&|probe| spread(probe.pieces.iter().map(|piece| piece[which]))));
        let waited = worst(&|probe| probe.waited);
        let other = times.map_or(0.0, |[other, stolen]| other + stolen);
        let level = if waited > 0.1 || time_spread > 0.2 || other > 0.25 {
            Level::Busy
        } else if waited > 0.02 || time_spread > 0.05 || other > 0.1 {
            Level::Disturbed
        } else {
            Level::Quiet
        };
        let mut it = Self {
            level,
            waited,
            other_programs: times.map(|[other, _]| other),
            stolen: times.map(|[_, stolen]| stolen),
            time_spread,
            cpu_spread,
            kernel_noise_bytes: (2.0 * noise).max(KERNEL_NOISE_MIN),
            sentence: String::new(),
        };
        it.sentence = it.describe(pairs, looks);
        it
    }

    fn describe(&self, pairs: u32, looks: Looks) -> String {
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        let other = self.other_programs.map_or_else(String::new, |share| {
            format!("other programs use {} of the processors, ", percent(share))
        });
        let allowed = |spread: f64| {
            // Both runs of a pair are disturbed.
            smallest_difference(spread * std::f64::consts::SQRT_2, pairs as usize, looks).map(|ratio| {
                match ratio {
                    few if few < 2.0 => percent(few - 1.0),
                    some if some < 10.0 => format!("{} times", format::number(some)),
                    _ => "10 times or more".into(),
                }
            })
        };
        let decided = match (allowed(self.cpu_spread), allowed(self.time_spread)) {
            (Some(cpu), Some(rate)) => format!(
                "{pairs} pairs of runs decide differences from about {cpu} in CPU time a message and {rate} in rate"
            ),
            _ => "one pair of runs decides nothing".into(),
        };
        format!(
            "the machine is {}: {other}a probe waited {} of the time for a processor, and the same work took ±{}; \
             {decided}",
            self.level,
            percent(self.waited),
            percent(self.time_spread),
        )
    }
}

impl Probe {
    fn run() -> Self {
        let mut iterations = 1 << 12;
        while time_of(iterations) < PIECE_MIN {
            iterations *= 2;
        }
        let (began, waited_before) = (Instant::now(), scheduler_times().waited_ns);
        let mut pieces = Vec::new();
        while pieces.len() < PIECES_MIN || began.elapsed() < PROBE_TIME {
            let own = std::process::id();
            let (at, cpu) = (Instant::now(), cpu_us(own).unwrap_or(0.0));
            work(iterations);
            pieces.push([at.elapsed().as_secs_f64() * 1e6, cpu_us(own).unwrap_or(0.0) - cpu]);
        }
        let waited_ns = scheduler_times().waited_ns.saturating_sub(waited_before);
        let waited = (float(waited_ns) / 1e9 / began.elapsed().as_secs_f64()).min(1.0);
        Self { pieces, waited }
    }
}

fn time_of(iterations: u64) -> Duration {
    let began = Instant::now();
    work(iterations);
    began.elapsed()
}

/// Arithmetic in which each step needs the one before.
fn work(iterations: u64) {
    let mut x = 1u64;
    for _ in 0..iterations {
        x = black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

/// The shares of other programs and of the hypervisor in the time of all processors.
fn shares(before: &CpuTime, after: &CpuTime, own_us: f64) -> Option<[f64; 2]> {
    let busy = |it: &CpuTime| it.user + it.nice + it.system + it.irq.unwrap_or(0) + it.softirq.unwrap_or(0);
    let stolen = |it: &CpuTime| it.steal.unwrap_or(0);
    let all = |it: &CpuTime| busy(it) + stolen(it) + it.idle + it.iowait.unwrap_or(0);
    let growth = |of: &dyn Fn(&CpuTime) -> u64| float(of(after).saturating_sub(of(before)));
    let ticks = growth(&all);
    let own_ticks = own_us / 1e6 * float(procfs::ticks_per_second());
    (ticks > 0.0).then(|| {
        [(growth(&busy) - own_ticks).max(0.0) / ticks, growth(&stolen) / ticks].map(|share| share.min(1.0))
    })
}

/// Kernel stacks and slab memory, in bytes.
fn kernel_memory() -> [f64; 2] {
    let memory = Meminfo::current().ok();
    let stacks = memory.as_ref().and_then(|memory| memory.kernel_stack).unwrap_or(0);
    [float(stacks), float(memory.map_or(0, |memory| memory.slab))]
}

/// The larger of the ranges of both.
fn range(memory: &[[f64; 2]]) -> f64 {
    let of = |which: usize| {
        let (low, high) =
            memory.iter().fold((f64::MAX, 0f64), |(low, high), it| (low.min(it[which]), high.max(it[which])));
        (high - low).max(0.0)
    };
    of(0).max(of(1))
}

/// The standard deviation, relative to the mean.
fn spread(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = float(values.clone().count() as u64);
    let mean = values.clone().sum::<f64>() / n;
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    if n > 1.0 && mean > 0.0 { (squares / (n - 1.0)).sqrt() / mean } else { 0.0 }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quiet => "quiet",
            Self::Disturbed => "disturbed",
            Self::Busy => "busy",
        })
    }
}

/// The shortest piece of work: long enough that reading the clocks takes no share of it.
const PIECE_MIN: Duration = Duration::from_millis(8);

/// The time of a probe.
const PROBE_TIME: Duration = Duration::from_millis(200);

/// Pieces of work on a machine that is too slow to do more.
const PIECES_MIN: usize = 4;

/// The kernel allocates slabs in pages and keeps some of them, so a smaller growth means nothing.
const KERNEL_NOISE_MIN: f64 = 131_072.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(times: &[f64], waited: f64) -> Probe {
        Probe { pieces: times.iter().map(|time| [*time, 100.0]).collect(), waited }
    }

    #[test]
    fn the_same_time_for_the_same_work_is_quiet() {
        let quiet = || probe(&[100.0, 101.0, 99.0, 100.0], 0.0);
        let it = Quietness::of(&[quiet(), quiet()], Some([0.02, 0.0]), 1000.0, 3, Looks::Once);
        assert_eq!(it.level, Level::Quiet);
        assert_eq!(
            it.sentence,
            "the machine is quiet: other programs use 2 % of the processors, a probe waited 0 % of the time for a \
             processor, and the same work took ±1 %; 3 pairs of runs decide differences from about 3 % in CPU time a \
             message and 6 % in rate"
        );
        assert!((it.kernel_noise_bytes - KERNEL_NOISE_MIN).abs() < 1e-9);
    }

    #[test]
    fn the_worse_processor_counts() {
        let (quiet, busy) = (probe(&[100.0, 100.0], 0.0), probe(&[100.0, 200.0, 300.0], 0.4));
        for probes in [[&quiet, &busy], [&busy, &quiet]] {
            let probes = probes.map(|it| Probe { pieces: it.pieces.clone(), waited: it.waited });
            let it = Quietness::of(&probes, None, 1e6, 3, Looks::Once);
            assert_eq!((it.level, it.other_programs), (Level::Busy, None));
            assert!((it.time_spread - 0.5).abs() < 1e-9 && it.cpu_spread.abs() < 1e-9, "{it:?}");
            assert!((it.waited - 0.4).abs() < 1e-9 && (it.kernel_noise_bytes - 2e6).abs() < 1e-6);
            assert!(it.sentence.ends_with("3 % in CPU time a message and 5.97 times in rate"), "{it:?}");
        }
    }

    #[test]
    fn other_programs_and_a_hypervisor_disturb() {
        let level = |times| Quietness::of(&[probe(&[1.0, 1.0], 0.0)], Some(times), 0.0, 2, Looks::Once).level;
        assert_eq!(level([0.0, 0.0]), Level::Quiet);
        assert_eq!([level([0.2, 0.0]), level([0.0, 0.2])], [Level::Disturbed; 2]);
        assert_eq!(level([0.2, 0.2]), Level::Busy);
    }

    #[test]
    fn this_machine_can_be_measured() {
        let it = Quietness::measure(&Cores::assign(None).unwrap(), 5, Looks::Once);
        assert!((0.0..=1.0).contains(&it.waited) && it.time_spread > 0.0, "{it:?}");
        assert!(it.other_programs.is_some_and(|share| (0.0..=1.0).contains(&share)), "{it:?}");
    }
}
