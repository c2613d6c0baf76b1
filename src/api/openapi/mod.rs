//! The OpenAPI 3.1 document that Tidegate serves about itself.
//!
//! `routes.rs` joins each route with one line about it and with who may use it (`permission.rs`);
//! here these lines become the document.
//! What Harbor's operations answer is Harbor's contract and is not said again.

mod components;
pub(super) mod page;
mod permission;
mod requests;
mod routes;

use axum::{extract::State, response::IntoResponse};
use http::header;
use serde_json::{Map, Value, json};

use super::Shared;
pub use routes::Operation;
pub(super) use routes::Routes;

/// `GET /api/openapi.json`, for anybody.
pub(super) async fn serve(State(api): State<Shared>) -> impl IntoResponse {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, api.document.clone())
}

/// The document about these operations.
pub(super) fn document(operations: &[Operation]) -> Value {
    let mut paths = Map::new();
    for operation in operations {
        let path = paths
            .entry(operation.path.clone())
            .or_insert_with(|| json!({}));
        path[operation.method.to_ascii_lowercase()] = operation.describe();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tidegate",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Harbor's REST API v2.0, the job API and the token service. What \
                Harbor's operations answer is in Harbor's own description of them.",
        },
        "security": [{"basic": []}, {}],
        "paths": paths,
        "components": components::components(),
    })
}

impl Operation {
    fn describe(&self) -> Value {
        let mut described = json!({
            "tags": [self.tag],
            "summary": self.summary,
            "operationId": self.id(),
            "responses": {"2XX": self.answer(), "default": reference("responses", self.refusal())},
        });
        let parameters = self.parameters();
        if !parameters.is_empty() {
            described["parameters"] = parameters.into();
        }
        if let Some(permission) = self.permission {
            described["x-permission"] = permission.describe();
        }
        if let Some(schema) = self.takes {
            let content = json!({"application/json": {"schema": reference("schemas", schema)}});
            described["requestBody"] = json!({"required": true, "content": content});
        }
        described
    }

    /// `get_api_v1_jobs_job_id`: unique, for method and path are.
    fn id(&self) -> String {
        let words = self.path.split(|c: char| !c.is_ascii_alphanumeric());
        let words = words.filter(|word| !word.is_empty());
        let mut id = self.method.to_ascii_lowercase();
        for word in words {
            id.push('_');
            id.push_str(word);
        }
        if self.path.ends_with('/') {
            id.push('_');
        }
        id
    }

    fn answer(&self) -> Value {
        let mut answer = json!({"description": "Done."});
        if let Some(schema) = self.answers {
            let one = reference("schemas", schema);
            let schema = if self.is_paged {
                json!({"type": "array", "items": one})
            } else {
                one
            };
            answer["content"] = json!({"application/json": {"schema": schema}});
        }
        if self.is_paged {
            answer["headers"] = json!({
                "X-Total-Count": reference("headers", "X-Total-Count"),
                "Link": reference("headers", "Link"),
            });
        }
        answer
    }

    fn refusal(&self) -> &'static str {
        if self.tag == "jobs" {
            "JobRefusal"
        } else {
            "Refusal"
        }
    }

    fn parameters(&self) -> Vec<Value> {
        let segments = self.path.split('/');
        let names = segments.filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
        let mut parameters: Vec<Value> = names
            .map(|name| {
                let kind = if IDS.contains(&name) {
                    "integer"
                } else {
                    "string"
                };
                json!({"name": name, "in": "path", "required": true, "schema": {"type": kind}})
            })
            .collect();
        parameters.extend(self.required.iter().map(|name| {
            json!({"name": name, "in": "query", "required": true, "schema": {"type": "string"}})
        }));
        if self.is_paged {
            let paging = ["page", "page_size", "q", "sort"];
            parameters.extend(paging.map(|name| reference("parameters", name)));
        }
        parameters
    }
}

fn reference(section: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{section}/{name}")})
}

/// Parameters in paths that are numbers.
const IDS: [&str; 5] = ["id", "mid", "robot_id", "task_id", "user_id"];
