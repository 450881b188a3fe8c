//! The format of results as JSON: `docs/schema.json` and `docs/JSON.md` are generated from the types of the results,
//! and must be as generated.

mod markdown;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::compare::options::CompareOptions;
use crate::compare::result::Comparison;
use crate::doctor::{Diagnosis, DoctorOptions};
use crate::journal::JournalMessage;
use crate::load::options::LoadOptions;
use crate::load::search::options::SearchOptions;
use crate::load::search::result::SearchResult;
use crate::load::stats::merged_summary::{MergeOptions, MergedSummary};
use crate::load::stats::result::LoadResult;
use crate::report::record::{Record, SCHEMA};

/// A kind of record: its definition, the value of its `command`, and the title of its section.
struct Kind {
    definition: &'static str,
    command: &'static str,
    title: &'static str,
    of: fn(&mut SchemaGenerator) -> schemars::Schema,
}

const KINDS: [Kind; 5] = [
    Kind {
        definition: "LoadRecord",
        command: "load",
        title: "load",
        of: Record::<LoadOptions, LoadResult<'static>>::json_schema,
    },
    Kind {
        definition: "SearchRecord",
        command: "load",
        title: "load --find",
        of: Record::<SearchOptions, SearchResult>::json_schema,
    },
    Kind {
        definition: "MergeRecord",
        command: "load",
        title: "load --merge",
        of: Record::<MergeOptions, MergedSummary<'static>>::json_schema,
    },
    Kind {
        definition: "CompareRecord",
        command: "compare",
        title: "compare",
        of: Record::<CompareOptions, Comparison>::json_schema,
    },
    Kind {
        definition: "DoctorRecord",
        command: "doctor",
        title: "doctor",
        of: Record::<DoctorOptions, Diagnosis>::json_schema,
    },
];

/// The definition of a line of `journal cat --json`, which is not a record.
const JOURNAL_MESSAGE: &str = "JournalMessage";

/// The definitions of all types, and of the records.
fn definitions() -> Map<String, Value> {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let records = KINDS.map(|kind| {
        let mut record = (kind.of)(&mut generator).to_value();
        for (key, value) in [("schema", json!(SCHEMA)), ("command", json!(kind.command))] {
            record["properties"][key]["const"] = value;
        }
        (kind.definition.to_owned(), record)
    });
    generator.subschema_for::<JournalMessage<'static>>();
    let mut definitions = generator.take_definitions(true);
    definitions.extend(records);
    definitions.values_mut().for_each(close);
    definitions
}

/// Allows no key that is not documented. What refers to a definition has its keys.
fn close(schema: &mut Value) {
    let has_keys =
        |object: &&mut Map<String, Value>| object.contains_key("properties") && !object.contains_key("$ref");
    if let Some(object) = schema.as_object_mut().filter(has_keys) {
        object.insert("additionalProperties".into(), false.into());
    }
    match schema {
        Value::Object(object) => object.values_mut().for_each(close),
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Keys, and values of enumerations, whose description is not a sentence for readers of JSON.
fn undocumented(definitions: &Map<String, Value>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, definition) in definitions {
        let properties = definition["properties"].as_object().into_iter().flatten();
        let values = definition["oneOf"].as_array().into_iter().flatten();
        let plain_values = definition["enum"].as_array().into_iter().flatten();
        let described = properties
            .map(|(key, schema)| (key.clone(), &schema["description"]))
            .chain(values.map(|value| (value["const"].to_string(), &value["description"])))
            .chain(plain_values.map(|value| (value.to_string(), &Value::Null)))
            .chain(definition.get("description").map(|text| ("the type itself".to_owned(), text)));
        let is_sentence =
            |text: &str| text.ends_with('.') && !text.contains("`None`") && !text.contains("[`");
        let lacking = described.filter(|(_, text)| !text.as_str().is_some_and(is_sentence));
        found.extend(lacking.map(|(key, _)| format!("{name}: {key}")));
    }
    found
}

fn schema() -> String {
    let definitions_of_output = KINDS.iter().map(|kind| kind.definition).chain([JOURNAL_MESSAGE]);
    let references: Vec<Value> =
        definitions_of_output.map(|name| json!({"$ref": format!("#/$defs/{name}")})).collect();
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Results of loopline",
        "description": "What --json of load, compare and doctor writes, and a line of journal cat --json.",
        "anyOf": references,
        "$defs": definitions(),
    });
    serde_json::to_string_pretty(&schema).unwrap() + "\n"
}

/// Asserts that a file in the repository is as generated, or writes it.
fn assert_current(path: &str, generated: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("LOOPLINE_WRITE_SCHEMA").is_some() {
        fs::write(file, generated).unwrap();
        return;
    }
    let is_current = fs::read_to_string(file).is_ok_and(|text| text == generated);
    assert!(
        is_current,
        "{path} is not that of the types: run LOOPLINE_WRITE_SCHEMA=1 cargo test --lib cli::schema"
    );
}

#[test]
fn each_key_and_value_has_a_description() {
    let undocumented = undocumented(&definitions());
    assert!(
        undocumented.is_empty(),
        "these need a doc comment, in sentences and without Rust terms such as `None`: {undocumented:#?}"
    );
}

#[test]
fn a_missing_description_is_found() {
    let fields = json!({"properties": {"good": {"description": "Bytes."}, "bad": {"type": "integer"},
        "worse": {"description": "`None`: unknown."}}});
    let values = json!({"oneOf": [{"const": "good", "description": "Good."}, {"const": "bad"}]});
    let plain = json!({"enum": ["bad"]});
    let definitions = [("Fields", fields), ("Values", values), ("Plain", plain)];
    let found = undocumented(&definitions.map(|(name, of)| (name.to_owned(), of)).into_iter().collect());
    assert_eq!(Vec::from_iter(found), ["Fields: bad", "Fields: worse", "Plain: \"bad\"", "Values: \"bad\""]);
}

#[test]
fn the_schema_is_that_of_the_types() {
    assert_current("docs/schema.json", &schema());
}

#[test]
fn the_tables_of_keys_are_those_of_the_types() {
    assert_current("docs/JSON.md", &markdown::document(&definitions()));
}
