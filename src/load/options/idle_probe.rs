//! The option `--idle-probe`: its silences, and which options do not apply to it.

use std::time::Duration;

use super::LoadOptions;
use crate::load::schedule::Arrivals;
use crate::units::parse_duration;

/// Parses silences, separated by commas, and sorts them.
///
/// # Errors
/// Names the part that is no duration, or one that is given twice.
pub(crate) fn parse_silences(text: &str) -> Result<Vec<Duration>, String> {
    let parse = |part: &str| parse_duration(part).map_err(|error| format!("'{part}': {error}"));
    let mut silences = text.split(',').map(|part| parse(part.trim())).collect::<Result<Vec<_>, _>>()?;
    silences.sort_unstable();
    match silences.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("{:?} is given twice", pair[0])),
        None => Ok(silences),
    }
}

impl LoadOptions {
    /// The silences of the groups, ascending.
    pub(crate) fn silences_ns(&self) -> Vec<u64> {
        let silence_ns = |silence: &Duration| u64::try_from(silence.as_nanos()).unwrap_or(u64::MAX);
        self.idle_probe.iter().map(silence_ns).collect()
    }

    /// Sets the duration to the longest that a probe can take, if there is one: two messages and the longest silence.
    /// `given` is what the user wants.
    ///
    /// # Errors
    /// One line if there is a duration as well.
    pub(crate) fn take_duration_of_probe(&mut self, given: Option<Duration>) -> Result<(), String> {
        let Some(longest) = self.idle_probe.last() else { return Ok(()) };
        self.duration = *longest + 2 * self.timeout + LATENESS_MAX;
        given.map_or(Ok(()), |_| refuse("--duration"))
    }

    /// Checks the options against those of a probe.
    pub(super) fn check_idle_probe(&self) -> Result<(), String> {
        if self.idle_probe.is_empty() {
            return Ok(());
        }
        if self.target.is_hold() {
            return Err("hold sends nothing: --idle-probe requires a service, tcp= or udp=".into());
        }
        if self.one_shot {
            return Err("each message has its own connection: --idle-probe does not apply".into());
        }
        let others = [
            ("--rate", self.is_open_loop()),
            ("--active", self.active.is_some() || !self.active_stages.is_empty()),
            ("--heartbeat", self.heartbeat.is_some()),
            ("--pipeline", self.pipeline > 1),
            ("--arrivals", self.arrivals != Arrivals::Uniform),
            ("--warmup", !self.warmup.is_zero()),
        ];
        if let Some((option, _)) = others.iter().find(|(_, is_given)| *is_given) {
            return refuse(option);
        }
        let groups = self.idle_probe.len();
        if (self.connections as usize) < groups {
            return Err(format!(
                "--idle-probe has {groups} silences: --connections must be at least {groups}, one for each"
            ));
        }
        Ok(())
    }
}

fn refuse(option: &str) -> Result<(), String> {
    Err(format!(
        "{option} does not apply to --idle-probe: connections send once before and once after the silence"
    ))
}

/// How late messages may be in addition. The probe ends when all connections have sent and were answered.
const LATENESS_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_are_sorted_and_distinct() {
        let seconds =
            |text| parse_silences(text).map(|it| it.iter().map(Duration::as_secs).collect::<Vec<_>>());
        assert_eq!(seconds("10s"), Ok(vec![10]));
        assert_eq!(seconds("5m, 30s,10s,1m"), Ok(vec![10, 30, 60, 300]));
        assert_eq!(seconds("30s,10s,30"), Err("30s is given twice".into()));
        assert!(seconds("10s,,1m").unwrap_err().starts_with("'': expected a whole number of seconds"));
        assert!(seconds("10s,1x").unwrap_err().starts_with("'1x': expected"));
        assert_eq!(seconds("0s").unwrap_err(), "'0s': it must be at least 1ms");
    }

    #[test]
    fn options_that_do_not_apply_to_a_probe_are_refused_in_a_line() {
        let checked = |target: &str, change: fn(&mut LoadOptions)| {
            let mut options = LoadOptions::of(target.parse().unwrap());
            options.idle_probe = parse_silences("1s,2s").unwrap();
            change(&mut options);
            options.check()
        };
        for target in ["message", "month"] {
            assert_eq!(checked(target, |it| it.open_rate = Some(9)), Ok(()));
        }
        for (target, change, expected) in [
            ("hold=1", (|_| {}) as fn(&mut LoadOptions), "hold sends nothing: --idle-probe requires"),
            ("greeting", |_| {}, "each message has its own connection: --idle-probe does not apply"),
            ("message", |it| it.rate = Some(1), "--rate does not apply to --idle-probe: "),
            ("message", |it| it.active = Some(1), "--active does not apply"),
            ("message", |it| it.heartbeat = Some(Duration::from_secs(1)), "--heartbeat does not apply"),
            ("message", |it| it.pipeline = 2, "--pipeline does not apply"),
            ("message", |it| it.warmup = Duration::from_secs(1), "--warmup does not apply"),
            (
                "message",
                |it| it.connections = 1,
                "--idle-probe has 2 silences: --connections must be at least 2",
            ),
        ] {
            let line = checked(target, change).unwrap_err();
            assert!(line.starts_with(expected) && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_probe_has_no_other_duration() {
        let mut options = LoadOptions::of("message".parse().unwrap());
        assert_eq!(options.take_duration_of_probe(Some(Duration::from_secs(1))), Ok(()));
        options.idle_probe = parse_silences("1s,2s").unwrap();
        assert_eq!(options.take_duration_of_probe(None), Ok(()));
        assert!(options.duration >= Duration::from_secs(2) + 2 * options.timeout);
        let line = options.take_duration_of_probe(Some(Duration::from_secs(1))).unwrap_err();
        assert!(line.starts_with("--duration does not apply"), "{line}");
    }
}
