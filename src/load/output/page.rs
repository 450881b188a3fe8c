//! The page that `--report` writes.

mod histogram;
mod idle_probe;
mod merged;
mod plots;
mod search;
mod tables;
mod thresholds;

pub(crate) use merged::merged;
pub(crate) use search::search;

use crate::load::merge::CountedFailure;
use crate::load::output::{ending, stages, wording};
use crate::load::stats::idle_probe::{ProbeResult, silence};
use crate::load::stats::summary::{Connections, LoadModel, Outcome, Summary};
use crate::load::stats::threshold::Judgment;
use crate::report::format::{count, optional, rate, share, time_us};
use crate::report::page::{Card, Page, Tone};
use crate::report::record::VERSION;
use crate::report::run_info::RunInfo;

/// The page about `outcome` and its thresholds, as HTML.
pub(crate) fn page(outcome: &Outcome, judgments: &[Judgment], run: &RunInfo) -> String {
    let summary = &outcome.summary;
    let mut page = Page::new(&format!("loopline load {}", summary.endpoint), &subtitle(summary));
    page.run(run);
    notes(outcome, &mut page);
    thresholds::add(judgments, &mut page);
    if let Some(probe) = &summary.idle_probe {
        page.cards(&probe_cards(summary, probe));
        page.section("Survival of idle connections", &format!("{}.", sentence(&probe.answer)));
        let [over_time, _] = plots::opening(&outcome.seconds);
        page.plots(&[idle_probe::survival(&probe.groups), plots::marked(over_time, summary)]);
        page.table(&idle_probe::table(&probe.groups));
        stages(summary, &mut page);
        connecting(outcome, &mut page);
    } else if summary.load_model == LoadModel::Hold {
        page.cards(&held_cards(summary));
        page.section("Connections over time", "");
        page.plots(&plots::opening(&outcome.seconds).map(|plot| plots::marked(plot, summary)));
        stages(summary, &mut page);
        connecting(outcome, &mut page);
    } else {
        page.cards(&cards(summary));
        page.section("Second by second", "");
        page.plots(&plots::activity(&outcome.seconds).map(|plot| plots::marked(plot, summary)));
        stages(summary, &mut page);
        latency(outcome, &mut page);
    }
    page.section("Counts", "");
    let messages = (summary.load_model != LoadModel::Hold).then(|| tables::messages(summary));
    let heartbeats = summary.heartbeats.as_ref().map(tables::heartbeats);
    let datagrams = summary.datagrams.as_ref().map(tables::datagrams);
    let connections = Some(tables::connections(summary, 1));
    page.tables(
        &messages.into_iter().chain(heartbeats).chain(connections).chain(datagrams).collect::<Vec<_>>(),
    );
    if !summary.failures.is_empty() {
        page.table(&tables::failures(&CountedFailure::of(&summary.failures)));
    }
    page.section("The generator", "Resources used by the generator, not by the server.");
    page.tables(&[tables::generator(&summary.generator), tables::traffic(&summary.bytes)]);
    page.finish(&format!("Written by loopline {VERSION}."))
}

/// The table of the stages, if there are some.
fn stages(summary: &Summary, page: &mut Page) {
    if !summary.stages.is_empty() {
        page.section("Stages", "The plots over time are marked with their numbers.");
        page.table(&tables::stages(&summary.stages));
        stages::reasons(&summary.stages).iter().for_each(|reason| page.paragraph(reason));
    }
}

/// The times of messages, and those of their connections and of the schedule where there are some.
fn latency(outcome: &Outcome, page: &mut Page) {
    let (summary, times) = (&outcome.summary, &outcome.times);
    if times.response.is_empty() {
        return;
    }
    page.section("Latency", latency_text(summary.load_model));
    let is_equal = plots::is_service_equal(times);
    let over_time = plots::marked(plots::responses(&outcome.seconds), summary);
    page.plot_and_table(&over_time, &tables::latencies(summary, is_equal));
    page.plots(&plots::latency(times));
    if summary.load_model == LoadModel::Open {
        page.section(
            "Schedule lag",
            "How late messages were sent. The generator adds this to the response time, so it should be much \
             smaller.",
        );
        page.plots(&plots::lag(outcome));
    }
    if summary.datagrams.is_none() && times.connect.len() >= CONNECTS_MIN {
        page.section("Time to connect", CONNECT_TEXT);
        page.plots(&plots::connect(&times.connect));
    }
}

/// The measurement of a run that only opens connections.
fn connecting(outcome: &Outcome, page: &mut Page) {
    if outcome.times.connect.is_empty() {
        return;
    }
    page.section("Time to connect", CONNECT_TEXT);
    let table = tables::connect(&outcome.summary);
    match plots::connects(&outcome.seconds) {
        Some(over_time) => page.plot_and_table(&over_time, &table),
        None => page.table(&table),
    }
    page.plots(&plots::connect(&outcome.times.connect));
}

/// The options of the run, in a line.
fn subtitle(summary: &Summary) -> String {
    let connections = count(summary.connections.asked);
    let duration = time_us(summary.duration_seconds * 1e6);
    let how = wording::load_model(summary);
    let noun = if summary.connections.asked == 1 { "connection" } else { "connections" };
    format!("{connections} {noun} · {duration} · {how}")
}

/// Whether the results are valid, and other notes to read first.
fn notes(outcome: &Outcome, page: &mut Page) {
    let summary = &outcome.summary;
    if let Some(why) = ending::failure(summary) {
        page.note(Tone::Warning, "Failed.", &format!("{}.", sentence(&why)));
    }
    for how in ending::early_ends(summary) {
        page.note(Tone::Warning, &format!("{}.", sentence(&how)), "");
    }
    let connections = &summary.connections;
    if connections.opened < connections.asked {
        let verdict =
            format!("{} of {} connections were opened.", count(connections.opened), count(connections.asked));
        let reason = connections.limited_by.map_or_else(String::new, |limit| format!("The limit: {limit}."));
        page.note(Tone::Warning, &verdict, &reason);
    }
    match summary.why_invalid {
        None => page.note(Tone::Good, "Generator ok.", "The generator was not the limit."),
        Some(why) => {
            let reason = format!("{}. These results are not the server’s.", sentence(&why.to_string()));
            page.note(Tone::Warning, "Generator not ok.", &reason);
        }
    }
}

/// `text` with a capital letter, without a full stop.
fn sentence(text: &str) -> String {
    let mut characters = text.trim_end_matches('.').chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).collect()
}

/// The main results: a row of counts and rates, and a row of latencies.
fn cards(summary: &Summary) -> [Card; 8] {
    let (connections, messages) = (&summary.connections, &summary.messages);
    let response = &summary.latency_us.response;
    let of_offered = messages.offered_rate.filter(|offered| *offered > 0.0).map_or_else(
        || "as fast as replies arrived".into(),
        |offered| match &summary.heartbeats {
            None => format!("{} of {} offered", share(messages.rate / offered), rate(offered)),
            // They are acknowledged in addition.
            Some(_) => format!("{} offered, and heartbeats", rate(offered)),
        },
    );
    [
        opened_card(connections),
        card("acknowledged", rate(messages.rate), &of_offered),
        card(
            "failed or unanswered",
            count(messages.failed.saturating_add(messages.unanswered)),
            &format!("{} failed, {} unanswered", count(messages.failed), count(messages.unanswered)),
        ),
        generator_card(summary),
        time_card("response, p50", response.p50, "half were slower"),
        time_card("response, p99", response.p99, "1 in 100 was slower"),
        time_card("response, p99.9", response.p99_9, "1 in 1,000 was slower"),
        time_card("response, largest", response.max, &format!("of {}", count(response.count))),
    ]
}

/// The main results of a run that only opens connections.
fn held_cards(summary: &Summary) -> [Card; 8] {
    let connections = &summary.connections;
    let connect = &summary.latency_us.connect;
    let open = connections.opened.saturating_sub(connections.lost);
    [
        opened_card(connections),
        card(
            "opened per second",
            rate(connections.open_rate),
            &format!("{} took a second or more", count(connections.slow)),
        ),
        card(
            "open at the end",
            count(open),
            &format!("{} failed, {} lost", count(connections.failed), count(connections.lost)),
        ),
        generator_card(summary),
        time_card("time to connect, p50", connect.p50, "half took longer"),
        time_card("time to connect, p99", connect.p99, "1 in 100 took longer"),
        time_card("time to connect, p99.9", connect.p99_9, "1 in 1,000 took longer"),
        time_card("time to connect, largest", connect.max, &format!("of {}", count(connect.count))),
    ]
}

/// The main results of an idle probe.
fn probe_cards(summary: &Summary, probe: &ProbeResult) -> [Card; 4] {
    let probed = probe.groups.iter().map(|group| group.probed).sum();
    let from = probe.dead_from_seconds.map(silence);
    let from =
        from.map_or_else(|| "none died".into(), |from| format!("some or all with a silence of {from}"));
    [
        opened_card(&summary.connections),
        card("dead connections", count(probe.dead), &format!("of {} probed", count(probed))),
        card("none died up to", optional(probe.alive_up_to_seconds, silence), &from),
        generator_card(summary),
    ]
}

fn opened_card(connections: &Connections) -> Card {
    let note = format!("of {}, in {}", count(connections.asked), time_us(connections.open_seconds * 1e6));
    card("connections", count(connections.opened), &note)
}

fn time_card(name: &'static str, value: Option<f64>, note: &str) -> Card {
    card(name, optional(value, time_us), if value.is_some() { note } else { "too few samples" })
}

/// How close the generator was to its limit.
fn generator_card(summary: &Summary) -> Card {
    let busy = share(summary.generator.busy);
    match summary.load_model {
        LoadModel::Open => {
            let lag = optional(summary.schedule_lag_us.max, time_us);
            card("schedule lag, largest", lag, &format!("generator busy {busy}"))
        }
        LoadModel::Closed | LoadModel::Hold | LoadModel::Probe => card("generator busy", busy, "of the time"),
    }
}

fn card(name: &'static str, value: String, note: &str) -> Card {
    Card { name, value, note: note.into() }
}

fn latency_text(model: LoadModel) -> &'static str {
    match model {
        LoadModel::Open => {
            "Response time is measured from when a message was due to when its reply was received, so it includes \
             the waiting of messages that were due while the server stalled. Service time is measured from \
             when the message was sent."
        }
        LoadModel::Closed => {
            "Each connection sent a message when it had received the previous reply. While the server stalls, fewer \
             messages are sent, so these times do not show the full effect of a stall. An open loop (--rate) \
             measures it. A message is due when it is sent, so response and service time are equal."
        }
        LoadModel::Hold | LoadModel::Probe => CONNECT_TEXT,
    }
}

const CONNECT_TEXT: &str = "From the request of a connection until it was established.";

/// With fewer connections, their times have no distribution to draw.
const CONNECTS_MIN: u64 = 100;

#[cfg(test)]
mod tests;
