//! The document about the API, and how much of Harbor's contract is served.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::Value;

use super::{ADMIN, Api, NOBODY, on_each_database};
use crate::store::testing::sqlite;

/// `METHOD path` of every operation in Harbor's API v2.0.
const CONTRACT: &str = include_str!("../../../tests/harbor/operations.txt");
/// Those of them that are not served yet. This list only shrinks.
const MISSING: &str = include_str!("../../../tests/harbor/missing.txt");

#[tokio::test]
async fn the_document_is_well_formed() {
    on_each_database(async |api| {
        let document = api.get("/api/openapi.json", NOBODY).await.json();
        assert_eq!(document["openapi"], "3.1.0");
        assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
        let mut ids = BTreeSet::new();
        for (path, method, operation) in operations(&document) {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} twice");
            assert!(
                operation["summary"]
                    .as_str()
                    .is_some_and(|line| !line.is_empty()),
                "{id}"
            );
            let empty = Vec::new();
            let parameters = operation["parameters"].as_array().unwrap_or(&empty).iter();
            let in_path: Vec<_> = parameters
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap()))
                .collect();
            assert_eq!(in_path.len(), path.matches('{').count(), "{method} {path}");
            assert!(
                in_path.iter().all(|name| path.contains(name)),
                "{method} {path}"
            );
        }
        for reference in references(&document) {
            let found = document.pointer(reference.strip_prefix('#').unwrap());
            assert!(found.is_some(), "{reference} leads nowhere");
        }
    })
    .await;
}

#[tokio::test]
async fn the_page_runs_its_own_script_alone_and_in_no_frame() {
    let api = Api::over(sqlite().await).await;
    for (path, media_type) in [
        ("/api/docs", "text/html"),
        ("/api/docs/page.js", "text/javascript"),
        ("/api/docs/page.css", "text/css"),
    ] {
        let file = api.get(path, NOBODY).await;
        assert_eq!(file.status, 200, "{path}");
        assert!(file.header("content-type").starts_with(media_type));
        assert_eq!(file.header("x-content-type-options"), "nosniff", "{path}");
        let policy: BTreeSet<_> = file
            .header("content-security-policy")
            .split(';')
            .map(str::trim)
            .collect();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(rule), "{path}: {policy:?}");
        }
        assert!(!policy.iter().any(|rule| rule.contains("unsafe")));
    }
    // What the policy would keep from running is not there in the first place.
    let page = api.get("/api/docs", NOBODY).await;
    let page = String::from_utf8_lossy(&page.body);
    for script in page.split("<script").skip(1) {
        assert!(script.trim_start().starts_with("src="), "{script}");
    }
}

#[tokio::test]
async fn every_operation_says_what_it_answers() {
    let api = Api::over(sqlite().await).await;
    let document = api.get("/api/openapi.json", NOBODY).await.json();
    for (path, method, operation) in operations(&document) {
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.contains_key("4XX"), "{method} {path}");
        let good: Vec<_> = responses
            .iter()
            .filter(|(status, _)| status.starts_with('2'))
            .collect();
        let [(status, good)] = good[..] else {
            panic!("{method} {path} has {} good answers", good.len());
        };
        let is_created = status == "201";
        assert_eq!(
            good["headers"]["Location"].is_object(),
            is_created,
            "{method} {path}"
        );
        let json = &good["content"]["application/json"];
        if path.contains("/additions/") || json.is_null() {
            continue;
        }
        let schema = &json["schema"];
        let shape = ["$ref", "items", "type"].map(|key| &schema[key]);
        assert!(shape.iter().any(|part| !part.is_null()), "{method} {path}");
    }
}

/// Whatever answers a `GET` in JSON shows in the document with which fields.
#[tokio::test]
async fn what_is_read_has_a_schema() {
    let api = Api::over(sqlite().await).await;
    let document = api.get("/api/openapi.json", NOBODY).await.json();
    let without: Vec<String> = operations(&document)
        .filter(|(path, method, operation)| {
            let content = &operation["responses"]["200"]["content"];
            *method == "get" && path.starts_with("/api/") && content.is_null()
        })
        .map(|(path, method, _)| format!("{method} {path}"))
        .collect();
    assert!(without.is_empty(), "{without:#?}");
}

/// The generator numbers the second of two types that have one name.
#[tokio::test]
async fn no_two_schemas_share_a_name() {
    let api = Api::over(sqlite().await).await;
    let document = api.get("/api/openapi.json", NOBODY).await.json();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let numbered: Vec<&String> = schemas
        .keys()
        .filter(|name| name.ends_with(|last: char| last.is_ascii_digit()))
        .collect();
    assert!(numbered.is_empty(), "{numbered:?}");
    assert!(schemas.len() > 100, "only {} schemas", schemas.len());
}

#[tokio::test]
async fn what_the_document_names_is_served() {
    on_each_database(async |api| {
        let document = api.get("/api/openapi.json", NOBODY).await.json();
        for (path, method, _) in operations(&document) {
            if !path.starts_with("/api/") {
                continue;
            }
            let asked = path.replace(['{', '}'], "");
            let method: Method = method.to_ascii_uppercase().parse().unwrap();
            let answer = api.send(method.clone(), &asked, ADMIN, Value::Null).await;
            let text = String::from_utf8_lossy(&answer.body);
            assert_ne!(answer.status, 405, "{method} {path}");
            assert!(!text.contains("in this API"), "{method} {path}: {text}");
        }
        let served: BTreeSet<&str> = operations(&document).map(|(path, ..)| path).collect();
        assert!(
            served.contains("/service/token"),
            "other rooms' paths are there too"
        );
    })
    .await;
}

#[tokio::test]
async fn every_operation_of_harbor_is_served_or_known_to_be_missing() {
    on_each_database(async |api: &Api| {
        let document = api.get("/api/openapi.json", NOBODY).await.json();
        let served: BTreeSet<String> = operations(&document)
            .filter_map(|(path, method, _)| {
                let path = path.strip_prefix("/api/v2.0")?;
                Some(format!("{} {path}", method.to_ascii_uppercase()))
            })
            .collect();
        let missing: BTreeSet<&str> = MISSING.lines().collect();
        let contract: BTreeSet<&str> = CONTRACT.lines().collect();
        assert_eq!(contract.len(), 203);
        assert!(
            missing.is_subset(&contract),
            "missing.txt names what Harbor does not have"
        );
        let mut wrong: BTreeMap<&str, &str> = BTreeMap::new();
        for operation in contract {
            match (served.contains(operation), missing.contains(operation)) {
                (true, true) => wrong.insert(operation, "is served: take it out of missing.txt"),
                (false, false) => wrong.insert(operation, "is not served any more"),
                _ => None,
            };
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    })
    .await;
}

/// Path, method and description of every operation.
pub(super) fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// Every `$ref` in the document.
fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match value.as_str() {
                Some(reference) if name == "$ref" => vec![reference],
                _ => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}
