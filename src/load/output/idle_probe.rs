//! The groups of an idle probe as rows, for the table and the page.

use crate::load::stats::idle_probe::{DeathTimes, ProbeGroup, silence};
use crate::report::format::{count, time_us};

/// The names of the columns.
pub(crate) const COLUMNS: [&str; 6] = ["silence", "connections", "probed", "alive", "dead", "how"];

/// The cells of a group.
pub(crate) fn cells(group: &ProbeGroup) -> [String; 6] {
    [
        silence(group.silence_seconds),
        count(group.connections),
        count(group.probed),
        count(group.alive),
        count(group.dead),
        how(group),
    ]
}

/// How connections died, and what else became of those that are not alive.
fn how(group: &ProbeGroup) -> String {
    let ended = |what: &str, times: Option<DeathTimes>| {
        let times = times.map_or_else(String::new, |times| format!(", {}", range(times)));
        format!("{what} in the silence{times}")
    };
    let parts = [
        (group.unanswered, "silently".into()),
        (group.reset_in_silence, ended("reset", group.reset_after_seconds)),
        (group.reset_on_sending, "reset on sending".into()),
        (group.closed_in_silence, ended("closed", group.closed_after_seconds)),
        (group.closed_on_sending, "closed on sending".into()),
        (group.session_lost, "lost the session".into()),
        (group.unknown, "not known, see the failures".into()),
        (group.unfinished, "not finished".into()),
    ];
    let parts = parts.into_iter().filter(|(number, _)| *number > 0);
    parts.map(|(number, what)| format!("{} {what}", count(number))).collect::<Vec<_>>().join("; ")
}

fn range(times: DeathTimes) -> String {
    let [first, last] = [times.first, times.last].map(|seconds| time_us(seconds * 1e6));
    if first == last { format!("after {first}") } else { format!("after {first} to {last}") }
}

/// What a reader must know of the rows.
pub(crate) const NOTE: &str = "Probed connections were opened, exchanged a message and were then silent. The others did not die. Silently: no \
     reply to the message after the silence.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_shows_how_and_when_its_connections_died() {
        let group = ProbeGroup {
            silence_seconds: 60.0,
            connections: 1000,
            probed: 999,
            alive: 900,
            dead: 90,
            unanswered: 2,
            closed_in_silence: 80,
            closed_after_seconds: Some(DeathTimes { first: 1.9, median: 2.0, last: 2.1 }),
            reset_on_sending: 8,
            unfinished: 9,
            ..ProbeGroup::default()
        };
        let how =
            "2 silently; 8 reset on sending; 80 closed in the silence, after 1.9 s to 2.1 s; 9 not finished";
        assert_eq!(cells(&group), ["1 min", "1,000", "999", "900", "90", how]);
        assert_eq!(cells(&ProbeGroup::default())[5], "");
    }
}
