//! The lines of the table above the latencies.

use crate::load::output::wording;
use crate::load::stats::summary::{DatagramDrops, Datagrams, Heartbeats, Summary};
use crate::report::format;

/// Each line of the result of this number of generators, with its name.
pub(super) fn lines(summary: &Summary, generators: usize) -> Vec<(&'static str, String)> {
    let mut lines = vec![("connections", connections(summary, generators))];
    lines.extend(wording::sources_line(&summary.connections).map(|sources| ("sources", sources)));
    // What was not done has no results.
    if summary.messages.sent > 0 {
        lines.push(("messages", messages(summary)));
        lines.extend(summary.heartbeats.as_ref().map(|of| ("heartbeats", heartbeats(of))));
        if summary.idle_probe.is_none() {
            lines.push(("rate", rate(summary)));
        }
        if let Some(datagrams) = &summary.datagrams {
            lines.push(("datagrams", datagrams_line(datagrams)));
            lines.push(("dropped", drops_line(&datagrams.kernel)));
        }
        lines.push(("bytes", bytes(summary)));
    }
    if summary.connections.opened > 0 {
        lines.push(("generator", generator(summary)));
    }
    lines
}

fn connections(summary: &Summary, generators: usize) -> String {
    let of = &summary.connections;
    let [asked, opened, failed, lost] = [of.asked, of.opened, of.failed, of.lost].map(format::count);
    let untried = match of.not_tried {
        0 => String::new(),
        untried => format!(", {} not tried", format::count(untried)),
    };
    let limit = of.limited_by.map_or_else(String::new, |limit| format!("; limited by {limit}"));
    let opening = match of.opened {
        0 => String::new(),
        _ => format!("; {lost} lost; {}", wording::opening(of, generators)),
    };
    format!("{asked} requested: {opened} opened, {failed} failed{untried}{opening}{limit}")
}

fn messages(summary: &Summary) -> String {
    let of = &summary.messages;
    let [sent, acknowledged, failed, unanswered] =
        [of.sent, of.acknowledged, of.failed, of.unanswered].map(format::count);
    let never_sent = match of.never_sent {
        0 => String::new(),
        messages => format!("; {} never sent", format::count(messages)),
    };
    format!("{sent} sent: {acknowledged} acknowledged, {failed} failed, {unanswered} unanswered{never_sent}")
}

fn heartbeats(of: &Heartbeats) -> String {
    let [sent, acknowledged, failed, unanswered] =
        [of.sent, of.acknowledged, of.failed, of.unanswered].map(format::count);
    format!("{sent} of the messages: {acknowledged} acknowledged, {failed} failed, {unanswered} unanswered")
}

fn rate(summary: &Summary) -> String {
    let rate = format::rate(summary.messages.rate);
    match summary.messages.offered_rate {
        Some(offered) => format!("{rate} acknowledged, {} offered", format::rate(offered)),
        None => format!("{rate} acknowledged"),
    }
}

fn datagrams_line(of: &Datagrams) -> String {
    let [sent, answered, late, lost, duplicate] =
        [of.sent, of.answered, of.late, of.lost, of.duplicate].map(format::count);
    format!("{sent} sent: {answered} answered, {late} late, {lost} lost; {duplicate} duplicate")
}

/// Why the kernel of this host dropped datagrams.
fn drops_line(kernel: &DatagramDrops) -> String {
    let (own, servers) = (kernel.own_receive_buffer, kernel.server_receive_buffer);
    let others = kernel.receive_buffer.saturating_sub(own).saturating_sub(servers);
    let drops = [
        (own, "because a receive buffer of the generator was full"),
        (servers, "because the receive buffer of the server was full"),
        (others, "because another receive buffer of this host was full"),
        (kernel.send_buffer, "because a send buffer was full"),
        (kernel.no_port, "because no socket had the port"),
    ];
    let drops = drops.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = drops.map(|(count, why)| format!("{} {why}", format::count(*count))).collect();
    if parts.is_empty() { "none by the kernel of this host".into() } else { parts.join(", ") }
}

fn bytes(summary: &Summary) -> String {
    let [sent, received] = [summary.bytes.sent, summary.bytes.received].map(|count| {
        // A run without a duration has no throughput.
        let milliseconds = rounded(summary.duration_seconds * 1000.0);
        let throughput = count.saturating_mul(1000).checked_div(milliseconds);
        let throughput = throughput.map_or_else(String::new, |of| format!(" ({}/s)", format::bytes(of)));
        format::bytes(count) + &throughput
    });
    format!("{sent} sent, {received} received")
}

fn generator(summary: &Summary) -> String {
    let of = &summary.generator;
    let each =
        of.bytes_per_connection.map(|each| format!(", {} per connection", format::bytes(rounded(each))));
    format!(
        "{} of CPU{}, busy {}, {} of memory{}",
        seconds(of.cpu_seconds),
        if of.spin_seconds > 0.0 {
            format!(" ({} spinning)", seconds(of.spin_seconds))
        } else {
            String::new()
        },
        format::share(of.busy),
        format::bytes(of.rss_bytes),
        each.unwrap_or_default(),
    )
}

pub(super) fn seconds(seconds: f64) -> String {
    format::time_us(seconds * 1e6)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
fn rounded(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_datagrams_are_listed_by_socket() {
        let words = drops_line(&DatagramDrops {
            receive_buffer: 10,
            own_receive_buffer: 2,
            server_receive_buffer: 5,
            send_buffer: 0,
            no_port: 1000,
        });
        assert_eq!(
            words,
            "2 because a receive buffer of the generator was full, \
             5 because the receive buffer of the server was full, \
             3 because another receive buffer of this host was full, \
             1,000 because no socket had the port"
        );
        assert_eq!(drops_line(&DatagramDrops::default()), "none by the kernel of this host");
    }
}
