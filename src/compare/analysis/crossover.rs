//! Where one server overtakes the other.

use super::verdict::Verdict;
use crate::compare::server::Server;

/// The number of connections at which one server overtakes the other, if that happens once. `verdicts` are those of
/// one measure, by number of connections.
pub(crate) fn crossover(verdicts: &[&Verdict]) -> Option<(Server, f64)> {
    let decided: Vec<(&Verdict, Server)> =
        verdicts.iter().filter_map(|verdict| Some((*verdict, verdict.winner()?))).collect();
    let neighbors = decided.windows(2).map(|both| (both[0], both[1]));
    let mut changes = neighbors.filter(|((_, before), (_, after))| before != after);
    let ((before, _), (after, winner)) = changes.next()?;
    changes.next().is_none().then(|| (winner, crossing(before, after)))
}

/// Where the line between the ratios of two verdicts crosses 1, with both axes logarithmic.
fn crossing(before: &Verdict, after: &Verdict) -> f64 {
    let (from, to) = (before.ratio.ln(), after.ratio.ln());
    // The better servers differ, so one logarithm is positive and the other negative.
    let share = (from / (from - to)).clamp(0.0, 1.0);
    let (low, high) = (f64::from(before.connections).ln(), f64::from(after.connections).ln());
    (low + share * (high - low)).exp()
}

#[cfg(test)]
mod tests {
    use super::super::verdict::{Looks, Measure};
    use super::*;

    fn found(ratios: &[(u32, f64)]) -> Option<(Server, u32)> {
        let verdict = |(connections, ratio): &(u32, f64)| {
            Verdict::of(Measure::Rate, Server::Threads, *connections, &[ratio.ln(); 3], Looks::Once).unwrap()
        };
        let verdicts: Vec<Verdict> = ratios.iter().map(verdict).collect();
        let (model, at) = crossover(&verdicts.iter().collect::<Vec<_>>())?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few connections")]
        Some((model, at.round() as u32))
    }

    #[test]
    fn the_crossing_is_nearer_to_the_smaller_lead() {
        // Threads are 4 times better at 1, the loop 2 times at 1,000: two thirds of the way.
        assert_eq!(found(&[(1, 0.25), (1000, 2.0)]), Some((Server::Loop, 100)));
        assert_eq!(found(&[(1, 4.0), (1000, 0.5)]), Some((Server::Threads, 100)));
        assert_eq!(found(&[(1, 0.5), (1000, 4.0)]), Some((Server::Loop, 10)));
    }

    #[test]
    fn equal_models_in_between_belong_to_the_crossing() {
        assert_eq!(found(&[(1, 0.5), (10, 1.0), (100, 2.0)]), Some((Server::Loop, 10)));
    }

    #[test]
    fn one_better_model_or_several_changes_are_no_crossing() {
        assert_eq!(found(&[(1, 2.0), (100, 5.0)]), None);
        assert_eq!(found(&[(1, 0.5), (10, 2.0), (100, 0.5)]), None);
        assert_eq!(found(&[(1, 2.0), (10, 1.0)]), None);
        assert_eq!(found(&[]), None);
    }
}
