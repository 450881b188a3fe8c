//! The page of several generators.

use super::*;
use crate::load::merge::MergedRuns;
use crate::load::merge::fixtures::{json_of, log, merged_as};
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

/// The page of two results, a log, and a file that is empty.
#[test]
fn merged_results_have_a_page() {
    let mut slow = invalid();
    slow.summary.failures.truncate(1);
    let seconds: Vec<Vec<u64>> = (1..20).map(|n| vec![90_000 * n; 1000]).collect();
    let files = [
        ("/var/tmp/results/generator-1.json", json_of(&sample(), "a", 0).to_string().into_bytes()),
        ("/var/tmp/results/generator-2.json", json_of(&slow, "b", 1_300).to_string().into_bytes()),
        ("/var/tmp/results/generator-3.hlog", log("c", 2_600, &seconds)),
        ("/var/tmp/results/generator-4.json", Vec::new()),
    ];
    let runs = merged_as(&files).unwrap();
    let judgments = [
        "p99>1ms".parse::<Threshold>().unwrap().judge_merged(&runs),
        "errors>0".parse::<Threshold>().unwrap().judge_merged(&runs),
    ];
    let page = merged(&runs, &judgments, &RunInfo::sample());
    assert_eq!(mismatched_tag(&page), None);
    assert_eq!(plots(&page), 5);
    for part in [
        "<strong>Missing:</strong> /var/tmp/results/generator-4.json: the file is empty.",
        "Connections over time",
        "Answered per second",
        "Response time over time",
        ">2,400,000</td>",
        "Messages: sent = acknowledged + failed + unanswered",
        "Datagrams: sent = answered + late + lost",
        ">killed</",
        "<strong>The runs began 2.6 s apart, by the clocks of their hosts, and did not load the server together.",
        "opened in, the longest",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    write_sample("load-merged.html", &page);
}
