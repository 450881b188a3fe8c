//! `load` against real servers, and against servers that follow a script: those that stall, break, lie or
//! never answer. Whatever they do, the run ends, and every message is accounted for.

#![allow(clippy::disallowed_methods, reason = "scripted servers run on threads")]

#[path = "../common/mod.rs"]
mod common;

mod bad_targets;
mod connections;
mod datagrams;
mod one_shot;
mod results;
mod running;
mod schedule;
mod scripted;
mod shape;
mod signals;
