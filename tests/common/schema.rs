//! Checks results against `docs/schema.json`, which allows no key that it does not describe.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

/// Asserts that `result` is a record of a `kind` that the schema defines, for example `LoadRecord`.
#[track_caller]
pub(crate) fn assert_is(kind: &str, result: &Value) {
    if let Err(error) = check(kind, result) {
        panic!("not a {kind} of docs/schema.json: {error}\n{result:#}");
    }
}

/// The differences between `result` and the definition of `kind`.
pub(crate) fn check(kind: &str, result: &Value) -> Result<(), String> {
    let (schemas, schema) = compiled(kind);
    schemas.validate(result, *schema).map_err(|error| format!("{error:#}"))
}

/// The definition of `kind`, compiled once in a process, since that takes longer than a short run.
fn compiled(kind: &str) -> &'static (Schemas, SchemaIndex) {
    static COMPILED: Mutex<BTreeMap<String, &(Schemas, SchemaIndex)>> = Mutex::new(BTreeMap::new());
    let mut all = COMPILED.lock().unwrap();
    all.entry(kind.into()).or_insert_with(|| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema.json");
        let location = format!("{}#/$defs/{kind}", file.display());
        let mut schemas = Schemas::new();
        let schema =
            Compiler::new().compile(&location, &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
        Box::leak(Box::new((schemas, schema)))
    })
}
