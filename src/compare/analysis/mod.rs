//! From measured runs to findings: pure functions.

pub(crate) mod baseline;
mod cells;
pub(crate) mod crossover;
pub(crate) mod findings;
pub(crate) mod pairs;
pub(crate) mod scalability;
mod sentence;
pub(crate) mod statistics;
pub(crate) mod verdict;
