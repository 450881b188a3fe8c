//! x
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod client;
mod conn;
mod conn_table;
mod counters;
mod datagrams;
mod deadlines;
mod descriptors;
mod destination;
pub mod endpoint;
pub mod escape;
pub mod event_loop;
pub mod frame;
pub mod journal;
pub mod limits;
#[cfg(feature = "cli")]
mod logger;
#[cfg(not(feature = "cli"))]
pub mod minimal;
pub mod net;
pub mod options;
mod peers;
pub mod server;
pub mod service;
mod sessions;
pub mod sockets;
#[cfg(feature = "cli")]
mod threads;
mod token;
pub mod units;

pub use conn::CloseReason;
pub use counters::Counters;
