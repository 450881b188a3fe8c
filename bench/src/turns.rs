//! Programs measured in turn, so that what the machine does meanwhile meets all of them.

use anyhow::Result;

/// Runs each of `subjects` so many times, there and back: A B C, C B A, A B C, … What a subject's runs gave
/// stands in their order, so that the n-th run of one and the n-th of another are a pair. A subject that
/// fails is not run again.
pub(crate) fn in_turn<S, R>(
    times: usize,
    subjects: &[S],
    mut run: impl FnMut(&S) -> Result<R>,
) -> Vec<Result<Vec<R>>> {
    let mut all: Vec<Result<Vec<R>>> = subjects.iter().map(|_| Ok(Vec::new())).collect();
    for time in 0..times {
        let mut places: Vec<usize> = (0..subjects.len()).collect();
        if time % 2 == 1 {
            places.reverse();
        }
        for place in places {
            let Ok(runs) = &mut all[place] else { continue };
            match run(&subjects[place]) {
                Ok(result) => runs.push(result),
                Err(error) => all[place] = Err(error),
            }
        }
    }
    all
}

/// A figure of each run, in their order.
pub(crate) fn column<R>(runs: &[R], figure: impl Fn(&R) -> f64) -> Vec<f64> {
    runs.iter().map(figure).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_there_and_back() {
        let mut order = String::new();
        let all = in_turn(3, &['A', 'B', 'C'], |name| {
            order.push(*name);
            Ok(order.len())
        });
        assert_eq!(order, "ABCCBAABC");
        let all: Vec<Vec<usize>> = all.into_iter().map(Result::unwrap).collect();
        assert_eq!(all, [[1, 6, 7], [2, 5, 8], [3, 4, 9]]);
    }

    #[test]
    fn who_fails_is_left_out_and_nobody_else() {
        let mut runs = 0;
        let all = in_turn(2, &[true, false], |fails| {
            runs += 1;
            anyhow::ensure!(!*fails, "no");
            Ok(())
        });
        assert_eq!((all[0].is_err(), all[1].as_ref().unwrap().len(), runs), (true, 2, 3));
    }
}
