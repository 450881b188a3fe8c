//! The result of an idle probe: what became of the connections of each silence, and the answer in a sentence.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::load::idle_probe::{Group, IdleProbe};
use crate::report::format::{count, time_us};
use crate::units::float;

/// What an idle probe has found.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ProbeResult {
    /// The answer, as a sentence without a full stop.
    pub answer: String,
    /// The longest silence up to which no connection died, in seconds; null if connections of the shortest did.
    pub alive_up_to_seconds: Option<f64>,
    /// The shortest silence of which connections died, in it or after it, in seconds; null if none died.
    pub dead_from_seconds: Option<f64>,
    /// Connections that died.
    pub dead: u64,
    /// The groups of connections, by silence.
    pub groups: Vec<ProbeGroup>,
}

/// The connections that were silent for the same time. Those that were probed are alive, dead, unknown or unfinished.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ProbeGroup {
    /// The silence, in seconds.
    pub silence_seconds: f64,
    /// The longest time until a connection sent again, in seconds; null if none did.
    pub longest_seconds: Option<f64>,
    /// Connections of the group.
    pub connections: u64,
    /// Connections that were opened and answered a message, and then fell silent. The others did not die.
    pub probed: u64,
    /// Connections whose message after the silence was answered.
    pub alive: u64,
    /// Connections that died: the sum of the six counts below.
    pub dead: u64,
    /// Connections whose message after the silence was not answered in time: a silent death.
    pub unanswered: u64,
    /// Connections that were reset in the silence.
    pub reset_in_silence: u64,
    /// Connections that were reset when they sent after the silence; over UDP, whose request was rejected.
    pub reset_on_sending: u64,
    /// Connections that were closed in the silence.
    pub closed_in_silence: u64,
    /// Connections that were closed when they sent after the silence.
    pub closed_on_sending: u64,
    /// Over UDP, sockets whose request after the silence was answered as if it were the first of a new peer.
    pub session_lost: u64,
    /// After what time in the silence connections were reset, in seconds; null if none was.
    pub reset_after_seconds: Option<DeathTimes>,
    /// After what time in the silence connections were closed, in seconds; null if none was.
    pub closed_after_seconds: Option<DeathTimes>,
    /// Connections that ended in another way, as by a wrong reply: neither alive nor dead.
    pub unknown: u64,
    /// Connections that were silent, or had sent and waited for the reply, when the run was interrupted.
    pub unfinished: u64,
    /// How often the server sent something in a silence, which was none then for what is on the way.
    pub received_in_silence: u64,
}

/// When connections died.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct DeathTimes {
    /// The first.
    pub first: f64,
    /// Half of them later than this.
    pub median: f64,
    /// The last.
    pub last: f64,
}

impl ProbeResult {
    pub(crate) fn of(probe: &IdleProbe) -> Self {
        Self::of_groups(
            probe.groups().map(|(group, connections)| ProbeGroup::of(group, connections)).collect(),
        )
    }

    fn of_groups(groups: Vec<ProbeGroup>) -> Self {
        let known = || groups.iter().filter(|group| group.is_known());
        let first = known().find(|group| group.dead > 0);
        let is_before =
            |group: &&ProbeGroup| first.is_none_or(|first| group.silence_seconds < first.silence_seconds);
        let before = known().rfind(is_before);
        Self {
            answer: answer(&groups, before, first),
            alive_up_to_seconds: before.map(|group| group.silence_seconds),
            dead_from_seconds: first.map(|group| group.silence_seconds),
            dead: groups.iter().map(|group| group.dead).sum(),
            groups,
        }
    }
}

impl ProbeGroup {
    fn of(group: &Group, connections: u64) -> Self {
        let of = &group.counts;
        let number = |times: &Option<Histogram<u64>>| times.as_ref().map_or(0, Histogram::len);
        let (reset_in_silence, closed_in_silence) = (number(&of.reset_after), number(&of.closed_after));
        let on_sending = of.reset_on_sending + of.closed_on_sending + of.unanswered + of.new_session;
        let dead = reset_in_silence + closed_in_silence + on_sending;
        Self {
            silence_seconds: seconds(group.silence_ns),
            longest_seconds: (of.longest_ns > 0).then(|| seconds(of.longest_ns)),
            connections,
            probed: of.probed,
            alive: of.alive,
            dead,
            unanswered: of.unanswered,
            reset_in_silence,
            reset_on_sending: of.reset_on_sending,
            closed_in_silence,
            closed_on_sending: of.closed_on_sending,
            session_lost: of.new_session,
            reset_after_seconds: of.reset_after.as_ref().map(DeathTimes::of),
            closed_after_seconds: of.closed_after.as_ref().map(DeathTimes::of),
            unknown: of.other,
            unfinished: of.probed - of.alive - dead - of.other,
            received_in_silence: of.received_in_silence,
        }
    }

    /// Whether it is known of any connection whether it died.
    fn is_known(&self) -> bool {
        self.alive + self.dead > 0
    }

    /// The share of the connections that are alive, of those of which it is known.
    pub(crate) fn survived(&self) -> Option<f64> {
        self.is_known().then(|| float(self.alive) / float(self.alive + self.dead))
    }

    fn died_in_silence(&self) -> u64 {
        self.reset_in_silence + self.closed_in_silence
    }
}

impl DeathTimes {
    fn of(nanoseconds: &Histogram<u64>) -> Self {
        Self {
            first: seconds(nanoseconds.min()),
            median: seconds(nanoseconds.value_at_quantile(0.5)),
            last: seconds(nanoseconds.max()),
        }
    }
}

/// What the groups have in common. The group `first` is the first with dead connections, and `before` the last before it.
fn answer(groups: &[ProbeGroup], before: Option<&ProbeGroup>, first: Option<&ProbeGroup>) -> String {
    let Some(first) = first else {
        return match before {
            Some(longest) => format!("no connection died up to {}", silence(longest.silence_seconds)),
            None => "no silence was over".into(),
        };
    };
    let from_first = |group: &&ProbeGroup| group.silence_seconds >= first.silence_seconds && group.is_known();
    let from_first: Vec<&ProbeGroup> = groups.iter().filter(from_first).collect();
    let dead: u64 = from_first.iter().map(|group| group.dead).sum();
    let known = dead + from_first.iter().map(|group| group.alive).sum::<u64>();
    if let Some(later) = from_first.iter().find(|group| group.dead == 0) {
        return format!(
            "no idle timeout is recognizable: {} of {} died with a silence of {}, and none with one of {}",
            count(first.dead),
            count(first.dead + first.alive),
            silence(first.silence_seconds),
            silence(later.silence_seconds)
        );
    }
    let who = if dead == known {
        "connections".into()
    } else {
        format!("some connections ({} of {})", count(dead), count(known))
    };
    format!("{who} {} {}", manner(&from_first), when(&from_first, before, first))
}

/// How connections died: `die silently`, `are closed`.
fn manner(groups: &[&ProbeGroup]) -> String {
    type Pick = fn(&ProbeGroup) -> u64;
    let manners: [(&str, &str, Pick); 6] = [
        ("die silently", "silently", |group| group.unanswered),
        ("are reset", "reset", |group| group.reset_in_silence),
        ("are reset when they send", "reset when they sent", |group| group.reset_on_sending),
        ("are closed", "closed", |group| group.closed_in_silence),
        ("are closed when they send", "closed when they sent", |group| group.closed_on_sending),
        ("lose their session", "by the loss of their session", |group| group.session_lost),
    ];
    let sum = |pick: Pick| groups.iter().map(|group| pick(group)).sum::<u64>();
    let found: Vec<_> =
        manners.iter().map(|(all, some, pick)| (all, some, sum(*pick))).filter(|it| it.2 > 0).collect();
    match &found[..] {
        [(all, ..)] => (**all).into(),
        several => {
            let parts: Vec<String> =
                several.iter().map(|(_, some, n)| format!("{} {some}", count(*n))).collect();
            format!("die ({})", parts.join(", "))
        }
    }
}

/// After which silence connections died. The time is known exactly if all died in the silence.
fn when(groups: &[&ProbeGroup], before: Option<&ProbeGroup>, first: &ProbeGroup) -> String {
    if groups.iter().all(|group| group.dead == group.died_in_silence()) {
        let times = || {
            groups.iter().flat_map(|group| [group.reset_after_seconds, group.closed_after_seconds]).flatten()
        };
        let earliest = times().map(|times| times.first).fold(f64::INFINITY, f64::min);
        let latest = times().map(|times| times.last).fold(0.0, f64::max);
        let [earliest, latest] = [earliest, latest].map(|seconds| time_us(to_two_digits(seconds) * 1e6));
        return if earliest == latest {
            format!("after {earliest}")
        } else {
            format!("after {earliest} to {latest}")
        };
    }
    let within = silence(first.silence_seconds);
    match before {
        Some(before) => format!("after between {} and {within}", silence(before.silence_seconds)),
        None => format!("within {within}"),
    }
}

/// Rounded to two significant digits: the end of a silence is not known to the millisecond.
fn to_two_digits(value: f64) -> f64 {
    format!("{value:.1e}").parse().unwrap_or(value)
}

/// A silence as text: `500 ms`, `30 s`, `5 min`.
pub(crate) fn silence(seconds: f64) -> String {
    let (minutes, hours) = (seconds / 60.0, seconds / 3600.0);
    let is_whole = |value: f64| value >= 1.0 && value.fract() == 0.0;
    match seconds {
        _ if is_whole(hours) => format!("{hours} h"),
        _ if is_whole(minutes) => format!("{minutes} min"),
        // Three digits of a time may not be all that it has.
        _ if is_whole(seconds) => format!("{seconds} s"),
        _ => time_us(seconds * 1e6),
    }
}

fn seconds(ns: u64) -> f64 {
    float(ns) / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group of ten connections, of which all died that are not alive.
    fn group(silence_seconds: f64, alive: u64, change: fn(&mut ProbeGroup)) -> ProbeGroup {
        let dead = 10 - alive;
        let mut group =
            ProbeGroup { silence_seconds, connections: 10, probed: 10, alive, dead, ..ProbeGroup::default() };
        change(&mut group);
        group
    }

    fn alive(silence_seconds: f64) -> ProbeGroup {
        group(silence_seconds, 10, |_| {})
    }

    fn silent(silence_seconds: f64, alive: u64) -> ProbeGroup {
        group(silence_seconds, alive, |group| group.unanswered = group.dead)
    }

    fn closed(silence_seconds: f64) -> ProbeGroup {
        group(silence_seconds, 0, |group| {
            group.closed_in_silence = 10;
            group.closed_after_seconds = Some(DeathTimes { first: 1.998, median: 2.0, last: 2.012 });
        })
    }

    fn answer_of(groups: Vec<ProbeGroup>) -> String {
        ProbeResult::of_groups(groups).answer
    }

    #[test]
    fn the_answer_is_the_range_in_which_connections_die() {
        let groups = vec![alive(10.0), silent(30.0, 0), silent(60.0, 0)];
        let result = ProbeResult::of_groups(groups);
        assert_eq!(result.answer, "connections die silently after between 10 s and 30 s");
        assert_eq!(
            (result.alive_up_to_seconds, result.dead_from_seconds, result.dead),
            (Some(10.0), Some(30.0), 20)
        );
        assert_eq!(answer_of(vec![silent(0.5, 0), silent(1.0, 0)]), "connections die silently within 500 ms");
    }

    #[test]
    fn the_answer_names_the_longest_silence_if_no_connection_died() {
        let result = ProbeResult::of_groups(vec![alive(10.0), alive(300.0)]);
        assert_eq!(result.answer, "no connection died up to 5 min");
        assert_eq!((result.alive_up_to_seconds, result.dead_from_seconds), (Some(300.0), None));
        let unfinished = group(3600.0, 0, |group| (group.dead, group.unfinished) = (0, 10));
        assert_eq!(answer_of(vec![alive(10.0), unfinished.clone()]), "no connection died up to 10 s");
        assert_eq!(answer_of(vec![unfinished]), "no silence was over");
    }

    #[test]
    fn connections_that_end_in_the_silence_are_known_by_the_time() {
        assert_eq!(answer_of(vec![alive(1.0), closed(4.0), closed(8.0)]), "connections are closed after 2 s");
        let mut spread = closed(8.0);
        spread.closed_after_seconds = Some(DeathTimes { first: 2.4, median: 3.0, last: 3.5 });
        assert_eq!(answer_of(vec![closed(4.0), spread]), "connections are closed after 2 s to 3.5 s");
    }

    #[test]
    fn the_answer_names_the_manner() {
        let on_sending = group(2.0, 0, |group| group.reset_on_sending = 10);
        assert_eq!(
            answer_of(vec![alive(1.0), on_sending]),
            "connections are reset when they send after between 1 s and 2 s"
        );
        let lost = group(2.0, 0, |group| group.session_lost = 10);
        assert_eq!(answer_of(vec![lost]), "connections lose their session within 2 s");
        let mixed = group(2.0, 0, |group| (group.unanswered, group.reset_on_sending) = (7, 3));
        assert_eq!(
            answer_of(vec![alive(1.0), mixed]),
            "connections die (7 silently, 3 reset when they sent) after between 1 s and 2 s"
        );
    }

    #[test]
    fn some_dead_connections_are_not_all() {
        assert_eq!(
            answer_of(vec![alive(1.0), silent(2.0, 7), silent(4.0, 0)]),
            "some connections (13 of 20) die silently after between 1 s and 2 s"
        );
        assert_eq!(
            answer_of(vec![alive(1.0), silent(2.0, 9), alive(4.0)]),
            "no idle timeout is recognizable: 1 of 10 died with a silence of 2 s, and none with one of 4 s"
        );
    }

    #[test]
    fn a_silence_is_written_in_the_largest_unit_without_a_fraction() {
        let texts = [0.25, 1.0, 90.0, 300.0, 3600.0, 5400.0].map(silence);
        assert_eq!(texts, ["250 ms", "1 s", "90 s", "5 min", "1 h", "90 min"]);
    }
}
