//! Phrases about a result that the table and the page share.

use crate::load::sources::SourceUse;
use crate::load::stats::summary::{Connections, LoadModel, Summary};
use crate::report::format::{count, rate, time_us};

/// When messages were sent.
pub(crate) fn load_model(summary: &Summary) -> String {
    match (summary.load_model, summary.messages.offered_rate) {
        (LoadModel::Open, Some(offered)) => format!("open loop, {} on schedule", rate(offered)),
        (LoadModel::Open, None) => "open loop, on schedule".into(),
        (LoadModel::Closed, _) => "closed loop, each message after the previous reply".into(),
        (LoadModel::Hold, _) => "connections opened and held, nothing sent".into(),
    }
}

/// How long opening took, and its rate.
pub(crate) fn opening(summary: &Summary) -> String {
    let of = &summary.connections;
    format!("opened in {}, {}", time_us(of.open_seconds * 1e6), rate(of.open_rate))
}

/// Where connections were requested from, and how many; `None` if none was opened.
pub(crate) fn sources(of: &Connections) -> Option<String> {
    let one = |of: &SourceUse| match of.addresses {
        1 => format!("{} from {}", count(of.connections), of.first),
        addresses => {
            let (connections, addresses) = (count(of.connections), count(addresses));
            format!("{connections} from {addresses} addresses, the first {}, the last {}", of.first, of.last)
        }
    };
    let parts: Vec<String> = of.sources.iter().map(one).collect();
    (of.opened > 0 && !parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            sources(&Connections { opened, sources: uses.into(), ..Connections::default() })
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
