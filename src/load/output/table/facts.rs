//! What a run has found, in words, but for its latencies.

use crate::load::stats::summary::{DatagramDrops, Datagrams, Summary};
use crate::load::target::Target;
use crate::report::format;

/// What was asked and what became of it, in words, each with its name.
pub(super) fn facts(summary: &Summary) -> Vec<(&'static str, String)> {
    let mut facts = vec![("connections", connections(summary))];
    if is_held(summary) {
        facts.push(("generator", generator(summary)));
        return facts;
    }
    facts.push(("messages", messages(summary)));
    facts.push(("rate", rate(summary)));
    if let Some(datagrams) = &summary.datagrams {
        facts.push(("datagrams", datagrams_in_words(datagrams)));
        facts.push(("dropped", drops_in_words(&datagrams.kernel)));
    }
    facts.push(("bytes", bytes(summary)));
    facts.push(("generator", generator(summary)));
    facts
}

/// Whether connections were only opened and held, and nothing was sent.
pub(super) fn is_held(summary: &Summary) -> bool {
    matches!(summary.endpoint, Target::Hold { .. })
}

fn connections(summary: &Summary) -> String {
    let of = &summary.connections;
    let [asked, opened, failed, lost] = [of.asked, of.opened, of.failed, of.lost].map(format::count);
    let limit = of.limited_by.map_or_else(String::new, |limit| format!("; limited by {limit}"));
    format!(
        "{asked} asked: {opened} opened, {failed} failed; {lost} lost; opened in {}, {}{limit}",
        seconds(of.open_seconds),
        format::rate(of.open_rate),
    )
}

fn messages(summary: &Summary) -> String {
    let of = &summary.messages;
    let [sent, acknowledged, failed, unanswered] =
        [of.sent, of.acknowledged, of.failed, of.unanswered].map(format::count);
    format!("{sent} sent: {acknowledged} acknowledged, {failed} failed, {unanswered} unanswered")
}

fn rate(summary: &Summary) -> String {
    let rate = format::rate(summary.messages.rate);
    match summary.messages.offered_rate {
        Some(offered) => format!("{rate} acknowledged, {} offered", format::rate(offered)),
        None => format!("{rate} acknowledged"),
    }
}

fn datagrams_in_words(of: &Datagrams) -> String {
    let [sent, answered, late, lost, duplicate] =
        [of.sent, of.answered, of.late, of.lost, of.duplicate].map(format::count);
    format!("{sent} sent: {answered} answered, {late} late, {lost} lost; {duplicate} duplicate")
}

/// Where datagrams were lost, as far as the kernel of this host can tell.
fn drops_in_words(kernel: &DatagramDrops) -> String {
    let (own, servers) = (kernel.own_receive_buffer, kernel.server_receive_buffer);
    let others = kernel.receive_buffer.saturating_sub(own).saturating_sub(servers);
    let drops = [
        (own, "for want of room in a receive buffer of the generator"),
        (servers, "for want of room in the receive buffer of the server"),
        (others, "for want of room in another receive buffer of this host"),
        (kernel.send_buffer, "for want of room in a send buffer"),
        (kernel.no_port, "because nobody listened at the port"),
    ];
    let drops = drops.iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> = drops.map(|(count, why)| format!("{} {why}", format::count(*count))).collect();
    if words.is_empty() { "none by the kernel of this host".into() } else { words.join(", ") }
}

fn bytes(summary: &Summary) -> String {
    let [sent, received] = [summary.bytes.sent, summary.bytes.received].map(|count| {
        // There is no throughput of a run that was over before it began.
        let milliseconds = whole(summary.duration_seconds * 1000.0);
        let throughput = count.saturating_mul(1000).checked_div(milliseconds);
        let throughput = throughput.map_or_else(String::new, |of| format!(" ({}/s)", format::bytes(of)));
        format::bytes(count) + &throughput
    });
    format!("{sent} sent, {received} received")
}

fn generator(summary: &Summary) -> String {
    let of = &summary.generator;
    let each = of.bytes_per_connection.map(|each| format!(", {} a connection", format::bytes(whole(each))));
    format!(
        "{} of CPU, busy {}, {} of memory{}",
        seconds(of.cpu_seconds),
        format::share(of.busy),
        format::bytes(of.rss_bytes),
        each.unwrap_or_default(),
    )
}

pub(super) fn seconds(seconds: f64) -> String {
    format::time_us(seconds * 1e6)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_datagrams_are_put_down_to_who_dropped_them() {
        let words = drops_in_words(&DatagramDrops {
            receive_buffer: 10,
            own_receive_buffer: 2,
            server_receive_buffer: 5,
            send_buffer: 0,
            no_port: 1000,
        });
        assert_eq!(
            words,
            "2 for want of room in a receive buffer of the generator, \
             5 for want of room in the receive buffer of the server, \
             3 for want of room in another receive buffer of this host, \
             1,000 because nobody listened at the port"
        );
        assert_eq!(drops_in_words(&DatagramDrops::default()), "none by the kernel of this host");
    }
}
