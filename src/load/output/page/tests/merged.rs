//! The page of several generators.

use super::*;
use crate::load::merge::MergedRuns;
use crate::load::stats::histogram_log::{RESPONSE, SERVICE};

#[test]
fn merged_logs_have_a_page() {
    let mut runs =
        MergedRuns::sample(&[(RESPONSE, 2, 2_000_000), (SERVICE, 2, 1_000_000), ("<disk>", 1, 500)]);
    runs.times.ignored = vec!["a.hlog: line 9: the line was cut off".into()];
    let page = merged(&runs, &[], &RunInfo::sample());
    assert_eq!(mismatched_tag(&page), None);
    for part in [
        "7 intervals of 2 logs",
        ">&lt;disk&gt;</th>",
        "Histogram: response",
        "<td class=\"number\">2 ms</td>",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let some = "Only 1 of 2 logs have &lt;disk&gt; times: their sum is not that of all.";
    assert!(page.contains(some) && !page.contains("have response times"), "{page}");
    assert!(page.contains("a.hlog: line 9: the line was cut off."), "{page}");
    write_sample("merged.html", &page);
}
