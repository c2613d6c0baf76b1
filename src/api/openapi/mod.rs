//! The OpenAPI 3.1 document that Tidegate serves about itself.
//!
//! `routes.rs` joins each route with one line about it and with who may use it (`permission.rs`).
//! What it takes and answers is read from the signature of its handler (`signature.rs`,
//! `answer.rs`), the schemas from the types there (`schemas.rs`). Here all becomes the document.

mod answer;
mod components;
pub(super) mod page;
mod permission;
mod routes;
mod schemas;
mod signature;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::header;
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::{Shared, error, jobs};
pub(super) use answer::{Answer, Content, SchemaOf, Success};
pub use routes::Operation;
pub(super) use routes::Routes;
use schemas::Schemas;

/// `GET /api/openapi.json`, for anybody.
pub(super) async fn serve(State(api): State<Shared>) -> Document {
    Document(api.document.clone())
}

/// The document's JSON.
pub(super) struct Document(Bytes);

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        let json = [(header::CONTENT_TYPE, "application/json")];
        (json, self.0).into_response()
    }
}

impl Answer for Document {
    fn success() -> Success {
        Success::json::<Map<String, Value>>()
    }
}

/// The document about these operations.
pub(super) fn document(operations: &[Operation]) -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    for operation in operations {
        let path = paths
            .entry(operation.path.clone())
            .or_insert_with(|| json!({}));
        path[operation.method.to_ascii_lowercase()] = operation.describe(&mut schemas);
    }
    let refusals = [
        schemas.answered(SchemaGenerator::subschema_for::<error::Errors>),
        schemas.answered(SchemaGenerator::subschema_for::<jobs::Refusal>),
    ];
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tidegate",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Harbor's REST API v2.0, the job API and the token service.",
        },
        "security": [{"basic": []}, {}],
        "paths": paths,
        "components": components::components(refusals),
    });
    schemas.settle(&mut document);
    document
}

impl Operation {
    fn describe(&self, schemas: &mut Schemas) -> Value {
        let mut described = json!({
            "tags": [self.tag],
            "summary": self.summary,
            "operationId": self.id(),
            "responses": self.responses(schemas),
        });
        let parameters = self.parameters();
        if !parameters.is_empty() {
            described["parameters"] = parameters.into();
        }
        if let Some(permission) = self.permission {
            described["x-permission"] = permission.describe();
        }
        if let Some(schema) = self.takes {
            let content = json!({"application/json": {"schema": schemas.taken(schema)}});
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

    fn responses(&self, schemas: &mut Schemas) -> Map<String, Value> {
        let mut answer = json!({"description": "Done."});
        match self.success.body {
            Content::Empty => {}
            Content::Json(schema) => {
                answer["content"]["application/json"]["schema"] = schemas.answered(schema);
            }
            Content::Other(media_types) => {
                for media_type in media_types {
                    answer["content"][media_type] = json!({});
                }
            }
        }
        for name in self.success.headers {
            answer["headers"][name] = reference("headers", name);
        }
        let refusal = reference("responses", self.refusal());
        let statuses = self.success.statuses.iter();
        let mut responses: Map<String, Value> = statuses
            .map(|status| (status.to_string(), answer.clone()))
            .collect();
        responses.insert("4XX".to_owned(), refusal.clone());
        responses.insert("5XX".to_owned(), refusal);
        responses
    }

    fn refusal(&self) -> &'static str {
        match self.tag {
            "jobs" => "JobRefusal",
            "notifications" => "Refusal",
            _ => "Errors",
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
        if self.success.is_paged() {
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
const IDS: [&str; 14] = [
    "eid",
    "execution_id",
    "gc_id",
    "group_id",
    "id",
    "immutable_rule_id",
    "label_id",
    "mid",
    "purge_id",
    "robot_id",
    "task_id",
    "tid",
    "user_id",
    "webhook_policy_id",
];
