//! The API as one service.

use std::convert::Infallible;

use axum::response::IntoResponse;
use http::{Method, Request, Response};
use tower::ServiceExt;

use super::{
    Api, Parts, ROOT, Shared, adapters, artifacts, audit_logs, configurations,
    error::{Error, Fault},
    executions, groups, health, immutable, jobs, jobservice, labels, members, metadata,
    openapi::{self, Routes, page},
    permissions, policies, projects, quotas, registries, replication, repositories, retentions,
    robots, schedules, search, system, system_jobs, users, webhooks,
};
use crate::{
    settings,
    wire::{Body, RequestId},
};

/// Answers everything below `/api/`. Cheap to clone.
///
/// Requests carry the extensions [`crate::wire::Peer`] and [`RequestId`].
#[derive(Debug, Clone)]
pub struct Router {
    routes: axum::Router,
    settings: settings::Reader,
}

impl Router {
    /// The API over these parts.
    pub fn new(parts: Parts) -> Self {
        let (served, mut operations) = routes().into_parts();
        operations.extend(parts.elsewhere.iter().cloned());
        let document = openapi::document(&operations).to_string().into();
        let settings = parts.settings.reader();
        let routes = served
            .fallback(unknown_path)
            .method_not_allowed_fallback(wrong_method)
            .with_state(Shared::new(Api { parts, document }));
        Self { routes, settings }
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let id = request.extensions().get::<RequestId>().cloned();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = if self.settings.values().read_only && changes(&method, &path) {
            Error::ReadOnly.into_response()
        } else {
            let answered: Result<_, Infallible> = self.routes.clone().oneshot(request).await;
            let Ok(response) = answered;
            response
        };
        if let Some(Fault(cause)) = response.extensions().get() {
            let id = id.as_ref().map_or("", |id| &id.0);
            tracing::error!(
                request.id = id, %method, path,
                "an API request failed: {cause}"
            );
        }
        response.map(Body::boxed)
    }
}

/// All that this room serves.
fn routes() -> Routes {
    let contract = Routes::new("contract")
        .merge(adapters::routes())
        .merge(artifacts::routes())
        .merge(audit_logs::routes())
        .merge(configurations::routes())
        .merge(executions::routes())
        .merge(groups::routes())
        .merge(health::routes())
        .merge(immutable::routes())
        .merge(jobservice::routes())
        .merge(labels::routes())
        .merge(members::routes())
        .merge(metadata::routes())
        .merge(permissions::routes())
        .merge(policies::routes())
        .merge(projects::routes())
        .merge(quotas::routes())
        .merge(registries::routes())
        .merge(repositories::routes())
        .merge(robots::routes())
        .merge(retentions::routes())
        .merge(schedules::routes())
        .merge(search::routes())
        .merge(system::routes())
        .merge(system_jobs::routes())
        .merge(users::routes())
        .merge(webhooks::routes());
    Routes::new("about")
        .get("/api/version", "Which API is here", system::version)
        .open()
        .get("/api/openapi.json", "This document", openapi::serve)
        .open()
        .get("/api/docs", "A page to browse it", page::page)
        .open()
        .get("/api/docs/page.js", "The script of that page", page::script)
        .open()
        .get("/api/docs/page.css", "The style of that page", page::style)
        .open()
        .merge(jobs::routes())
        .merge(replication::routes())
        .merge(contract.below(ROOT))
}

/// Whether read-only mode refuses this: what could change something of Harbor's API. The mode
/// itself can always be left, and jobs go on, so they can be stopped.
fn changes(method: &Method, path: &str) -> bool {
    let below = path.strip_prefix(ROOT);
    !method.is_safe()
        && below.is_some_and(|path| path.starts_with('/') && path != configurations::PATH)
}

async fn unknown_path(uri: http::Uri) -> Error {
    Error::NotFound(format!("there is no {} in this API", uri.path()))
}

async fn wrong_method(method: Method) -> Error {
    Error::MethodNotAllowed(method)
}
