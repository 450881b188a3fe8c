//! The page that `--report` writes.

mod plots;
mod tables;

use crate::load::output::{ending, wording};
use crate::load::stats::summary::{LoadModel, Outcome, Summary};
use crate::report::format::{count, optional, rate, share, time_us};
use crate::report::page::{Card, Page, Tone};
use crate::report::record::VERSION;

/// The page about `outcome`, as HTML.
pub(crate) fn page(outcome: &Outcome) -> String {
    let summary = &outcome.summary;
    let mut page = Page::new(&format!("loopline load {}", summary.endpoint), &subtitle(summary));
    notes(outcome, &mut page);
    page.cards(&cards(summary));
    page.section("Second by second", "");
    page.plots(&plots::activity(&outcome.seconds));
    page.section("Latency", latency_text(summary.load_model));
    page.plots(&plots::latency(outcome));
    page.table(&tables::latencies(summary));
    if summary.load_model == LoadModel::Open {
        page.section(
            "Schedule lag",
            "How late messages were sent. The generator adds this to the response time, so it should be much \
             smaller.",
        );
        page.plots(&plots::lag(outcome));
    }
    page.section("Counts", "Each message and each connection is counted in exactly one line.");
    let datagrams = summary.datagrams.as_ref().map(tables::datagrams);
    let accounts = [tables::messages(summary), tables::connections(summary)];
    page.tables(&accounts.into_iter().chain(datagrams).collect::<Vec<_>>());
    if !summary.failures.is_empty() {
        page.table(&tables::failures(&summary.failures));
    }
    page.section("The generator", "Resources used by the generator, not by the server.");
    page.tables(&[tables::generator(&summary.generator), tables::traffic(&summary.bytes)]);
    page.finish(&format!("Written by loopline {VERSION}."))
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
    match summary.why_invalid {
        None => page.note(Tone::Good, "Generator ok.", "The generator was not the limit."),
        Some(why) => {
            let reason = format!("{}. These results are not the server’s.", sentence(&why.to_string()));
            page.note(Tone::Warning, "Generator not ok.", &reason);
        }
    }
    if let Some(how) = ending::early_end(summary) {
        page.note(Tone::Warning, &format!("{}.", sentence(&how)), "");
    }
    let connections = &summary.connections;
    if connections.opened < connections.asked {
        let verdict =
            format!("{} of {} connections were opened.", count(connections.opened), count(connections.asked));
        let reason = connections.limited_by.map_or_else(String::new, |limit| format!("The limit: {limit}."));
        page.note(Tone::Warning, &verdict, &reason);
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
        |offered| format!("{} of {} offered", share(messages.rate / offered), rate(offered)),
    );
    let time = |name, value: Option<f64>, note: &str| {
        card(name, optional(value, time_us), if value.is_some() { note } else { "too few messages" })
    };
    let opened_in =
        format!("of {}, in {}", count(connections.asked), time_us(connections.open_seconds * 1e6));
    [
        card("connections", count(connections.opened), &opened_in),
        card("acknowledged", rate(messages.rate), &of_offered),
        card(
            "failed or unanswered",
            count(messages.failed.saturating_add(messages.unanswered)),
            &format!("{} failed, {} unanswered", count(messages.failed), count(messages.unanswered)),
        ),
        generator_card(summary),
        time("response, p50", response.p50, "half were slower"),
        time("response, p99", response.p99, "1 in 100 was slower"),
        time("response, p99.9", response.p99_9, "1 in 1,000 was slower"),
        time("response, largest", response.max, &format!("of {}", count(response.count))),
    ]
}

/// How close the generator was to its limit.
fn generator_card(summary: &Summary) -> Card {
    let busy = share(summary.generator.busy);
    match summary.load_model {
        LoadModel::Open => {
            let lag = optional(summary.schedule_lag_us.max, time_us);
            card("schedule lag, largest", lag, &format!("generator busy {busy}"))
        }
        LoadModel::Closed | LoadModel::Hold => card("generator busy", busy, "of the time"),
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
             measures it."
        }
        LoadModel::Hold => {
            "The time to connect is measured from the request of a connection until it was established."
        }
    }
}

#[cfg(test)]
mod tests;
