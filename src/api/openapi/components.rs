use serde_json::{Value, json};

use super::requests::requests;

/// What the operations refer to.
pub(super) fn components() -> Value {
    json!({
        "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
        "parameters": {
            "page": query("page", "Counted from 1.", &json!({"type": "integer", "default": 1})),
            "page_size": query(
                "page_size",
                "Rows on a page.",
                &json!({"type": "integer", "default": 10, "maximum": 100}),
            ),
            "q": query("q", "`k=v`, `k=~v`, `k={a b}`, `k=[min~max]`, with commas.", &text()),
            "sort": query("sort", "Fields with commas, `-` for descending.", &text()),
        },
        "headers": {
            "X-Total-Count": {"description": "Rows on all pages.", "schema": {"type": "integer"}},
            "Link": {"description": "The pages before and after.", "schema": text()},
        },
        "responses": {
            "Refusal": refusal("Refusal"),
            "JobRefusal": refusal("JobRefusal"),
        },
        "schemas": schemas(),
    })
}

fn schemas() -> Value {
    let mut all = requests();
    if let Value::Object(ours) = own() {
        all.extend(ours);
    }
    all.into()
}

/// What stands in our own operations, and refusals.
fn own() -> Value {
    let integer = json!({"type": "integer"});
    json!({
        "Refusal": object(&json!({
            "errors": {"type": "array", "items": object(&json!({"code": text(), "message": text()}))},
        })),
        "JobRefusal": object(&json!({"code": integer, "message": text(), "details": text()})),
        "Job": object(&json!({"job": object(&json!({
            "id": text(), "status": text(), "name": text(), "kind": text(),
            "unique": {"type": "boolean"}, "ref_link": text(), "enqueue_time": integer,
            "update_time": integer, "run_at": integer, "die_at": integer,
            "parameters": {"type": "object"}, "revision": integer, "key": text(),
            "target": text(), "state": text(), "stopping": {"type": "boolean"},
            "attempts": integer, "max_attempts": integer, "error": text(), "error_class": text(),
            "start_time": time(), "end_time": time(),
            "progress": object(&json!({
                "bytes": integer, "total_bytes": integer, "parts": integer,
                "total_parts": integer, "rest_seconds": integer,
            })),
        }))})),
        "JobRequest": needing(&["job"], &json!({
            "job": needing(&["name", "metadata"], &json!({
                "name": text(),
                "parameters": {"type": "object"},
                "metadata": needing(&["kind"], &json!({
                    "kind": {"enum": ["Generic", "Scheduled"]},
                    "schedule_delay": integer,
                    "unique": {"type": "boolean"},
                })),
            })),
        })),
        "JobAction": needing(&["action"], &json!({"action": {"enum": ["stop", "retry"]}})),
        "WebhookPolicy": webhook_policy(),
        "JobsMeant": object(&json!({
            "kind": text(), "key_prefix": text(), "target": text(), "state": text(),
            "since": time(),
        })),
        "JobsSince": needing(&["since"], &json!({"since": time()})),
        "JobsChanged": object(&json!({"count": integer})),
        "JobStats": object(&json!({"worker_pools": {"type": "array", "items": object(&json!({
            "worker_pool_id": text(), "started_at": integer, "heartbeat_at": integer,
            "job_names": {"type": "array", "items": text()}, "concurrency": integer,
            "status": {"enum": ["Healthy", "Dead"]},
        }))}})),
        "PlanRequest": object(&json!({"policy_id": integer, "policy": {"type": "object"}})),
        "Firings": {"type": "array", "items": object(&json!({
            "slot": time(), "fired": time(), "outcome": {"enum": ["fired", "joined", "missed"]},
            "job_id": integer,
        }))},
        "Lag": object(&json!({
            "policies": {"type": "array", "items": backlog(&json!({
                "policy_id": integer, "policy": text(), "enabled": {"type": "boolean"},
                "registry_id": integer,
            }))},
            "targets": {"type": "array", "items": backlog(&json!({
                "registry_id": integer, "registry": text(),
                "parked": object(&json!({"reason": text(), "until": time()})),
            }))},
        })),
        "Standing": object(&json!({
            "repository": text(), "reference": text(), "digest": text(),
            "complete": {"type": "boolean"},
            "targets": {"type": "array", "items": object(&json!({
                "policy_id": integer, "policy": text(), "registry_id": integer,
                "repository": text(), "job_id": integer, "message": text(),
                "status": {"enum": [
                    "there", "waiting", "running", "retrying", "unknown", "missing",
                ]},
            }))},
        })),
        "Plan": object(&json!({
            "copy": integer, "delete": integer, "keep": integer,
            "truncated": {"type": "boolean"}, "objection": text(),
            "steps": {"type": "array", "items": object(&json!({
                "action": {"enum": ["copy", "delete", "keep"]},
                "src_resource": text(), "dst_resource": text(), "reason": text(),
            }))},
        })),
    })
}

fn webhook_policy() -> Value {
    let integer = json!({"type": "integer"});
    needing(
        &["name", "targets", "event_types"],
        &json!({
            "id": integer, "project_id": integer, "name": text(), "description": text(),
            "creator": text(), "enabled": {"type": "boolean"},
            "event_types": {"type": "array", "items": text()},
            "targets": {"type": "array", "items": object(&json!({
                "type": {"enum": ["http", "slack"]}, "address": text(),
                "skip_cert_verify": {"type": "boolean"},
                "payload_format": {"enum": ["Default", "CloudEvents"]},
                "auth_header": {"type": "string", "writeOnly": true},
                "secret": {"type": "string", "writeOnly": true},
                "has_auth_header": {"type": "boolean", "readOnly": true},
                "signed": {"type": "boolean", "readOnly": true},
            }))},
            "creation_time": time(), "update_time": time(),
        }),
    )
}

/// An object that also counts jobs.
fn backlog(properties: &Value) -> Value {
    let integer = json!({"type": "integer"});
    let mut all = json!({
        "waiting": integer, "running": integer, "retrying": integer, "failed_last_day": integer,
        "oldest": time(), "lag_seconds": integer,
    });
    if let (Some(all), Some(properties)) = (all.as_object_mut(), properties.as_object()) {
        all.extend(properties.clone());
    }
    object(&all)
}

pub(super) fn object(properties: &Value) -> Value {
    json!({"type": "object", "properties": properties})
}

/// An object that is refused without these fields.
pub(super) fn needing(required: &[&str], properties: &Value) -> Value {
    json!({"type": "object", "required": required, "properties": properties})
}

pub(super) fn text() -> Value {
    json!({"type": "string"})
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn query(name: &str, description: &str, schema: &Value) -> Value {
    json!({"name": name, "in": "query", "description": description, "schema": schema})
}

fn refusal(schema: &str) -> Value {
    let schema = super::reference("schemas", schema);
    json!({
        "description": "Refused, with the reason.",
        "content": {"application/json": {"schema": schema}},
    })
}
