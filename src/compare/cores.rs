//! Which processors the server and the generator run on, so that neither takes time from the other.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

/// The processors of both. What this thread may run on, a child that it starts may too; so it moves to the
/// server's before it starts one, and back to its own. In the end it may run everywhere it could before.
pub(super) struct Cores {
    before: CpuSet,
    split: Option<Split>,
}

/// Who runs where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Split {
    /// Processors of the server.
    pub server: Vec<usize>,
    /// The one of the generator.
    pub generator: usize,
}

impl Cores {
    /// What this thread may use, shared out: the last processor is the generator's, and of the others as many
    /// the server's as it should have.
    pub(super) fn share_out(server_cores: Option<usize>) -> io::Result<Self> {
        let before = sched_getaffinity(None)?;
        let allowed = (0..CpuSet::MAX_CPU).filter(|processor| before.is_set(*processor)).collect();
        Ok(Self { before, split: split(allowed, server_cores) })
    }

    /// Who runs where; `None` when there is only one processor.
    pub(super) fn split(&self) -> Option<&Split> {
        self.split.as_ref()
    }

    /// Moves to where the server is to run.
    pub(super) fn as_server(&self) {
        if let Some(split) = &self.split {
            let _ = sched_setaffinity(None, &set(&split.server));
        }
    }

    /// Moves to where the generator runs.
    pub(super) fn as_generator(&self) {
        if let Some(split) = &self.split {
            let _ = sched_setaffinity(None, &set(&[split.generator]));
        }
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.before);
    }
}

fn split(mut allowed: Vec<usize>, server_cores: Option<usize>) -> Option<Split> {
    let generator = allowed.pop()?;
    allowed.truncate(server_cores.unwrap_or(usize::MAX).max(1));
    (!allowed.is_empty()).then_some(Split { server: allowed, generator })
}

fn set(processors: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    processors.iter().for_each(|processor| set.set(*processor));
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_has_one_and_the_server_the_others() {
        let split = |allowed: &[usize], cores| split(allowed.to_vec(), cores);
        assert_eq!(split(&[0, 1], None), Some(Split { server: vec![0], generator: 1 }));
        assert_eq!(split(&[2, 3, 5, 7], None), Some(Split { server: vec![2, 3, 5], generator: 7 }));
        assert_eq!(split(&[2, 3, 5, 7], Some(1)), Some(Split { server: vec![2], generator: 7 }));
        assert_eq!((split(&[4], None), split(&[], None)), (None, None));
    }
}
