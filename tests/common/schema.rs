//! Checks results against `docs/schema.json`, which allows no key that it does not describe.

use std::path::Path;

use boon::{Compiler, Schemas};
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
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema.json");
    let location = format!("{}#/$defs/{kind}", file.display());
    let mut schemas = Schemas::new();
    let schema = Compiler::new().compile(&location, &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
    schemas.validate(result, schema).map_err(|error| format!("{error:#}"))
}
