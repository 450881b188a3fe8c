//! The schema as tables for readers.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::{JOURNAL_MESSAGE, KINDS};

/// The document about all records.
pub(super) fn document(definitions: &Map<String, Value>) -> String {
    let document = Document { definitions, uses: uses(definitions) };
    let mut text = INTRODUCTION.to_owned();
    let first = &definitions[KINDS[0].definition];
    let is_head = |key: &str| HEAD.contains(&key);
    text += "\n## All commands\n\n";
    text += KEYS;
    for (key, schema) in document.properties(first).filter(|(key, _)| is_head(key)) {
        document.rows(key, schema, &mut text);
    }
    for kind in KINDS {
        let record = &definitions[kind.definition];
        let _ = write!(text, "\n## {}\n\n{KEYS}", kind.title);
        let run = document.target(&record["properties"]["run"]);
        document.rows_in(OPTIONS, &run["properties"]["options"], &mut text);
        for (key, schema) in document.properties(record).filter(|(key, _)| !is_head(key)) {
            document.rows(key, schema, &mut text);
        }
    }
    document.section(JOURNAL_MESSAGE, &mut text);
    for name in document.uses.iter().filter(|(_, uses)| **uses > 1).map(|(name, _)| *name) {
        document.section(name, &mut text);
    }
    text
}

/// The names of definitions that have keys or values, with the number of their uses.
fn uses(definitions: &Map<String, Value>) -> BTreeMap<&str, usize> {
    let mut uses = BTreeMap::new();
    let mut schemas: Vec<&Value> = definitions.values().collect();
    while let Some(schema) = schemas.pop() {
        if let Some(name) = reference(schema) {
            let is_table = ["properties", "oneOf"].iter().any(|key| definitions[name].get(key).is_some());
            *uses.entry(name).or_default() += usize::from(is_table);
        }
        match schema {
            Value::Object(object) => schemas.extend(object.values()),
            Value::Array(items) => schemas.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    // Those of the head are the same for all commands.
    uses.retain(|name, _| !["Command", "Run"].iter().any(|of_head| name.starts_with(of_head)));
    uses
}

/// The name of the definition that a schema refers to.
fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/$defs/")
}

struct Document<'a> {
    definitions: &'a Map<String, Value>,
    uses: BTreeMap<&'a str, usize>,
}

impl<'a> Document<'a> {
    /// The keys of an object in the order in which they are written; those that can be absent come last.
    fn properties(&self, schema: &'a Value) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let schema = self.target(schema);
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let required: Vec<&str> = required.collect();
        let all = schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.as_str());
        let optional: Vec<&str> = all.filter(|key| !required.contains(key)).collect();
        required.into_iter().chain(optional).map(|key| (key, &schema["properties"][key]))
    }

    /// The definition that `schema` refers to, or itself.
    fn target(&self, schema: &'a Value) -> &'a Value {
        reference(schema).map_or(schema, |name| &self.definitions[name])
    }

    /// The row of a key, and those of the keys in it unless they have a section of their own.
    fn rows(&self, path: &str, schema: &'a Value, text: &mut String) {
        let (kind, suffix, inner) = self.kind(schema);
        let mut description = schema["description"].as_str().unwrap_or_default().replace('\n', " ");
        let is_section = reference(inner).is_some_and(|name| self.uses.get(name) > Some(&1));
        if !is_section {
            for (value, meaning) in self.values(inner) {
                let _ = write!(description, " `{value}`: {meaning}");
            }
        }
        let description = description.replace('|', "\\|");
        let _ = writeln!(text, "| `{path}` | {kind} | {description} |");
        // Options are those of a command.
        if !is_section && path != OPTIONS {
            self.rows_in(&format!("{path}{suffix}"), inner, text);
        }
    }

    fn rows_in(&self, path: &str, schema: &'a Value, text: &mut String) {
        for (key, schema) in self.properties(schema) {
            self.rows(&format!("{path}.{key}"), schema, text);
        }
    }

    /// The type as text, what is appended to the path of the keys in it, and the schema of these.
    fn kind(&self, schema: &'a Value) -> (String, String, &'a Value) {
        if let Some(name) = reference(schema) {
            if self.uses.get(name) > Some(&1) {
                return (format!("[{name}](#{})", name.to_lowercase()), String::new(), schema);
            }
            let (kind, suffix, _) = self.kind(&self.definitions[name]);
            return (kind, suffix, schema);
        }
        if let Some([of, _]) = schema["anyOf"].as_array().map(Vec::as_slice) {
            let (kind, suffix, inner) = self.kind(of);
            let or = if schema["anyOf"][1]["type"] == "null" {
                "null".into()
            } else {
                self.kind(&schema["anyOf"][1]).0
            };
            return (format!("{kind} or {or}"), suffix, inner);
        }
        if schema.get("oneOf").is_some() || schema.get("const").is_some_and(Value::is_string) {
            return ("string".into(), String::new(), schema);
        }
        if let Some(types) = schema["type"].as_array() {
            let types: Vec<&str> = types.iter().filter_map(Value::as_str).collect();
            return (types.join(" or "), String::new(), schema);
        }
        match schema["type"].as_str().unwrap_or("any") {
            "array" => {
                let (kind, suffix, inner) = self.kind(&schema["items"]);
                (format!("array of {kind}"), format!("[]{suffix}"), inner)
            }
            "object" if schema.get("properties").is_none() => {
                let (kind, suffix, inner) = self.kind(&schema["additionalProperties"]);
                (format!("map to {kind}"), format!(".*{suffix}"), inner)
            }
            kind => (kind.into(), String::new(), schema),
        }
    }

    /// The values of an enumeration.
    fn values(&self, schema: &'a Value) -> impl Iterator<Item = (&'a str, &'a str)> {
        let values = self.target(schema)["oneOf"].as_array().into_iter().flatten();
        values.filter_map(|value| Some((value["const"].as_str()?, value["description"].as_str()?)))
    }

    /// The section of a type that is used in several places.
    fn section(&self, name: &str, text: &mut String) {
        let definition = &self.definitions[name];
        let description = definition["description"].as_str().unwrap_or_default().replace('\n', " ");
        let _ = write!(text, "\n## {name}\n\n{description}\n\n");
        if definition.get("oneOf").is_some() {
            *text += VALUES;
            for (value, meaning) in self.values(definition) {
                let _ = writeln!(text, "| `{value}` | {meaning} |");
            }
            return;
        }
        *text += KEYS;
        for (key, schema) in self.properties(definition) {
            self.rows(key, schema, text);
        }
    }
}

const INTRODUCTION: &str = "\
# Results as JSON

`--json FILE` of `loopline load`, `compare` and `doctor` writes the result as one JSON object, and `--json -` prints it.
Each line that `loopline journal cat --json` prints, and each line of a journal that `serve --journal-format json` writes, is a [JournalMessage](#journalmessage). [schema.json](schema.json) is their JSON Schema. Both documents are generated from the types of the program.

`schema` is the version of the format. It changes if a key is removed or changes its meaning, not if one is added.
Times are in microseconds where the key ends in `_us` or is inside such a key, otherwise in seconds. Rates are per
second. A value that is not known or does not apply is `null`. In the tables, `[]` stands for each element of an array,
and `.*` for each key of a map.
";

const KEYS: &str = "| key | type | |\n|---|---|---|\n";
const VALUES: &str = "| value | |\n|---|---|\n";

/// The keys that all records have.
const HEAD: [&str; 4] = ["schema", "loopline", "command", "run"];

const OPTIONS: &str = "run.options";
