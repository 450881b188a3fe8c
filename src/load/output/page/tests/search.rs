//! The pages of searches.

use super::*;
use crate::load::options::LoadOptions;
use crate::load::search::fixtures::{options, searched};
use crate::load::search::options::{Quantity, SearchOptions};
use crate::load::search::result::SearchResult;
use crate::units::float;

/// The page of `result`, written as `name`.
fn page(name: &str, result: &SearchResult, options: &SearchOptions) -> String {
    let page = search(result, options, &RunInfo::sample());
    assert_eq!(mismatched_tag(&page), None);
    write_sample(name, &page);
    page
}

#[test]
fn a_search_for_a_rate_has_a_plot_of_each_condition() {
    let options = options(Quantity::Rate, &["p99>5ms", "errors>0"], |_| {});
    let result = searched(&options, |number, rate, summary| {
        // The time grows with the load of the server, and one step at the boundary contradicts the others.
        let load = float(rate) / 123_456.0;
        let p99 = if load > 1.0 { 9_000_000.0 * load } else { 800.0 / (1.0 - load * 0.85) };
        summary.latency_us.response.p99 = Some(if number == 14 { 6_191.359 } else { p99 });
        summary.latency_us.response.max = Some(p99 * 3.0);
        if load > 1.5 {
            summary.messages.rate = 117_000.0;
            summary.messages.unanswered = 12_345;
        }
        Some(())
    });
    let page = page("load-find-rate.html", &result, &options);
    assert_eq!(plots(&page), 3);
    for part in ["p99 by step", "errors by step", "Acknowledged messages", "largest that held", "All steps"] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn a_search_for_connections_names_the_limit_of_this_host() {
    let hold = |it: &mut LoadOptions| it.target = "hold=192.0.2.1:443".parse().unwrap();
    let options = options(Quantity::Connections, &[], hold);
    let result = searched(&options, |_, connections, summary| {
        let of = &mut summary.connections;
        if connections > 28_232 {
            (of.opened, of.not_tried) = (28_232, connections - 28_232);
            of.limited_by = Some(OpenLimit::Ports);
        }
        (summary.messages, summary.load_model) = (Messages::default(), LoadModel::Hold);
        summary.latency_us.response = Latency::default();
        Some(())
    });
    let page = page("load-find-connections.html", &result, &options);
    assert_eq!(plots(&page), 1);
    for part in ["Not the limit of the server.", "28,232 connections", "limit of this host"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("in 0 of 0"), "{page}");
}

#[test]
fn a_search_without_an_answer_has_a_page() {
    let options = options(Quantity::Rate, &["p99>5ms"], |it| it.rate = Some(1));
    let result = searched(&options, |_, _, summary| {
        summary.latency_us.response.p99 = Some(7_204.0);
        Some(())
    });
    let page = page("load-find-nothing.html", &result, &options);
    assert!(page.contains("No answer; 1/s failed in"), "{page}");
}
