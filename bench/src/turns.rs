//! Alternation of programs, so that changes of the machine affect all of them.

use anyhow::Result;

/// As [`alternate_each`], but fails if one of the subjects fails.
pub(crate) fn alternate<S, R>(
    times: usize,
    subjects: &[S],
    run: impl FnMut(&S) -> Result<R>,
) -> Result<Vec<Vec<R>>> {
    alternate_each(times, subjects, run).into_iter().collect()
}

/// Runs each of `subjects` `times` times, forward and backward: A B C, C B A, A B C, … The results of a subject are
/// in the order of its runs, so that the n-th runs of two subjects are a pair. A subject that fails is not run again.
pub(crate) fn alternate_each<S, R>(
    times: usize,
    subjects: &[S],
    mut run: impl FnMut(&S) -> Result<R>,
) -> Vec<Result<Vec<R>>> {
    let mut all: Vec<Result<Vec<R>>> = subjects.iter().map(|_| Ok(Vec::new())).collect();
    for time in 0..times {
        let mut order: Vec<usize> = (0..subjects.len()).collect();
        if time % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let Ok(runs) = &mut all[index] else { continue };
            match run(&subjects[index]) {
                Ok(result) => runs.push(result),
                Err(error) => all[index] = Err(error),
            }
        }
    }
    all
}

/// One value of each run, in order.
pub(crate) fn column<R>(runs: &[R], value: impl Fn(&R) -> f64) -> Vec<f64> {
    runs.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_go_forward_and_backward() {
        let mut order = String::new();
        let all = alternate(3, &['A', 'B', 'C'], |name| {
            order.push(*name);
            Ok(order.len())
        });
        assert_eq!(order, "ABCCBAABC");
        assert_eq!(all.unwrap(), [[1, 6, 7], [2, 5, 8], [3, 4, 9]]);
    }

    #[test]
    fn only_a_failed_subject_is_skipped() {
        let mut runs = 0;
        let all = alternate_each(2, &[true, false], |fails| {
            runs += 1;
            anyhow::ensure!(!*fails, "no");
            Ok(())
        });
        assert_eq!((all[0].is_err(), all[1].as_ref().unwrap().len(), runs), (true, 2, 3));
    }
}
