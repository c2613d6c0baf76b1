//! What the walk sends.

use serde_json::{Value, json};

use super::{Asked, PRIVATE};

/// The least that the document says the operation takes.
pub(super) fn body(asked: &Asked<'_>, private: i64) -> Value {
    let permission = json!({
        "kind": "project", "namespace": PRIVATE,
        "access": [{"resource": "repository", "action": "pull"}],
    });
    match asked.name().as_str() {
        // At home in the private project, and refused after it was decided that it may be made.
        "POST /api/v2.0/robots" => {
            return json!({"name": "Not A Name", "level": "project", "permissions": [permission]});
        }
        "POST /api/v2.0/labels" => {
            return json!({"name": "", "scope": "p", "project_id": private});
        }
        // A registry described anew needs more than one that is kept.
        "POST /api/v2.0/registries/ping" => return json!({"id": 999_999}),
        "POST /api/v2.0/retentions" => return retention(private),
        _ => {}
    }
    let content = &asked.operation["requestBody"]["content"]["application/json"];
    match &content["schema"] {
        Value::Null => Value::Null,
        schema => sample(asked.document, schema),
    }
}

/// A retention policy of the private project.
pub(super) fn retention(private_id: i64) -> Value {
    json!({"rules": [], "scope": {"level": "project", "ref": private_id}})
}

/// The least value of a schema.
fn sample(document: &Value, schema: &Value) -> Value {
    for choices in ["examples", "enum"] {
        if let Some(first) = schema[choices].get(0) {
            return first.clone();
        }
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let found = document.pointer(reference.strip_prefix('#').unwrap());
        return sample(document, found.unwrap());
    }
    let kinds = &schema["type"];
    match kinds.as_str().or(kinds[0].as_str()) {
        Some("object") => {
            let required = schema["required"].as_array().map(Vec::as_slice);
            let required = required.unwrap_or_default().iter();
            let fields = required.map(|name| {
                let name = name.as_str().unwrap().to_owned();
                let value = sample(document, &schema["properties"][&name]);
                (name, value)
            });
            Value::Object(fields.collect())
        }
        Some("array") => json!([]),
        Some("boolean") => json!(true),
        Some("integer") => json!(999_999),
        _ if schema["format"] == "date-time" => json!("2026-01-01T00:00:00Z"),
        _ => json!("absent"),
    }
}
