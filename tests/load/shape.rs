//! The keys of the result and their types.

use std::collections::BTreeMap;

use serde_json::Value;

/// Path and type of each value; `?` if it can be null.
pub(crate) const SHAPE: &str = "
    loopline string, endpoint string, duration_seconds number, last_reply_seconds number?,
    load_model string, interrupted bool, ended_early string?, ended_in string?, failed string?, valid bool,
    why_invalid string?,
    connections/asked count, connections/opened count, connections/failed count, connections/lost count,
    connections/lost_idle count,
    connections/not_tried count,
    connections/slow count, connections/open_seconds number, connections/open_rate number,
    connections/limited_by string?, connections/sources list,
    messages/sent count, messages/acknowledged count, messages/failed count, messages/unanswered count,
    messages/never_sent count,
    messages/rate number, messages/offered_rate number?,
    latency_us/response/p50 number?, latency_us/response/p90 number?, latency_us/response/p99 number?,
    latency_us/response/p99_9 number?, latency_us/response/p99_99 number?, latency_us/response/max number?,
    latency_us/response/mean number?, latency_us/response/count count,
    latency_us/service/p50 number?, latency_us/service/p90 number?, latency_us/service/p99 number?,
    latency_us/service/p99_9 number?, latency_us/service/p99_99 number?, latency_us/service/max number?,
    latency_us/service/mean number?, latency_us/service/count count,
    latency_us/connect/p50 number?, latency_us/connect/p90 number?, latency_us/connect/p99 number?,
    latency_us/connect/p99_9 number?, latency_us/connect/p99_99 number?, latency_us/connect/max number?,
    latency_us/connect/mean number?, latency_us/connect/count count,
    schedule_lag_us/p50 number?, schedule_lag_us/p99 number?, schedule_lag_us/p99_9 number?,
    schedule_lag_us/max number?,
    bytes/sent count, bytes/received count,
    generator/cpu_seconds number, generator/spin_seconds number, generator/rss_bytes count, generator/bytes_per_connection number?,
    generator/busy number,
    failures list";

pub(crate) const DATAGRAMS_SHAPE: &str = "
    datagrams/sent count, datagrams/answered count, datagrams/late count, datagrams/lost count,
    datagrams/duplicate count, datagrams/kernel/receive_buffer count,
    datagrams/kernel/own_receive_buffer count, datagrams/kernel/server_receive_buffer count,
    datagrams/kernel/send_buffer count, datagrams/kernel/no_port count";

pub(crate) fn assert_has_shape(result: &Value) {
    let mut expected = shape(SHAPE);
    let endpoint = result["endpoint"].as_str().unwrap_or("");
    if endpoint.starts_with("month=") {
        expected.extend(shape(DATAGRAMS_SHAPE));
    }
    let mut values = BTreeMap::new();
    flatten(result, String::new(), &mut values);
    for (path, kind) in &expected {
        let value = values.remove(path).unwrap_or_else(|| panic!("{path} is missing: {result:#}"));
        let is_it = match kind.trim_end_matches('?') {
            "string" => value.is_string(),
            "bool" => value.is_boolean(),
            "count" => value.is_u64(),
            "number" => value.as_f64().is_some_and(|number| number >= 0.0),
            "list" => value.is_array(),
            other => panic!("{other}"),
        };
        assert!(is_it || (kind.ends_with('?') && value.is_null()), "{path} is {value}");
    }
    values.retain(|path, _| !HEAD.iter().any(|head| path.starts_with(head)));
    assert!(values.is_empty(), "unexpected keys: {values:?}");
}

/// Keys of every command, and those whose values are lists.
const HEAD: [&str; 5] = ["schema", "command", "run/", "thresholds", "seconds"];

pub(crate) fn shape(text: &str) -> BTreeMap<String, String> {
    let entry = |entry: &str| entry.trim().split_once(' ').map(|(path, kind)| (path.into(), kind.into()));
    text.split(',').map(|text| entry(text).expect("a path and a type")).collect()
}

pub(crate) fn flatten(value: &Value, path: String, into: &mut BTreeMap<String, Value>) {
    let Some(object) = value.as_object() else {
        into.insert(path, value.clone());
        return;
    };
    for (key, value) in object {
        let separator = if path.is_empty() { "" } else { "/" };
        flatten(value, format!("{path}{separator}{key}"), into);
    }
}
