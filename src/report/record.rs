//! A result as `--json` writes it: the same head for every sub-command, then the result itself.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::run_info::RunInfo;

/// A result with what is needed to interpret it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Record<'a, O, T> {
    /// Version of this format. It changes if a key is removed or changes its meaning, not if one is added.
    schema: u32,
    /// Version of the program.
    loopline: &'static str,
    /// The sub-command.
    command: Command,
    /// When, where and how the program was run.
    run: Run<'a, O>,
    #[serde(flatten)]
    result: T,
}

/// The sub-commands with a result.
#[derive(Debug, Clone, Copy, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Command {
    /// `loopline load`, also with `--merge`.
    Load,
    /// `loopline compare`.
    Compare,
    /// `loopline doctor`.
    Doctor,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Run<'a, O> {
    #[serde(flatten)]
    info: &'a RunInfo,
    /// The options in effect, from arguments, environment and defaults.
    options: O,
}

impl<'a, O, T> Record<'a, O, T> {
    /// The record of `result`, which `command` had with `options`.
    pub(crate) fn new(command: Command, info: &'a RunInfo, options: O, result: T) -> Self {
        Self { schema: SCHEMA, loopline: VERSION, command, run: Run { info, options }, result }
    }
}

/// Writes a duration in seconds.
pub(crate) fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// Version of the format.
pub(crate) const SCHEMA: u32 = 1;

/// Version of the program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_begins_with_its_schema_and_ends_with_the_result() {
        let (info, options) = (RunInfo::sample(), json!({"duration_seconds": 10.0}));
        let record = Record::new(Command::Load, &info, options, json!({"valid": true}));
        let run = json!({
            "started_at": "2026-11-21T20:17:46.120Z",
            "host": "host.example",
            "kernel": "6.12.0",
            "processors": 2,
            "command_line": ["loopline", "load", "message", "-d", "10s"],
            "options": {"duration_seconds": 10.0},
        });
        let whole = json!({"schema": 1, "loopline": VERSION, "command": "load", "run": run, "valid": true});
        assert_eq!(serde_json::to_value(&record).unwrap(), whole);
        assert!(serde_json::to_string(&record).unwrap().starts_with(r#"{"schema":1,"#));
    }
}
