//! From the runs of two servers with one number of connections to verdicts.

use super::verdict::{Looks, Measure, Qualification, Verdict};
use crate::compare::measure::Sample;
use crate::compare::options::Workload;
use crate::compare::plan::Scenario;
use crate::compare::server::Server;
use crate::load::stats::invalid::InvalidReason;

/// Both measures, the more robust one first.
pub(crate) const MEASURES: [Measure; 2] = [Measure::CpuPerMessage, Measure::Rate];

/// A run of the loop, and the run of another server beside it.
type Pair<'a> = (&'a Sample, &'a Sample);

/// The verdict on the loop and `rival` in `measure`; `None` with fewer than two pairs that can be compared. The samples
/// of both are in the order of their runs.
pub(in crate::compare) fn verdict(
    measure: Measure,
    scenario: Scenario,
    rival: Server,
    [by_loop, by_rival]: [&[Sample]; 2],
    looks: Looks,
) -> Option<Verdict> {
    let mut known: Vec<(Pair<'_>, f64)> = competing(scenario.workload, by_loop, by_rival)
        .filter_map(|pair| Some((pair, advantage(measure, pair)?)))
        .collect();
    let logs: Vec<f64> = known.iter().map(|(_, ratio)| ratio.ln()).collect();
    let verdict = Verdict::of(measure, rival, scenario.connections, &logs, looks)?;
    known.truncate(verdict.pairs);
    let most =
        |is: &dyn Fn(Pair<'_>) -> bool| known.iter().filter(|(pair, _)| is(*pair)).count() * 2 > known.len();
    let mut qualifications = Vec::new();
    // That the generator is too slow does not change the server's CPU time for a message.
    if measure == Measure::Rate && most(&|(by_loop, _)| is_generator_limit(by_loop)) {
        qualifications.push(Qualification::GeneratorLimited(Server::Loop));
    }
    if measure == Measure::Rate && most(&|(_, by_rival)| is_generator_limit(by_rival)) {
        qualifications.push(Qualification::GeneratorLimited(rival));
    }
    let is_delayed = |run: &Sample| matches!(run.invalid, Some(InvalidReason::Waited(_)));
    if most(&|(by_loop, by_rival)| is_delayed(by_loop) || is_delayed(by_rival)) {
        qualifications.push(Qualification::OtherPrograms);
    }
    Some(Verdict { qualifications, ..verdict })
}

/// Whether there are runs of both servers that can be compared.
pub(in crate::compare) fn is_compared(scenario: Scenario, by_loop: &[Sample], by_rival: &[Sample]) -> bool {
    competing(scenario.workload, by_loop, by_rival)
        .any(|pair| MEASURES.iter().any(|measure| advantage(*measure, pair).is_some()))
}

/// The pairs in which no server failed, with all connections: a server with fewer did less work than the other.
fn competing<'a>(
    workload: Workload,
    by_loop: &'a [Sample],
    by_rival: &'a [Sample],
) -> impl Iterator<Item = Pair<'a>> {
    // With a connection for each message, one that was not opened, or was lost, is a message that failed.
    let has_all = |sample: &Sample| sample.limited_by.is_none() && sample.lost == 0;
    let is_whole = move |sample: &Sample| {
        sample.server_failed.is_none() && (workload == Workload::Churn || has_all(sample))
    };
    by_loop.iter().zip(by_rival).filter(move |(one, other)| is_whole(one) && is_whole(other))
}

/// How many times better the loop was; `None` without a measurement of both.
fn advantage(measure: Measure, (by_loop, by_rival): Pair<'_>) -> Option<f64> {
    let (better, worse) = match measure {
        Measure::CpuPerMessage => (by_rival.cpu_us_per_message?, by_loop.cpu_us_per_message?),
        Measure::Rate => (by_loop.rate, by_rival.rate),
    };
    (better > 0.0 && worse > 0.0).then(|| better / worse)
}

fn is_generator_limit(run: &Sample) -> bool {
    match run.invalid {
        Some(InvalidReason::Busy(_) | InvalidReason::NeverSent(_) | InvalidReason::Late(_)) => true,
        Some(InvalidReason::Waited(_)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Decision;
    use super::*;
    use crate::compare::plan::Load;
    use crate::load::error_kind::OpenLimit;

    const SCENARIO: Scenario =
        Scenario { workload: Workload::AllActive, connections: 100, load: Load::Closed };

    fn run(cpu: f64, rate: f64) -> Sample {
        Sample { cpu_us_per_message: Some(cpu), rate, ..Sample::default() }
    }

    fn of(measure: Measure, by_loop: &[Sample], by_threads: &[Sample]) -> Option<Verdict> {
        verdict(measure, SCENARIO, Server::Threads, [by_loop, by_threads], Looks::Once)
    }

    #[test]
    fn the_model_with_less_cpu_or_with_more_messages_wins() {
        let (cheap, dear) = ([run(5.0, 1000.0), run(5.1, 1010.0)], [run(10.0, 3000.0), run(10.1, 3010.0)]);
        let both = |one: &[Sample], other: &[Sample]| {
            MEASURES.map(|measure| of(measure, one, other).unwrap().decision)
        };
        assert_eq!(both(&cheap, &dear), [Decision::Loop, Decision::Threads]);
        assert_eq!(both(&dear, &cheap), [Decision::Threads, Decision::Loop]);
    }

    #[test]
    fn runs_are_compared_with_the_run_beside_them() {
        // The machine became three times slower: the rates overlap, the ratios are the same.
        let by_loop = [run(5.0, 3000.0), run(7.0, 2000.0), run(15.0, 1000.0)];
        let by_threads = [run(10.0, 1500.0), run(14.0, 1000.0), run(30.0, 500.0)];
        for measure in MEASURES {
            let it = of(measure, &by_loop, &by_threads).unwrap();
            assert!((it.ratio - 2.0).abs() < 1e-9 && it.high - it.low < 1e-9, "{it:?}");
        }
    }

    #[test]
    fn overlapping_measurements_do_not_decide() {
        let by_loop = [run(5.0, 900.0), run(9.0, 1600.0), run(6.0, 1100.0)];
        let by_threads = [run(9.0, 1300.0), run(6.0, 1000.0), run(7.0, 1200.0)];
        for measure in MEASURES {
            let it = of(measure, &by_loop, &by_threads).unwrap();
            assert_eq!(it.decision, Decision::Undecided, "{it:?}");
        }
    }

    #[test]
    fn a_model_with_fewer_connections_does_not_compete() {
        let limited = |run: Sample| Sample { limited_by: Some(OpenLimit::ServerCap), ..run };
        let losing = |run: Sample| Sample { lost: 3, ..run };
        let by_loop = [run(5.0, 1000.0), run(5.0, 1000.0)];
        let by_threads = [limited(run(1.0, 9000.0)), losing(run(1.0, 9000.0))];
        assert_eq!(of(Measure::Rate, &by_loop, &by_threads), None);
        assert_eq!(of(Measure::CpuPerMessage, &by_threads, &by_loop), None);
        assert!(!is_compared(SCENARIO, &by_loop, &by_threads));
        let churn = Scenario { workload: Workload::Churn, ..SCENARIO };
        assert!(
            verdict(Measure::Rate, churn, Server::Threads, [&by_loop, &by_threads], Looks::Once).is_some()
        );
    }

    #[test]
    fn a_run_without_a_server_or_without_replies_is_in_no_pair() {
        let ended = Sample { server_failed: Some("killed by signal 9".into()), ..run(50.0, 1.0) };
        let silent = Sample { cpu_us_per_message: None, rate: 0.0, ..Sample::default() };
        let by_loop = [run(5.0, 1000.0), ended, run(5.0, 1000.0), silent];
        let by_threads = [run(10.0, 500.0), run(10.0, 500.0), run(10.0, 500.0), run(10.0, 500.0)];
        for measure in MEASURES {
            let it = of(measure, &by_loop, &by_threads).unwrap();
            assert_eq!((it.pairs, it.decision), (2, Decision::Loop), "{it:?}");
        }
    }

    #[test]
    fn a_limit_of_the_generator_qualifies_the_verdict_on_the_rate_of_its_model() {
        let marked = |run: Sample, why| Sample { invalid: Some(why), ..run };
        let busy = InvalidReason::Busy(0.97);
        let by_loop = [run(5.0, 1000.0), run(5.0, 1000.0), marked(run(5.0, 1000.0), busy)];
        let by_threads = [marked(run(10.0, 500.0), busy), marked(run(10.0, 500.0), busy), run(10.0, 500.0)];
        let rate = of(Measure::Rate, &by_loop, &by_threads).unwrap();
        assert_eq!(rate.qualifications, [Qualification::GeneratorLimited(Server::Threads)]);
        assert_eq!(rate.decision, Decision::Loop, "it is not erased");
        assert_eq!(of(Measure::CpuPerMessage, &by_loop, &by_threads).unwrap().qualifications, []);
        let rate = of(Measure::Rate, &by_threads, &by_loop).unwrap();
        assert_eq!(rate.qualifications, [Qualification::GeneratorLimited(Server::Loop)]);
    }

    #[test]
    fn other_programs_qualify_both_verdicts() {
        let delayed = |run: Sample| Sample { invalid: Some(InvalidReason::Waited(0.5)), ..run };
        let by_loop = [delayed(run(5.0, 1000.0)), run(5.0, 1000.0), run(5.0, 1000.0)];
        let by_threads = [run(10.0, 500.0), delayed(run(10.0, 500.0)), run(10.0, 500.0)];
        for measure in MEASURES {
            let it = of(measure, &by_loop, &by_threads).unwrap();
            assert_eq!(it.qualifications, [Qualification::OtherPrograms]);
        }
        // Pairs that wait for the next look do not count.
        let by_loop = [vec![run(5.0, 1000.0); 3], vec![delayed(run(5.0, 1000.0)); 4]].concat();
        let by_threads = vec![run(10.0, 500.0); 7];
        let looks = Looks::Repeated { planned: 3 };
        let it = verdict(Measure::Rate, SCENARIO, Server::Threads, [&by_loop, &by_threads], looks).unwrap();
        assert_eq!((it.pairs, it.qualifications), (5, vec![]));
    }
}
