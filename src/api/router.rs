//! The API as one service.

use std::convert::Infallible;

use axum::routing::get;
use http::{Method, Request, Response};
use tower::ServiceExt;

use super::{
    Api, Parts, ROOT, Shared, adapters,
    error::{Error, Fault},
    executions,
    health::{self, LastHealth},
    jobs, jobservice, members, metadata,
    names::LastNames,
    permissions, policies, projects, registries, robots, schedules, search, system, users,
};
use crate::wire::{Body, RequestId};

/// Answers everything below `/api/`. Cheap to clone.
///
/// Requests carry the extensions [`crate::wire::Peer`] and [`RequestId`].
#[derive(Debug, Clone)]
pub struct Router(axum::Router);

impl Router {
    /// The API over these parts.
    pub fn new(parts: Parts) -> Self {
        let operations = axum::Router::new()
            .merge(adapters::routes())
            .merge(executions::routes())
            .merge(health::routes())
            .merge(jobservice::routes())
            .merge(members::routes())
            .merge(metadata::routes())
            .merge(permissions::routes())
            .merge(policies::routes())
            .merge(projects::routes())
            .merge(registries::routes())
            .merge(robots::routes())
            .merge(schedules::routes())
            .merge(search::routes())
            .merge(system::routes())
            .merge(users::routes());
        let router = axum::Router::new()
            .nest(ROOT, operations)
            .route("/api/version", get(system::version))
            .merge(jobs::routes())
            .fallback(unknown_path)
            .method_not_allowed_fallback(wrong_method)
            .with_state(Shared::new(Api {
                parts,
                last_health: LastHealth::default(),
                last_names: LastNames::default(),
            }));
        Self(router)
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let id = request.extensions().get::<RequestId>().cloned();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answered: Result<_, Infallible> = self.0.clone().oneshot(request).await;
        let Ok(response) = answered;
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

async fn unknown_path(uri: http::Uri) -> Error {
    Error::NotFound(format!("there is no {} in this API", uri.path()))
}

async fn wrong_method(method: Method) -> Error {
    Error::MethodNotAllowed(method)
}
