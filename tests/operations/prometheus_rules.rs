//! The alerts and the dashboard of `deploy`, checked by `promtool` and against the metrics of a running server.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use serde_json::Value;

use crate::common::{MODELS, Server, output};
use crate::is_missing;
use crate::metrics::fetch;

const RULES: &str = include_str!("../../deploy/prometheus/loopline.rules.yml");
const DASHBOARD: &str = include_str!("../../deploy/grafana/loopline.json");
const MANUAL: &str = include_str!("../../docs/OPERATING.md");

/// Runs `promtool` in `deploy/prometheus`, and returns what is wrong.
fn promtool(arguments: &[&str]) -> Result<(), String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    let output = output(std::process::Command::new("promtool").args(arguments).current_dir(folder));
    let text = [output.stdout, output.stderr].concat();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&text).into_owned()) }
}

#[test]
fn alerts_and_configuration_are_valid_and_each_alert_fires_when_it_should_and_only_then() {
    if is_missing("promtool") {
        return;
    }
    assert_eq!(promtool(&["check", "config", "prometheus.yml"]), Ok(()));
    assert_eq!(promtool(&["check", "rules", "loopline.rules.yml"]), Ok(()));
    assert_eq!(promtool(&["test", "rules", "loopline.rules.test.yml"]), Ok(()));
}

/// The names of all alerts.
fn alerts() -> Vec<&'static str> {
    RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

#[test]
fn each_alert_is_tested_and_described() {
    let tests = include_str!("../../deploy/prometheus/loopline.rules.test.yml");
    assert!(alerts().len() > 10);
    for alert in alerts() {
        assert!(tests.contains(&format!("alertname=\"{alert}\"")), "{alert} has no test");
        assert!(MANUAL.contains(&format!("| `{alert}` |")), "{alert} is not in docs/OPERATING.md");
    }
    for part in
        ["expr: ", "for: ", "severity: ", "summary: ", "description: ", "runbook: docs/OPERATING.md#alerts"]
    {
        assert_eq!(RULES.matches(part).count(), alerts().len(), "{part}");
    }
    assert!(MANUAL.contains("\n### Alerts\n"), "the runbook of the alerts");
}

/// The expressions of the dashboard, as they are with a choice of servers.
fn dashboard_expressions() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| collect(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    collect(&serde_json::from_str(DASHBOARD).unwrap(), &mut found);
    let choices = [("$__rate_interval", "1m"), ("$job", "loopline"), ("$instance", ".+")];
    let chosen =
        |expression: String| choices.iter().fold(expression, |text, (name, value)| text.replace(name, value));
    found.into_iter().map(chosen).collect()
}

#[test]
fn every_expression_of_the_dashboard_is_valid() {
    if is_missing("promtool") {
        return;
    }
    let expressions = dashboard_expressions();
    assert!(expressions.len() > 30);
    let mut file = tempfile::Builder::new().suffix(".yml").tempfile().unwrap();
    writeln!(file, "groups:\n- name: dashboard\n  rules:").unwrap();
    for (number, expression) in expressions.iter().enumerate() {
        assert!(!expression.contains('$'), "{expression}");
        writeln!(file, "  - record: panel_{number}\n    expr: {}", Value::from(expression.as_str())).unwrap();
    }
    assert_eq!(promtool(&["check", "rules", file.path().to_str().unwrap()]), Ok(()));
}

#[test]
fn every_panel_has_a_unit_and_a_description_and_an_own_number() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let numbers: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(numbers.len(), panels.len());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().unwrap();
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}");
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
}

/// The names of metrics in `text`.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words.filter(|word| word.starts_with("loopline_") || word.starts_with("process_")).collect()
}

#[test]
fn every_metric_of_the_alerts_and_of_the_dashboard_is_one_of_the_server() {
    for model in MODELS {
        let server = Server::start(&format!("message=0 month=0 --metrics 0 --model {model}"));
        let text = fetch(&server, "/metrics");
        let names: BTreeSet<_> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split([' ', '{']).next())
            .collect();
        for named in [RULES, DASHBOARD].into_iter().flat_map(metrics_in) {
            assert!(names.contains(named), "{model}: there is no metric {named}");
        }
    }
}
