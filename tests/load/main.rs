//! Runs `load` against real servers, and against scripted ones that stall, break the connection, reply wrongly
//! or never reply. Every run ends, and every message is counted once.

#![allow(clippy::disallowed_methods, reason = "scripted servers run on threads")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/schema.rs"]
mod schema;

mod any_protocol;
mod bad_targets;
mod connections;
mod datagrams;
mod failures;
mod idle_probe;
mod merge;
mod one_shot;
mod results;
mod running;
mod schedule;
mod scripted;
mod search;
mod signals;
mod start_at;
