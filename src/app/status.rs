//! Liveness, readiness and metrics, and the parts whose health `GET /api/v2.0/health` shows.

use std::{sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, join_all};
use http::{HeaderValue, Response, StatusCode, header};
use prometheus_client::registry::Registry;

use crate::{
    api::Probe,
    registry::Client,
    store::Db,
    telemetry,
    wire::{Body, Exchange},
};

/// Answers `/healthz`, `/readyz` and `/metrics`.
#[derive(Debug)]
pub(super) struct Status {
    pub probes: Vec<Arc<dyn Probe>>,
    pub metrics: Registry,
}

impl Status {
    /// The process lives; says nothing of what it depends on.
    pub(super) fn alive() -> Response<Body> {
        text(StatusCode::OK, "ok\n".to_owned())
    }

    /// Whether requests can be served: the database and the registry behind answer.
    pub(super) async fn ready(&self) -> Response<Body> {
        let checks = self
            .probes
            .iter()
            .map(async |probe| (probe.component(), probe.check().await));
        let failures: Vec<String> = join_all(checks)
            .await
            .into_iter()
            .filter_map(|(component, outcome)| Some(format!("{component}: {}\n", outcome.err()?)))
            .collect();
        if failures.is_empty() {
            return Self::alive();
        }
        text(StatusCode::SERVICE_UNAVAILABLE, failures.concat())
    }

    /// Every room's metrics in Prometheus's text format.
    pub(super) fn metrics(&self) -> Response<Body> {
        let mut response = text(StatusCode::OK, telemetry::exposition(&self.metrics));
        let content_type = HeaderValue::from_static(telemetry::CONTENT_TYPE);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
        response
    }
}

fn text(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// The database answers a question.
#[derive(Debug)]
pub(super) struct DatabaseProbe(pub Db);

impl Probe for DatabaseProbe {
    fn component(&self) -> &'static str {
        "database"
    }

    fn check(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(in_time(async {
            self.0
                .ping()
                .await
                .map_err(|_inner| "the database does not answer".to_owned())
        }))
    }
}

/// The registry behind the gateway answers `/v2/`.
#[derive(Debug)]
pub(super) struct RegistryProbe(pub Exchange);

impl Probe for RegistryProbe {
    fn component(&self) -> &'static str {
        "registry"
    }

    fn check(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(in_time(async {
            let client = Client::new(self.0.clone());
            client
                .ping()
                .await
                .map(drop)
                .map_err(|_inner| "the registry does not answer".to_owned())
        }))
    }
}

async fn in_time(check: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let waited = tokio::time::timeout(PATIENCE, check).await;
    waited.unwrap_or_else(|_elapsed| Err(format!("no answer within {} s", PATIENCE.as_secs())))
}

/// How long a health check may take: less than the time-outs of those who ask.
const PATIENCE: Duration = Duration::from_secs(3);
