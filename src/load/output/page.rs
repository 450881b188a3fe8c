//! The page that `--report` writes: a run, for people.

mod plots;
mod tables;

use crate::load::stats::summary::{LoadModel, Outcome, Summary};
use crate::report::format::{count, optional, rate, share, time_us};
use crate::report::page::{Card, Page, Tone};

/// The page about `outcome`, whole.
#[must_use]
pub(crate) fn page(outcome: &Outcome) -> String {
    let summary = &outcome.summary;
    let mut page = Page::new(&format!("loopline load {}", summary.endpoint), &subtitle(summary));
    notes(outcome, &mut page);
    page.cards(&cards(summary));
    page.section("Second by second", "");
    page.plots(&plots::activity(&outcome.seconds));
    page.section("Latency", latency_in_words(summary.load_model));
    page.plots(&plots::latency(outcome));
    page.table(&tables::latencies(summary));
    if summary.load_model == LoadModel::Open {
        page.section(
            "Schedule lag",
            "How late messages were sent: what the generator itself adds to the response time. It should be far \
             below it.",
        );
        page.plots(&plots::lag(outcome));
    }
    page.section("Accounts", "Everything that was sent is in exactly one line.");
    let datagrams = summary.datagrams.as_ref().map(tables::datagrams);
    let accounts = [tables::messages(summary), tables::connections(summary)];
    page.tables(&accounts.into_iter().chain(datagrams).collect::<Vec<_>>());
    if !summary.failures.is_empty() {
        page.table(&tables::failures(&summary.failures));
    }
    page.section("The generator", "What the run cost the program that made this page, not the server.");
    page.tables(&[tables::generator(&summary.generator), tables::traffic(&summary.bytes)]);
    page.finish(&format!("Written by loopline {}.", summary.loopline))
}

/// What was asked for, in a line.
fn subtitle(summary: &Summary) -> String {
    let connections = count(summary.connections.asked);
    let duration = time_us(summary.duration_seconds * 1e6);
    let how = match (summary.load_model, summary.messages.offered_rate) {
        (LoadModel::Open, Some(offered)) => format!("open loop, {} on schedule", rate(offered)),
        (LoadModel::Open, None) => "open loop, on schedule".into(),
        (LoadModel::Closed, _) => "closed loop, each message after the reply to the one before".into(),
    };
    let noun = if summary.connections.asked == 1 { "connection" } else { "connections" };
    format!("{connections} {noun} · {duration} · {how}")
}

/// Whether the figures can be relied on, and what else must be known before they are read.
fn notes(outcome: &Outcome, page: &mut Page) {
    let summary = &outcome.summary;
    match summary.why_invalid {
        None => page.note(Tone::Good, "Valid.", "The generator was not the limit."),
        Some(why) => {
            let reason = format!("{}. These results are not the server’s.", sentence(&why.to_string()));
            page.note(Tone::Warning, "Not valid.", &reason);
        }
    }
    if outcome.is_interrupted {
        page.note(Tone::Warning, "Interrupted.", "A signal ended the run before its time.");
    }
    let connections = &summary.connections;
    if connections.opened < connections.asked {
        let verdict =
            format!("{} of {} connections were opened.", count(connections.opened), count(connections.asked));
        let reason = connections.limited_by.map_or_else(String::new, |limit| format!("The limit: {limit}."));
        page.note(Tone::Warning, &verdict, &reason);
    }
}

/// The beginning of a sentence from `words`, without its end.
fn sentence(words: &str) -> String {
    let mut characters = words.trim_end_matches('.').chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).collect()
}

/// What is asked first about a run: a row of what was done, and a row of how long it took.
fn cards(summary: &Summary) -> [Card; 8] {
    let (connections, messages) = (&summary.connections, &summary.messages);
    let response = &summary.latency_us.response;
    let of_offered = messages.offered_rate.filter(|offered| *offered > 0.0).map_or_else(
        || "as fast as replies came".into(),
        |offered| format!("{} of {} offered", share(messages.rate / offered), rate(offered)),
    );
    let in_words = |failed: &str| format!("{} failed, {failed} unanswered", count(messages.failed));
    let time = |name, value: Option<f64>, note: &str| {
        card(name, optional(value, time_us), if value.is_some() { note } else { "too few messages to tell" })
    };
    let opened_in =
        format!("of {}, in {}", count(connections.asked), time_us(connections.open_seconds * 1e6));
    [
        card("connections", count(connections.opened), &opened_in),
        card("acknowledged", rate(messages.rate), &of_offered),
        card(
            "failed or unanswered",
            count(messages.failed.saturating_add(messages.unanswered)),
            &in_words(&count(messages.unanswered)),
        ),
        generator_card(summary),
        time("response, p50", response.p50, "half were slower"),
        time("response, p99", response.p99, "1 in 100 was slower"),
        time("response, p99.9", response.p99_9, "1 in 1,000 was slower"),
        time("response, largest", response.max, &format!("of {}", count(response.count))),
    ]
}

/// How far the generator was from limiting the run.
fn generator_card(summary: &Summary) -> Card {
    let busy = share(summary.generator.busy);
    match summary.load_model {
        LoadModel::Open => {
            let lag = optional(summary.schedule_lag_us.max, time_us);
            card("schedule lag, largest", lag, &format!("generator busy {busy}"))
        }
        LoadModel::Closed => card("generator busy", busy, "of the time"),
    }
}

fn card(name: &'static str, value: String, note: &str) -> Card {
    Card { name, value, note: note.into() }
}

fn latency_in_words(model: LoadModel) -> &'static str {
    match model {
        LoadModel::Open => {
            "Response time runs from when a message was due to be sent until its reply was in, so it includes \
             what a server that stalls makes the messages behind it wait. Service time runs from when the \
             message was in fact sent."
        }
        LoadModel::Closed => {
            "Each connection sent when the reply to its message before was in. So a server that stalls is sent \
             less, and the messages that would have met the stall are missing here. An open loop (--rate) \
             measures them."
        }
    }
}

#[cfg(test)]
mod tests;
