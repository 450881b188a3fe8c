//! `load`: drives any number of connections to a server, and tells the truth about it.

pub mod summary;
