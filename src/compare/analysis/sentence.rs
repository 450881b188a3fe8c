//! The verdicts of one measure in a sentence.

use super::crossover::crossover;
use super::verdict::{Decision, Measure, Qualification, Verdict};
use crate::compare::server::Server;
use crate::report::format;

/// A sentence on `verdicts`, which are those of one measure, by number of connections. `compared` are the numbers of
/// connections with runs of the loop and of `rival`; those without a verdict have too few pairs.
pub(super) fn sentence(measure: Measure, rival: Server, verdicts: &[&Verdict], compared: &[u32]) -> String {
    if compared.is_empty() {
        return match rival {
            Server::Loop | Server::Threads => "not compared: no runs of both models".into(),
            Server::With(with) => format!("not compared: no runs of the loop and {}", with.name),
        };
    }
    let mut parts = Vec::new();
    for server in [Server::Loop, rival] {
        parts.extend(lead(measure, verdicts, server));
    }
    let of = |decision| verdicts.iter().filter(move |verdict| verdict.decision == decision);
    if let Some(same) = at(of(Decision::Same).map(|verdict| verdict.connections)) {
        parts.push(format!("{}{same}", measure.same()));
    }
    parts.extend(open(measure, verdicts));
    let single = compared.iter().copied().filter(|n| verdicts.iter().all(|it| it.connections != *n));
    if let Some(single) = at(single) {
        parts.push(format!("not decided{single}: an interval needs two pairs of runs"));
    }
    if let Some((winner, connections)) = crossover(verdicts) {
        let loser = if winner == Server::Loop { rival } else { Server::Loop };
        let (who, whom) = (winner.does("overtake"), loser.subject());
        let number = one_digit(connections);
        let noun = if number == "1" { "connection" } else { "connections" };
        parts.push(format!("{who} {whom} at about {number} {noun}"));
    }
    parts.extend(qualifications(verdicts));
    parts.join("; ")
}

/// Where `server` is better: the largest lead, measured by the nearer end of its interval, then the others.
fn lead(measure: Measure, verdicts: &[&Verdict], server: Server) -> Option<String> {
    let won = || verdicts.iter().filter(|verdict| verdict.winner() == Some(server));
    let certain = |verdict: &Verdict| verdict.lead().1[1];
    let best = won().max_by(|one, other| certain(one).total_cmp(&certain(other)))?;
    let (_, [times, ..]) = best.lead();
    let here = at([best.connections].into_iter())?;
    let others = won().map(|verdict| verdict.connections).filter(|n| *n != best.connections);
    let also = at(others).map_or_else(String::new, |others| format!(", and {}{others}", measure.direction()));
    Some(format!("{}{here} ({}){also}", measure.claim(server, times), best.precision()))
}

/// What is open, with the number of pairs that the nearest to a decision needs.
fn open(measure: Measure, verdicts: &[&Verdict]) -> Option<String> {
    let open = || verdicts.iter().filter(|verdict| verdict.decision == Decision::Undecided);
    let nearest = open().min_by_key(|verdict| verdict.more_pairs.unwrap_or(usize::MAX))?;
    let all = at(open().map(|verdict| verdict.connections))?;
    let which = if open().count() > 1 { at([nearest.connections].into_iter())? + ": " } else { ": ".into() };
    let join = if open().count() > 1 { ";" } else { "" };
    let (precision, needed) = (nearest.precision(), nearest.needed());
    Some(format!("{} is not decided{all}{join}{which}{precision}, {needed}", measure.name()))
}

/// Each kind of qualification once, with the numbers of connections.
fn qualifications(verdicts: &[&Verdict]) -> Vec<String> {
    let mut kinds: Vec<Qualification> = Vec::new();
    for kind in verdicts.iter().flat_map(|verdict| &verdict.qualifications) {
        if !kinds.contains(kind) {
            kinds.push(*kind);
        }
    }
    let text = |kind: Qualification| {
        let with = verdicts.iter().filter(|verdict| verdict.qualifications.contains(&kind));
        kind.at(&at(with.map(|verdict| verdict.connections)).unwrap_or_default())
    };
    kinds.into_iter().map(text).collect()
}

/// ` at 1, 10 and 100 connections`; `None` without numbers.
pub(super) fn at(numbers: impl Iterator<Item = u32>) -> Option<String> {
    let numbers: Vec<u32> = numbers.collect();
    let texts: Vec<String> = numbers.iter().map(|n| format::count((*n).into())).collect();
    match &texts[..] {
        [] => None,
        [_] => Some(format!(" at {}", format::connections(numbers[0].into()))),
        [first @ .., last] => Some(format!(" at {} and {last} connections", first.join(", "))),
    }
}

/// Rounded to one digit, which is as precise as an interpolation can be.
fn one_digit(number: f64) -> String {
    let power = 10f64.powf(number.log10().floor());
    format::rounded((number / power).round() * power)
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Looks;
    use super::*;

    fn verdicts(measure: Measure, ratios: &[(u32, &[f64])]) -> Vec<Verdict> {
        let of = |(connections, ratios): &(u32, &[f64])| {
            let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
            Verdict::of(measure, Server::Threads, *connections, &logs, Looks::Once)
        };
        ratios.iter().filter_map(of).collect()
    }

    fn text(measure: Measure, ratios: &[(u32, &[f64])]) -> String {
        let verdicts = verdicts(measure, ratios);
        let compared: Vec<u32> = ratios.iter().map(|(connections, _)| *connections).collect();
        sentence(measure, Server::Threads, &verdicts.iter().collect::<Vec<_>>(), &compared)
    }

    #[test]
    fn a_sentence_states_the_largest_lead_with_its_interval() {
        assert_eq!(
            text(
                Measure::CpuPerMessage,
                &[(1, &[1.0, 1.0, 1.0]), (10, &[2.0, 2.1, 2.2]), (100, &[3.5, 3.6, 3.7])]
            ),
            "the loop needs 3.6 times less CPU a message at 100 connections (95 % interval 3.36 to 3.86, 3 pairs), \
             and less at 10 connections; the same CPU a message within 3 % at 1 connection"
        );
    }

    #[test]
    fn a_sentence_names_the_crossing() {
        assert_eq!(
            text(Measure::Rate, &[(1, &[0.5, 0.5]), (100, &[2.0, 2.0]), (1000, &[1.5, 1.5])]),
            "the loop handles 2 times as many messages a second at 100 connections (95 % interval 2 to 2, 2 pairs), \
             and more at 1,000 connections; threads handle 2 times as many messages a second at 1 connection (95 % \
             interval 2 to 2, 2 pairs); the loop overtakes threads at about 10 connections"
        );
    }

    #[test]
    fn what_is_not_decided_says_what_would_decide_it() {
        let wide: &[f64] = &[1.05, 1.15, 1.25];
        assert_eq!(
            text(Measure::Rate, &[(1, wide)]),
            "rate is not decided at 1 connection: 95 % interval 0.92 to 1.42, 3 pairs, about 3 more would decide it"
        );
        assert_eq!(
            text(Measure::Rate, &[(1, &[0.5, 2.0]), (10, wide), (100, &[1.5])]),
            "rate is not decided at 1 and 10 connections; at 10 connections: 95 % interval 0.92 to 1.42, 3 pairs, \
             about 3 more would decide it; not decided at 100 connections: an interval needs two pairs of runs"
        );
    }

    #[test]
    fn qualifications_follow_the_verdict_and_name_their_model() {
        let mut both = verdicts(Measure::Rate, &[(10, &[3.5, 3.6, 3.7]), (100, &[3.5, 3.6, 3.7])]);
        both[0].qualifications = vec![Qualification::GeneratorLimited(Server::Loop)];
        both[1].qualifications =
            vec![Qualification::GeneratorLimited(Server::Loop), Qualification::OtherPrograms];
        let text = sentence(Measure::Rate, Server::Threads, &both.iter().collect::<Vec<_>>(), &[10, 100]);
        assert!(text.starts_with("the loop handles 3.6 times as many messages a second"), "{text}");
        assert!(
            text.ends_with(
                "; the generator was the limit of the loop at 10 and 100 connections, which may handle more; other \
                 programs delayed the generator at 100 connections"
            ),
            "{text}"
        );
    }

    #[test]
    fn without_runs_of_both_there_is_no_verdict() {
        assert_eq!(
            sentence(Measure::Rate, Server::Threads, &[], &[]),
            "not compared: no runs of both models"
        );
    }
}
