//! Tags `health` and `ping`; both answer anybody.

use axum::extract::State;
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Probe, Shared, openapi::Routes};

pub(super) fn routes() -> Routes {
    Routes::new("health")
        .get("/ping", "Whether the API is there", async || "Pong")
        .open()
        .get("/health", "How the parts are", health)
        .open()
}

/// How the gateway and its parts are.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "OverallHealthStatus")]
pub(super) struct Health {
    status: &'static str,
    components: Vec<Component>,
}

/// How one part is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ComponentHealthStatus")]
struct Component {
    name: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

async fn health(State(api): State<Shared>) -> axum::Json<Health> {
    let probes = api.probes.iter().map(|probe| component(&**probe));
    let components = join_all(probes).await;
    let ill = components
        .iter()
        .find(|component| component.error.is_some());
    axum::Json(Health {
        status: ill.map_or(HEALTHY, |component| component.status),
        components,
    })
}

async fn component(probe: &dyn Probe) -> Component {
    let error = probe.check().await.err();
    Component {
        name: probe.component(),
        status: error.as_ref().map_or(HEALTHY, |_| UNHEALTHY),
        error,
    }
}

const HEALTHY: &str = "healthy";
const UNHEALTHY: &str = "unhealthy";
