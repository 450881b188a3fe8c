//! From measured runs to findings: pure functions.

pub(crate) mod crossover;
pub(crate) mod findings;
pub(crate) mod scalability;
pub(crate) mod statistics;
