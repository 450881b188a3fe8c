//! A generator of a merge, and how its run ended.

use serde::Serialize;

use super::run_result::RunResult;
use crate::load::stats::histogram_log::Merged;
use crate::load::stats::summary::Second;
use crate::report::format::time_us;
use crate::report::utc_time::UtcTime;

/// What is known of a generator.
#[derive(Debug)]
pub(crate) struct Generator {
    /// Its file.
    pub file: String,
    pub times: Merged,
    pub run_id: Option<String>,
    /// When its run began, by its clock.
    pub began_at: Option<UtcTime>,
    pub seconds: Vec<Second>,
    /// Whether the log has its end; `None` if another tool wrote it.
    pub is_finished: Option<bool>,
    /// `None`: its file is a log.
    pub result: Option<RunResult>,
}

impl Generator {
    /// A line that names its log, if that is not of a whole run.
    pub(super) fn unfinished(&self) -> Option<String> {
        self.why_unfinished().map(|why| format!("{}: {why}", self.file))
    }

    /// Why its result is not that of a whole, valid run.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.why_unfinished().into_iter().collect();
        if let Some(result) = &self.result {
            if let Some(failed) = result.failed {
                notes.push(format!("failed: {}", word(&failed)));
            }
            if let Some(early) = result.ended_early {
                let seconds = time_us(result.duration_seconds * 1e6);
                notes.push(format!("ended early ({}), after {seconds} of sending", word(&early)));
            }
            if let Some(why) = &result.why_invalid {
                notes.push(format!("not ok: {why}"));
            }
        }
        notes.into_iter().map(|note| format!("{}: {note}", self.file)).collect()
    }

    /// Why its log is not that of a whole run, if it is not.
    fn why_unfinished(&self) -> Option<String> {
        let end = self.seconds.last().map_or(0.0, |last| last.at_seconds);
        let is_unfinished = self.is_finished == Some(false);
        is_unfinished.then(|| format!("killed, or still running: its log ends after {}", time_us(end * 1e6)))
    }

    /// Its name in plots and tables: that of its file, without folders and ending.
    pub(crate) fn short_name(&self) -> &str {
        let name = self.file.rsplit('/').next().unwrap_or(&self.file);
        name.rsplit_once('.').map_or(name, |(stem, _)| if stem.is_empty() { name } else { stem })
    }

    /// How it ended, in a few words.
    pub(crate) fn state(&self) -> String {
        match (&self.result, self.is_finished) {
            (_, Some(false)) => "killed".into(),
            (Some(result), _) => match (result.failed, result.ended_early, result.valid) {
                (Some(failed), _, _) => format!("failed: {}", word(&failed)),
                (None, Some(early), _) => format!("ended early: {}", word(&early)),
                (None, None, false) => "not ok".into(),
                (None, None, true) => "ok".into(),
            },
            (None, Some(true)) => "finished".into(),
            (None, None) => "unknown".into(),
        }
    }
}

/// A value of the JSON in words: `stopped replying`.
fn word(value: &impl Serialize) -> String {
    let text = serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned));
    text.unwrap_or_default().replace('_', " ")
}
