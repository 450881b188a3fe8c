//! Phrases about a result that the table and the page share.

use crate::load::sources::SourceUse;
use crate::load::stats::summary::{Connections, LoadModel, Summary};
use crate::report::format::{count, rate, time_us};

/// When messages were sent.
pub(crate) fn load_model(summary: &Summary) -> String {
    match (summary.load_model, summary.messages.offered_rate) {
        (LoadModel::Open, Some(offered)) if has_rates(summary) => {
            format!("open loop, {} on schedule on average", rate(offered))
        }
        (LoadModel::Open, Some(offered)) => format!("open loop, {} on schedule", rate(offered)),
        (LoadModel::Open, None) => "open loop, on schedule".into(),
        (LoadModel::Closed, _) => "closed loop, each message after the previous reply".into(),
        (LoadModel::Probe, _) => "a message before the silence and one after it".into(),
        (LoadModel::Hold, _) => "connections opened and held, nothing sent".into(),
    }
}

fn has_rates(summary: &Summary) -> bool {
    summary.stages.iter().flat_map(|stage| &stage.settings).any(|setting| setting.option == "rate")
}

/// How long opening took, and its rate. Of several generators, the times are the longest and the rates a sum.
pub(crate) fn opening(of: &Connections, generators: usize) -> String {
    let (time, rate) = (time_us(of.open_seconds * 1e6), rate(of.open_rate));
    match generators {
        1 => format!("opened in {time}, {rate}"),
        _ => format!("opened in {time} at most, {rate} in sum"),
    }
}

/// The numbers of connections that were requested from each source, and the source; nothing if none was opened.
pub(crate) fn sources(of: &Connections) -> Vec<(String, String)> {
    let one = |of: &SourceUse| {
        let source = match of.addresses {
            1 => format!("from {}", of.first),
            addresses => {
                format!("from {} addresses, the first {}, the last {}", count(addresses), of.first, of.last)
            }
        };
        (count(of.connections), source)
    };
    of.sources.iter().filter(|_| of.opened > 0).map(one).collect()
}

/// The same in a line.
pub(crate) fn sources_line(of: &Connections) -> Option<String> {
    let parts: Vec<String> =
        sources(of).into_iter().map(|(connections, source)| format!("{connections} {source}")).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_opening_of_several_generators_is_not_taken_for_that_of_one() {
        let of = Connections { open_seconds: 0.5, open_rate: 4000.0, ..Connections::default() };
        assert_eq!(opening(&of, 1), "opened in 500 ms, 4,000/s");
        assert_eq!(opening(&of, 2), "opened in 500 ms at most, 4,000/s in sum");
    }

    #[test]
    fn sources_are_listed_with_their_connections() {
        let of = |first: &str, last: &str, addresses, connections| SourceUse {
            first: first.parse().unwrap(),
            last: last.parse().unwrap(),
            addresses,
            connections,
        };
        let default = of("127.0.0.1", "127.0.0.1", 1, 28_232);
        let described = |opened, uses: &[SourceUse]| {
            sources_line(&Connections { opened, sources: uses.into(), ..Connections::default() })
        };
        assert_eq!(described(1, std::slice::from_ref(&default)).unwrap(), "28,232 from 127.0.0.1");
        let others = of("127.0.1.1", "127.0.1.36", 36, 971_768);
        assert_eq!(
            described(1, &[default.clone(), others]).unwrap(),
            "28,232 from 127.0.0.1; 971,768 from 36 addresses, the first 127.0.1.1, the last 127.0.1.36"
        );
        assert_eq!((described(1, &[]), described(0, &[default])), (None, None));
    }
}
