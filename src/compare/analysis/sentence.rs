//! A [`Crossover`] in a sentence.

use std::fmt;

use super::crossover::Crossover;
use crate::report::format;
use crate::server::options::Model;

impl fmt::Display for Crossover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.decided[..], &self.changes()[..]) {
            ([], _) if self.known.is_empty() => f.write_str("no measurement of both models")?,
            ([], _) => write!(f, "no clear difference {}", self.range())?,
            ([(_, faster), ..], []) => self.write_one_faster(f, *faster)?,
            (_, [(before, after, connections)]) => write!(
                f,
                "from about {} {}, {} more messages per second ({}); below that, {} ({}){}",
                one_digit(*connections),
                self.upper_end(),
                handles(*after),
                self.lead(*after),
                does(*before),
                self.lead(*before),
                self.undecided_ends(),
            )?,
            (decided, _) => {
                let faster =
                    decided.iter().map(|(pair, faster)| format!("{} at {}", name(*faster), pair.connections));
                write!(f, "no single crossover: {}", faster.collect::<Vec<_>>().join(", "))?;
            }
        }
        self.write_limits(f)
    }
}

impl Crossover {
    /// The result if the same model is faster at all decided numbers of connections.
    fn write_one_faster(&self, f: &mut fmt::Formatter<'_>, faster: Model) -> fmt::Result {
        write!(f, "{} more messages per second ", handles(faster))?;
        if self.decided.len() == self.known.len() {
            return write!(f, "{} ({})", self.range(), self.lead(faster));
        }
        let at = list(self.decided.iter().map(|(pair, _)| pair.connections));
        let noun = if at == "1" { "connection" } else { "connections" };
        write!(f, "at {at} {noun} ({}); no clear difference elsewhere", self.lead(faster))
    }

    /// All numbers of connections with a measurement.
    fn range(&self) -> String {
        let (first, last) = self.ends();
        if first == last {
            return format!("at {}", format::connections(first.into()));
        }
        format!("from {} to {}", count(first), format::connections(last.into()))
    }

    /// The smallest and the largest number of connections.
    fn ends(&self) -> (u32, u32) {
        let end = |pair: Option<&super::crossover::RatePair>| pair.map_or(0, |pair| pair.connections);
        (end(self.known.first()), end(self.known.last()))
    }

    /// Up to how many connections the last winner is faster: all, unless the last pairs are undecided.
    fn upper_end(&self) -> String {
        match self.decided.last() {
            Some((pair, _)) if pair.connections < self.ends().1 => {
                format!("to {} connections", count(pair.connections))
            }
            _ => "connections on".into(),
        }
    }

    /// Which of the ends are undecided.
    fn undecided_ends(&self) -> &'static str {
        let (Some((low, _)), Some((high, _))) = (self.decided.first(), self.decided.last()) else {
            return "";
        };
        let (first, last) = self.ends();
        match (low.connections > first, high.connections < last) {
            (false, false) => "",
            (true, false) => "; no clear difference with the fewest",
            (false, true) => "; no clear difference with more",
            (true, true) => "; no clear difference with the fewest and the most",
        }
    }

    /// The largest lead of `model`.
    fn lead(&self, model: Model) -> String {
        let (ratio, connections) = self.largest_lead(model).unwrap_or((1.0, 0));
        format!("{ratio:.2} times as many at {}", count(connections))
    }

    fn write_limits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limited = self.known.iter().filter(|pair| pair.loop_is_limited || pair.threads_are_limited);
        match &list(limited.map(|pair| pair.connections))[..] {
            "" => Ok(()),
            at => write!(
                f,
                " (at {at} the generator or another program was the limit: the models may do more there)"
            ),
        }
    }
}

fn name(model: Model) -> &'static str {
    match model {
        Model::Loop => "the loop",
        Model::Threads => "threads",
    }
}

fn handles(model: Model) -> String {
    name(model).to_owned() + if model == Model::Loop { " handles" } else { " handle" }
}

fn does(model: Model) -> String {
    name(model).to_owned() + if model == Model::Loop { " does" } else { " do" }
}

/// `1`, `1 and 10`, `1, 10 and 100`.
fn list(numbers: impl Iterator<Item = u32>) -> String {
    let numbers: Vec<String> = numbers.map(count).collect();
    match &numbers[..] {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Rounded to one digit, which is as precise as an interpolation can be.
fn one_digit(number: f64) -> String {
    let power = 10f64.powf(number.log10().floor());
    format::rounded((number / power).round() * power)
}

fn count(number: u32) -> String {
    format::count(number.into())
}

#[cfg(test)]
mod tests {
    use super::super::crossover::RatePair;
    use super::super::statistics::Estimate;
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
        Crossover::of(&pairs(rates)).to_string()
    }

    #[test]
    fn the_loop_overtakes_threads() {
        let found = Crossover::of(&pairs(&[
            (1, 10.0, 20.0),
            (10, 40.0, 40.0),
            (100, 100.0, 50.0),
            (1000, 90.0, 30.0),
        ]));
        assert_eq!(
            found.to_string(),
            "from about 10 connections on, the loop handles more messages per second (3.00 times as many at 1,000); \
             below that, threads do (2.00 times as many at 1)"
        );
        assert!((found.connections().unwrap() - 10.0).abs() < 1e-6, "{found:?}");
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
        assert_eq!(Crossover::of(&[half]).to_string(), "no measurement of both models");
        assert_eq!(Crossover::of(&[]).connections(), None);
    }

    #[test]
    fn a_limit_of_the_generator_is_mentioned() {
        let mut pairs = pairs(&[(1, 20.0, 10.0), (100, 50.0, 10.0)]);
        pairs[1].loop_is_limited = true;
        let text = Crossover::of(&pairs).to_string();
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
        let text = Crossover::of(&pairs).to_string();
        assert!(
            text.starts_with("the loop handles more messages per second at 1 connection (2.00 times"),
            "{text}"
        );
    }
}
