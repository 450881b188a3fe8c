//! The processors of the server and of the generator, so that they do not compete.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

use super::error::CompareError;

/// The CPU affinity of this thread. Dropping it restores the original affinity.
pub(super) struct Cores {
    original: CpuSet,
    /// The processors of each; `None` if there is only one processor.
    pub(super) split: Option<Split>,
}

/// The processors of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Split {
    /// The processors of the server.
    pub server: Vec<usize>,
    /// The processor of the generator.
    pub generator: usize,
}

impl Cores {
    /// Divides the processors of this thread: the last is for the generator, the others for the server, or
    /// `server_cores` of them.
    pub(super) fn assign(server_cores: Option<usize>) -> Result<Self, CompareError> {
        let original = sched_getaffinity(None).map_err(|error| CompareError::Affinity(error.into()))?;
        let allowed: Vec<usize> =
            (0..CpuSet::MAX_CPU).filter(|processor| original.is_set(*processor)).collect();
        let processors = allowed.len();
        let server_max = processors.saturating_sub(1).max(1);
        if let Some(cores) = server_cores.filter(|cores| *cores > server_max) {
            return Err(CompareError::Usage(format!(
                "--server-cores {cores}: at most {server_max}, since this process may use {processors} and the \
                 generator needs one"
            )));
        }
        Ok(Self { original, split: split(allowed, server_cores) })
    }

    /// Starts a child on the processors of the server, since it inherits the affinity of this thread. Then this thread
    /// moves to the processor of the generator.
    pub(super) fn as_server<T>(&self, start: impl FnOnce() -> T) -> T {
        let Some(split) = &self.split else { return start() };
        let _ = sched_setaffinity(None, &set(&split.server));
        let started = start();
        let _ = sched_setaffinity(None, &set(&[split.generator]));
        started
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.original);
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
    fn the_generator_has_one_processor_and_the_server_the_others() {
        let split = |allowed: &[usize], cores| split(allowed.to_vec(), cores);
        assert_eq!(split(&[0, 1], None), Some(Split { server: vec![0], generator: 1 }));
        assert_eq!(split(&[2, 3, 5, 7], None), Some(Split { server: vec![2, 3, 5], generator: 7 }));
        assert_eq!(split(&[2, 3, 5, 7], Some(1)), Some(Split { server: vec![2], generator: 7 }));
        assert_eq!((split(&[4], None), split(&[], None)), (None, None));
    }

    #[test]
    fn more_processors_than_there_are_for_the_server_are_an_error() {
        let error = Cores::assign(Some(100_000)).err().unwrap().to_string();
        assert!(error.starts_with("--server-cores 100000: at most "), "{error}");
        assert!(Cores::assign(Some(1)).is_ok());
    }
}
