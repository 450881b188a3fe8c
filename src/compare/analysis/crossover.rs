//! Which model handles more messages a second, and from how many connections, in a sentence.

use crate::compare::analysis::statistics::Estimate;
use crate::report::format;

/// The rates of both models at one number of connections; `None` without a measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RatePair {
    /// The number of connections.
    pub connections: u32,
    /// The event loop.
    pub by_loop: Option<Estimate>,
    /// Threads.
    pub by_threads: Option<Estimate>,
    /// Whether the generator was the limit of the loop, whose rate may then be higher.
    pub loop_is_limited: bool,
    /// The same for threads.
    pub threads_are_limited: bool,
}

/// The model with the higher rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Winner {
    Loop,
    Threads,
}

/// The result over all numbers of connections.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Crossover {
    /// The result in a sentence.
    pub sentence: String,
    /// The number of connections at which one model overtakes the other.
    pub connections: Option<f64>,
}

/// Compares the rates of `pairs`, which are sorted by number of connections.
#[must_use]
pub(crate) fn crossover(pairs: &[RatePair]) -> Crossover {
    let known: Vec<&RatePair> = pairs.iter().filter(|pair| pair.ratio().is_some()).collect();
    let decided: Vec<(&RatePair, Winner)> =
        known.iter().filter_map(|pair| Some((*pair, pair.winner()?))).collect();
    let (Some(first), Some(last)) = (known.first(), known.last()) else {
        return Crossover { sentence: "no measurement of both models".into(), connections: None };
    };
    let changes: Vec<_> = decided.windows(2).filter(|both| both[0].1 != both[1].1).collect();
    let (sentence, connections) = match (&decided[..], &changes[..]) {
        ([], _) => (format!("no clear difference{}", between(first, last)), None),
        ([(_, winner), ..], []) => (everywhere(*winner, &known, &decided), None),
        (_, [change]) => {
            let ((before, loser), (after, winner)) = (change[0], change[1]);
            let at = crossing(before, after);
            let sentence = format!(
                "from about {} {}, {} more messages per second ({}); below that, {} ({}){}",
                rounded(at),
                until(last, &decided),
                handles(winner),
                best(winner, &decided),
                does(loser),
                best(loser, &decided),
                elsewhere(first, last, &decided),
            );
            (sentence, Some(at))
        }
        _ => {
            let winners =
                decided.iter().map(|(pair, winner)| format!("{} at {}", name(*winner), pair.connections));
            (format!("no single crossover: {}", winners.collect::<Vec<_>>().join(", ")), None)
        }
    };
    Crossover { sentence: sentence + &generators(&known), connections }
}

fn everywhere(winner: Winner, known: &[&RatePair], decided: &[(&RatePair, Winner)]) -> String {
    let best = best(winner, decided);
    if decided.len() == known.len() {
        let (first, last) = (known[0], known[known.len() - 1]);
        return format!("{} more messages per second{} ({best})", handles(winner), between(first, last));
    }
    let at: Vec<String> = decided.iter().map(|(pair, _)| grouped(pair.connections)).collect();
    format!(
        "{} more messages per second at {} {} ({best}); no clear difference elsewhere",
        handles(winner),
        list(&at),
        if at == ["1"] { "connection" } else { "connections" }
    )
}

/// Up to how many connections the last winner won: all, unless the last pairs are undecided.
fn until(last: &RatePair, decided: &[(&RatePair, Winner)]) -> String {
    match decided.last() {
        Some((pair, _)) if pair.connections < last.connections => {
            format!("to {} connections", grouped(pair.connections))
        }
        _ => "connections on".into(),
    }
}

/// Which of the ends are undecided.
fn elsewhere(first: &RatePair, last: &RatePair, decided: &[(&RatePair, Winner)]) -> &'static str {
    let (Some((low, _)), Some((high, _))) = (decided.first(), decided.last()) else { return "" };
    match (low.connections > first.connections, high.connections < last.connections) {
        (false, false) => "",
        (true, false) => "; no clear difference with the fewest",
        (false, true) => "; no clear difference with more",
        (true, true) => "; no clear difference with the fewest and the most",
    }
}

/// Where the line between the ratios of two pairs crosses 1, with both axes logarithmic.
fn crossing(before: &RatePair, after: &RatePair) -> f64 {
    let (Some(from), Some(to)) = (before.ratio(), after.ratio()) else { return f64::NAN };
    let (from, to) = (from.ln(), to.ln());
    // The winners differ, so one logarithm is positive and the other negative.
    let share = (from / (from - to)).clamp(0.0, 1.0);
    let (low, high) = (f64::from(before.connections).ln(), f64::from(after.connections).ln());
    (low + share * (high - low)).exp()
}

impl RatePair {
    /// The rate of the loop divided by that of threads.
    fn ratio(&self) -> Option<f64> {
        let (one, other) = (self.by_loop?.median, self.by_threads?.median);
        (one > 0.0 && other > 0.0).then(|| one / other)
    }

    /// The model with the higher rate, unless the difference may be chance.
    fn winner(&self) -> Option<Winner> {
        let (by_loop, by_threads) = (self.by_loop?, self.by_threads?);
        let ratio = self.ratio()?;
        let is_apart = by_loop.is_apart_from(&by_threads) && (ratio - 1.0).abs() >= DIFFERENCE_MIN;
        // The slower model may have been slowed by the generator.
        let (winner, is_doubtful) = if ratio > 1.0 {
            (Winner::Loop, self.threads_are_limited)
        } else {
            (Winner::Threads, self.loop_is_limited)
        };
        (is_apart && !is_doubtful).then_some(winner)
    }
}

/// Where `winner` has its largest lead, and how large it is.
fn best(winner: Winner, decided: &[(&RatePair, Winner)]) -> String {
    let factor = |pair: &RatePair| {
        let ratio = pair.ratio().unwrap_or(1.0);
        if winner == Winner::Loop { ratio } else { 1.0 / ratio }
    };
    let best =
        decided.iter().filter(|(_, it)| *it == winner).map(|(pair, _)| (factor(pair), pair.connections));
    let (factor, connections) = best.max_by(|(a, _), (b, _)| a.total_cmp(b)).unwrap_or((1.0, 0));
    format!("{factor:.2} times as many at {}", grouped(connections))
}

fn generators(known: &[&RatePair]) -> String {
    let at: Vec<String> = known
        .iter()
        .filter(|pair| pair.loop_is_limited || pair.threads_are_limited)
        .map(|pair| grouped(pair.connections))
        .collect();
    if at.is_empty() {
        return String::new();
    }
    format!(
        " (at {} the generator or another program was the limit: the models may do more there)",
        list(&at)
    )
}

fn between(first: &RatePair, last: &RatePair) -> String {
    if first.connections == last.connections {
        return format!(" at {}", format::connections(first.connections.into()));
    }
    format!(" from {} to {}", grouped(first.connections), format::connections(last.connections.into()))
}

fn name(winner: Winner) -> &'static str {
    match winner {
        Winner::Loop => "the loop",
        Winner::Threads => "threads",
    }
}

fn handles(winner: Winner) -> &'static str {
    match winner {
        Winner::Loop => "the loop handles",
        Winner::Threads => "threads handle",
    }
}

fn does(winner: Winner) -> &'static str {
    match winner {
        Winner::Loop => "the loop does",
        Winner::Threads => "threads do",
    }
}

/// `a`, `a and b`, `a, b and c`.
fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Rounded to one digit, which is as precise as an interpolation can be.
fn rounded(number: f64) -> String {
    if !number.is_finite() {
        return "some".into();
    }
    let power = 10f64.powf(number.log10().floor());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between two numbers that fit"
    )]
    let number = ((number / power).round() * power).round() as u32;
    grouped(number)
}

fn grouped(number: u32) -> String {
    format::count(number.into())
}

/// The smallest difference that counts, however certain it is.
const DIFFERENCE_MIN: f64 = 0.03;

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(median: f64) -> Option<Estimate> {
        Estimate::of([median * 0.99, median, median * 1.01])
    }

    fn pairs(rates: &[(u32, f64, f64)]) -> Vec<RatePair> {
        let pair = |(connections, by_loop, by_threads): &(u32, f64, f64)| RatePair {
            connections: *connections,
            by_loop: estimate(*by_loop),
            by_threads: estimate(*by_threads),
            loop_is_limited: false,
            threads_are_limited: false,
        };
        rates.iter().map(pair).collect()
    }

    fn sentence(rates: &[(u32, f64, f64)]) -> String {
        crossover(&pairs(rates)).sentence
    }

    #[test]
    fn the_loop_overtakes_threads() {
        let found =
            crossover(&pairs(&[(1, 10.0, 20.0), (10, 40.0, 40.0), (100, 100.0, 50.0), (1000, 90.0, 30.0)]));
        assert_eq!(
            found.sentence,
            "from about 10 connections on, the loop handles more messages per second (3.00 times as many at 1,000); \
             below that, threads do (2.00 times as many at 1)"
        );
        assert!((found.connections.unwrap() - 10.0).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn threads_may_overtake_the_loop() {
        let text = sentence(&[(1, 20.0, 10.0), (1000, 10.0, 20.0)]);
        assert!(
            text.starts_with("from about 30 connections on, threads handle more messages per second"),
            "{text}"
        );
        assert!(text.ends_with("below that, the loop does (2.00 times as many at 1)"), "{text}");
    }

    #[test]
    fn one_wins_everywhere() {
        assert_eq!(
            sentence(&[(1, 20.0, 10.0), (100, 50.0, 10.0)]),
            "the loop handles more messages per second from 1 to 100 connections (5.00 times as many at 100)"
        );
        assert_eq!(
            sentence(&[(1, 10.0, 20.0)]),
            "threads handle more messages per second at 1 connection (2.00 times as many at 1)"
        );
    }

    #[test]
    fn a_difference_that_may_be_chance_is_not_decided() {
        assert_eq!(
            sentence(&[(1, 20.0, 20.0), (100, 20.1, 20.0)]),
            "no clear difference from 1 to 100 connections"
        );
        assert_eq!(
            sentence(&[(1, 20.0, 20.0), (100, 50.0, 10.0)]),
            "the loop handles more messages per second at 100 connections (5.00 times as many at 100); no clear \
             difference elsewhere"
        );
    }

    #[test]
    fn undecided_ends_are_named() {
        let text = sentence(&[(1, 20.0, 10.0), (10, 10.0, 20.0), (100, 20.0, 20.0)]);
        assert!(
            text.starts_with("from about 3 to 10 connections, threads handle more messages per second"),
            "{text}"
        );
        assert!(text.ends_with("; no clear difference with more"), "{text}");
    }

    #[test]
    fn several_changes_are_no_crossing() {
        assert_eq!(
            sentence(&[(1, 1.0, 2.0), (10, 2.0, 1.0), (100, 1.0, 2.0)]),
            "no single crossover: threads at 1, the loop at 10, threads at 100"
        );
    }

    #[test]
    fn without_measurements_there_is_no_result() {
        let half = RatePair { by_threads: None, ..pairs(&[(1, 1.0, 1.0)])[0] };
        assert_eq!(crossover(&[half]).sentence, "no measurement of both models");
        assert_eq!(crossover(&[]).connections, None);
    }

    #[test]
    fn a_limit_of_the_generator_is_mentioned() {
        let mut pairs = pairs(&[(1, 20.0, 10.0), (100, 50.0, 10.0)]);
        pairs[1].loop_is_limited = true;
        let text = crossover(&pairs).sentence;
        assert!(
            text.starts_with("the loop handles more messages per second from 1 to 100 connections"),
            "{text}"
        );
        assert!(text.contains(" (at 100 the generator or another program was the limit"), "{text}");
    }

    #[test]
    fn a_model_limited_by_the_generator_has_not_lost() {
        let mut pairs = pairs(&[(1, 20.0, 10.0), (100, 50.0, 10.0)]);
        pairs[1].threads_are_limited = true;
        let text = crossover(&pairs).sentence;
        assert!(
            text.starts_with("the loop handles more messages per second at 1 connection (2.00 times"),
            "{text}"
        );
    }
}
