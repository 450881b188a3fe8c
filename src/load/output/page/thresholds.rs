//! The thresholds of `--fail-if` on a page.

use crate::load::stats::threshold::Judgment;
use crate::report::page::{Column, Page, Table, Tone};

/// Adds a table of the thresholds, after a note for each that is not met.
pub(super) fn add(judgments: &[Judgment], page: &mut Page) {
    for Judgment { expression, why_not, .. } in judgments {
        if let Some(why) = why_not {
            page.note(Tone::Warning, &format!("--fail-if {expression}:"), &format!("{why}."));
        }
    }
    if !judgments.is_empty() {
        page.table(&table(judgments));
    }
}

fn table(judgments: &[Judgment]) -> Table<'static> {
    let row = |of: &Judgment| vec![of.expression.clone(), if of.met { "met" } else { "not met" }.into()];
    Table {
        title: "Thresholds",
        columns: vec![Column::Text("fails if"), Column::Short("")],
        rows: judgments.iter().map(row).collect(),
        note: "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_threshold_is_in_the_table_and_one_that_is_not_met_in_a_note() {
        let judgment = |expression: &str, why_not: Option<&str>| Judgment {
            expression: expression.into(),
            value: Some(7200.0),
            met: why_not.is_none(),
            why_not: why_not.map(str::to_owned),
        };
        let judged = [judgment("p50>9ms", None), judgment("p99>5ms", Some("p99 is 7.2 ms, over 5ms"))];
        let page = |judgments: &[Judgment]| {
            let mut page = Page::new("title", "subtitle");
            add(judgments, &mut page);
            page.finish("end")
        };
        let with = page(&judged);
        for part in ["p50&gt;9ms", ">met<", ">not met<", "--fail-if p99&gt;5ms:", "p99 is 7.2 ms, over 5ms."]
        {
            assert!(with.contains(part), "{part}: {with}");
        }
        assert!(!with.contains("--fail-if p50"), "{with}");
        assert!(!page(&[]).contains("Thresholds"));
    }
}
