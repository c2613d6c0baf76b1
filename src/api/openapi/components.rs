use serde_json::{Value, json};

/// What the operations refer to, but for the schemas.
pub(super) fn components([errors, job_refusal]: [Value; 2]) -> Value {
    let text = json!({"type": "string"});
    json!({
        "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
        "parameters": {
            "page": query(
                "page",
                "Counted from 1.",
                &json!({"type": "integer", "default": 1, "minimum": 1}),
            ),
            "page_size": query(
                "page_size",
                "Rows on a page.",
                &json!({"type": "integer", "default": 10, "minimum": 1, "maximum": 100}),
            ),
            "q": query("q", "`k=v`, `k=~v`, `k={a b}`, `k=[min~max]`, with commas.", &text),
            "sort": query("sort", "Fields with commas, `-` for descending.", &text),
        },
        "headers": {
            "Link": {"description": "The pages before and after.", "schema": text},
            "Location": {"description": "Where it is now.", "schema": text},
            "X-Total-Count": {
                "description": "Rows on all pages.",
                "required": true,
                "schema": {"type": "integer"},
            },
        },
        "responses": {
            "Errors": refusal(&errors),
            "JobRefusal": refusal(&job_refusal),
            "Refusal": {"description": "Refused."},
        },
    })
}

fn query(name: &str, description: &str, schema: &Value) -> Value {
    json!({"name": name, "in": "query", "description": description, "schema": schema})
}

fn refusal(schema: &Value) -> Value {
    json!({
        "description": "Refused, with the reason.",
        "content": {"application/json": {"schema": schema}},
    })
}
