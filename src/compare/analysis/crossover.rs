//! From medians to a sentence: which model does more, from how many connections on.

use crate::compare::analysis::statistics::Estimate;

/// Both models at one number of connections. `None` is a model that did nothing there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Connections.
    pub connections: u32,
    /// The event loop.
    pub by_loop: Option<Estimate>,
    /// Threads.
    pub by_threads: Option<Estimate>,
    /// Whether the generator was the limit of the loop, which might do more than it shows.
    pub loop_is_limited: bool,
    /// The same of threads.
    pub threads_are_limited: bool,
}

/// Who does more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Winner {
    Loop,
    Threads,
}

/// What the places come to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Crossover {
    /// In a sentence.
    pub sentence: String,
    /// The number of connections at which one overtakes the other.
    pub connections: Option<f64>,
}

/// Who does more messages a second, from where on. `places` are in order.
#[must_use]
pub(crate) fn crossover(places: &[Place]) -> Crossover {
    let known: Vec<&Place> = places.iter().filter(|place| place.ratio().is_some()).collect();
    let decided: Vec<(&Place, Winner)> =
        known.iter().filter_map(|place| Some((*place, place.winner()?))).collect();
    let (Some(first), Some(last)) = (known.first(), known.last()) else {
        return Crossover { sentence: "nothing was measured of both models".into(), connections: None };
    };
    let turns: Vec<_> = decided.windows(2).filter(|pair| pair[0].1 != pair[1].1).collect();
    let (sentence, connections) = match (&decided[..], &turns[..]) {
        ([], _) => (format!("too close to tell{}", between(first, last)), None),
        ([(_, winner), ..], []) => (everywhere(*winner, &known, &decided), None),
        (_, [turn]) => {
            let ((before, loser), (after, winner)) = (turn[0], turn[1]);
            let at = crossing(before, after);
            let sentence = format!(
                "from about {} {} {} more messages a second ({}); below that {} ({}){}",
                rounded(at),
                until(last, &decided),
                does(winner),
                best(winner, &decided),
                does(loser),
                best(loser, &decided),
                elsewhere(first, last, &decided),
            );
            (sentence, Some(at))
        }
        _ => {
            let told =
                decided.iter().map(|(place, winner)| format!("{} at {}", name(*winner), place.connections));
            (format!("no one crossing: {}", told.collect::<Vec<_>>().join(", ")), None)
        }
    };
    Crossover { sentence: sentence + &generators(&known), connections }
}

fn everywhere(winner: Winner, known: &[&Place], decided: &[(&Place, Winner)]) -> String {
    let best = best(winner, decided);
    if decided.len() == known.len() {
        let (first, last) = (known[0], known[known.len() - 1]);
        return format!("{} more messages a second{} ({best})", does(winner), between(first, last));
    }
    let at: Vec<String> = decided.iter().map(|(place, _)| grouped(place.connections)).collect();
    format!(
        "{} more messages a second at {} {} ({best}); elsewhere it is too close to tell",
        does(winner),
        list(&at),
        if at == ["1"] { "connection" } else { "connections" }
    )
}

/// How far up the winner of the last place that is decided has won: to the end, unless that is undecided.
fn until(last: &Place, decided: &[(&Place, Winner)]) -> String {
    match decided.last() {
        Some((place, _)) if place.connections < last.connections => {
            format!("to {} connections", grouped(place.connections))
        }
        _ => "connections on".into(),
    }
}

/// Which ends are undecided.
fn elsewhere(first: &Place, last: &Place, decided: &[(&Place, Winner)]) -> &'static str {
    let (Some((low, _)), Some((high, _))) = (decided.first(), decided.last()) else { return "" };
    match (low.connections > first.connections, high.connections < last.connections) {
        (false, false) => "",
        (true, false) => "; with the fewest it is too close to tell",
        (false, true) => "; with more it is too close to tell",
        (true, true) => "; with the fewest and the most it is too close to tell",
    }
}

/// Where the line between the ratios of two places meets 1, by the logarithm of both.
fn crossing(before: &Place, after: &Place) -> f64 {
    let (Some(from), Some(to)) = (before.ratio(), after.ratio()) else { return f64::NAN };
    let (from, to) = (from.ln(), to.ln());
    // Winners differ, so one is above nought and the other below.
    let share = (from / (from - to)).clamp(0.0, 1.0);
    let (low, high) = (f64::from(before.connections).ln(), f64::from(after.connections).ln());
    (low + share * (high - low)).exp()
}

impl Place {
    /// What the loop does for each message that threads do.
    fn ratio(&self) -> Option<f64> {
        let (one, other) = (self.by_loop?.median, self.by_threads?.median);
        (one > 0.0 && other > 0.0).then(|| one / other)
    }

    /// Who does more, unless that may be chance.
    fn winner(&self) -> Option<Winner> {
        let (by_loop, by_threads) = (self.by_loop?, self.by_threads?);
        let ratio = self.ratio()?;
        let is_apart = by_loop.is_apart_from(&by_threads) && (ratio - 1.0).abs() >= DIFFERENCE_MIN;
        // Who lost may have lost to the generator.
        let (winner, is_doubtful) = if ratio > 1.0 {
            (Winner::Loop, self.threads_are_limited)
        } else {
            (Winner::Threads, self.loop_is_limited)
        };
        (is_apart && !is_doubtful).then_some(winner)
    }
}

/// Where `winner` wins most, and how much.
fn best(winner: Winner, decided: &[(&Place, Winner)]) -> String {
    let factor = |place: &Place| {
        let ratio = place.ratio().unwrap_or(1.0);
        if winner == Winner::Loop { ratio } else { 1.0 / ratio }
    };
    let best =
        decided.iter().filter(|(_, it)| *it == winner).map(|(place, _)| (factor(place), place.connections));
    let (factor, connections) = best.max_by(|(a, _), (b, _)| a.total_cmp(b)).unwrap_or((1.0, 0));
    format!("{factor:.2} times as many at {}", grouped(connections))
}

fn generators(known: &[&Place]) -> String {
    let at: Vec<String> = known
        .iter()
        .filter(|place| place.loop_is_limited || place.threads_are_limited)
        .map(|place| grouped(place.connections))
        .collect();
    if at.is_empty() {
        return String::new();
    }
    format!(
        " (at {} the generator was the limit, or other programs were: models may do more there)",
        list(&at)
    )
}

fn between(first: &Place, last: &Place) -> String {
    if first.connections == last.connections {
        return format!(" at {}", connections(first.connections));
    }
    format!(" from {} to {}", grouped(first.connections), connections(last.connections))
}

fn connections(number: u32) -> String {
    if number == 1 { "1 connection".into() } else { format!("{} connections", grouped(number)) }
}

fn name(winner: Winner) -> &'static str {
    match winner {
        Winner::Loop => "the loop",
        Winner::Threads => "threads",
    }
}

fn does(winner: Winner) -> &'static str {
    match winner {
        Winner::Loop => "the loop does",
        Winner::Threads => "threads do",
    }
}

/// `a`, `a and b`, `a, b and c`.
fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// To one digit: more is not known of a place between two.
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
    crate::report::format::count(number.into())
}

/// Less is not worth a sentence, however sure it is.
const DIFFERENCE_MIN: f64 = 0.03;

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(median: f64) -> Option<Estimate> {
        Estimate::of([median * 0.99, median, median * 1.01])
    }

    fn places(pairs: &[(u32, f64, f64)]) -> Vec<Place> {
        let place = |(connections, by_loop, by_threads): &(u32, f64, f64)| Place {
            connections: *connections,
            by_loop: estimate(*by_loop),
            by_threads: estimate(*by_threads),
            loop_is_limited: false,
            threads_are_limited: false,
        };
        pairs.iter().map(place).collect()
    }

    fn said(pairs: &[(u32, f64, f64)]) -> String {
        crossover(&places(pairs)).sentence
    }

    #[test]
    fn one_overtakes_the_other() {
        let found =
            crossover(&places(&[(1, 10.0, 20.0), (10, 40.0, 40.0), (100, 100.0, 50.0), (1000, 90.0, 30.0)]));
        assert_eq!(
            found.sentence,
            "from about 10 connections on the loop does more messages a second (3.00 times as many at 1,000); \
             below that threads do (2.00 times as many at 1)"
        );
        assert!((found.connections.unwrap() - 10.0).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn threads_may_overtake_the_loop() {
        let said = said(&[(1, 20.0, 10.0), (1000, 10.0, 20.0)]);
        assert!(said.starts_with("from about 30 connections on threads do more messages a second"), "{said}");
        assert!(said.ends_with("below that the loop does (2.00 times as many at 1)"), "{said}");
    }

    #[test]
    fn one_wins_everywhere() {
        assert_eq!(
            said(&[(1, 20.0, 10.0), (100, 50.0, 10.0)]),
            "the loop does more messages a second from 1 to 100 connections (5.00 times as many at 100)"
        );
        assert_eq!(
            said(&[(1, 10.0, 20.0)]),
            "threads do more messages a second at 1 connection (2.00 times as many at 1)"
        );
    }

    #[test]
    fn what_may_be_chance_is_said_to_be() {
        assert_eq!(
            said(&[(1, 20.0, 20.0), (100, 20.1, 20.0)]),
            "too close to tell from 1 to 100 connections"
        );
        assert_eq!(
            said(&[(1, 20.0, 20.0), (100, 50.0, 10.0)]),
            "the loop does more messages a second at 100 connections (5.00 times as many at 100); elsewhere it is \
             too close to tell"
        );
    }

    #[test]
    fn nothing_is_said_of_ends_that_are_too_close() {
        let said = said(&[(1, 20.0, 10.0), (10, 10.0, 20.0), (100, 20.0, 20.0)]);
        assert!(
            said.starts_with("from about 3 to 10 connections threads do more messages a second"),
            "{said}"
        );
        assert!(said.ends_with("; with more it is too close to tell"), "{said}");
    }

    #[test]
    fn to_and_fro_is_no_crossing() {
        assert_eq!(
            said(&[(1, 1.0, 2.0), (10, 2.0, 1.0), (100, 1.0, 2.0)]),
            "no one crossing: threads at 1, the loop at 10, threads at 100"
        );
    }

    #[test]
    fn of_nothing_nothing_is_said() {
        let half = Place { by_threads: None, ..places(&[(1, 1.0, 1.0)])[0] };
        assert_eq!(crossover(&[half]).sentence, "nothing was measured of both models");
        assert_eq!(crossover(&[]).connections, None);
    }

    #[test]
    fn a_generator_at_its_limit_is_told() {
        let mut places = places(&[(1, 20.0, 10.0), (100, 50.0, 10.0)]);
        places[1].loop_is_limited = true;
        let said = crossover(&places).sentence;
        assert!(said.starts_with("the loop does more messages a second from 1 to 100 connections"), "{said}");
        assert!(said.contains(" (at 100 the generator was the limit, or other programs were"), "{said}");
    }

    #[test]
    fn who_lost_to_the_generator_has_not_lost() {
        let mut places = places(&[(1, 20.0, 10.0), (100, 50.0, 10.0)]);
        places[1].threads_are_limited = true;
        let said = crossover(&places).sentence;
        assert!(
            said.starts_with("the loop does more messages a second at 1 connection (2.00 times"),
            "{said}"
        );
    }
}
