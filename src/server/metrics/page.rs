//! The live page: what `/samples` returns, drawn by a script.
//!
//! It is one document with the look of the reports. It requests `/samples` from the server that it came from, and loads
//! nothing else. The plots are drawn by `uPlot`, a file of its published package.

use std::sync::LazyLock;

use crate::report::html::element;
use crate::report::page::STYLE;

/// The page.
pub(super) static PAGE: LazyLock<String> = LazyLock::new(|| {
    let head = format!("{HEAD}{}", element("style", &style()));
    let body = format!("{}{}{}", element("main", BODY), element("script", PLOTS), element("script", SCRIPT));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n{}\n{}\n</html>\n",
        element("head", &head),
        element("body", &body)
    )
});

pub(super) const CONTENT_TYPE: &str = "text/html; charset=utf-8";

/// What the browser allows the page, which knows its styles and scripts by their SHA-256.
pub(super) const POLICY: &str = concat!(
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'; img-src data:; ",
    "style-src 'sha256-",
    "q4/g/asP/6F6nffew1u4llH95FkQSBO6Qw3StGNgvM4=",
    "'; script-src 'sha256-",
    "GcjUxq2Ikpp59K5J1vcWFWbf0Lo9FcxJXpdPeH63jx8=",
    "' 'sha256-",
    "vR3gKNkkucoOZN49+vhMg7UB/nSr16gMY6ZIZhIfpHk=",
    "'"
);

const HEAD: &str = "<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta name=\"color-scheme\" content=\"light dark\">
<title>loopline</title>
<link rel=\"icon\" href=\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle \
cx='8' cy='8' r='5' fill='none' stroke='%230072b2' stroke-width='4'/%3E%3C/svg%3E\"/>
";
const BODY: &str = include_str!("page/live.html");
const SCRIPT: &str = include_str!("page/live.js");
const PLOTS: &str = include_str!("page/uplot/uPlot.iife.min.js");

/// The style sheets of the plots, of the reports, and of this page.
fn style() -> String {
    [include_str!("page/uplot/uPlot.min.css"), STYLE, include_str!("page/live.css")].concat()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::report::html::mismatched_tag;

    #[test]
    fn the_policy_allows_what_is_in_the_page_and_nothing_else() {
        let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
        for (directive, texts) in
            [("style-src", vec![style()]), ("script-src", vec![PLOTS.into(), SCRIPT.into()])]
        {
            let hashes: Vec<_> = texts.iter().map(|text| hash(text)).collect();
            let allowed = format!("{directive} {}", hashes.join(" "));
            assert!(POLICY.split("; ").any(|part| part == allowed), "not in the policy: {allowed}");
        }
        assert_eq!(PAGE.matches("<script").count(), 2);
        assert_eq!(PAGE.matches("<style").count(), 1);
    }

    #[test]
    fn scripts_can_stand_in_a_page() {
        for script in [PLOTS, SCRIPT] {
            for breaks in ["</script", "<script", "<!--"] {
                assert!(!script.to_ascii_lowercase().contains(breaks), "{breaks}");
            }
        }
        let page = PAGE.replace(PLOTS, "").replace(SCRIPT, "");
        assert_eq!(mismatched_tag(&page), None);
    }

    #[test]
    fn every_element_that_the_script_looks_for_is_in_the_page() {
        let ids: Vec<_> = SCRIPT.split("find('").skip(1).filter_map(|rest| rest.split('\'').next()).collect();
        let plots: Vec<_> =
            SCRIPT.split("id: '").skip(1).filter_map(|rest| rest.split('\'').next()).collect();
        assert_eq!(plots.len(), 6);
        for id in ids.into_iter().chain(plots) {
            assert_eq!(BODY.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
        }
    }
}
