//! x
pub mod endpoint;
pub mod escape;
pub mod frame;
pub mod service;
pub mod units;
