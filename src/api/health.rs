//! Tags `health` and `ping`; both answer anybody.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use axum::extract::State;
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::{Api, Probe, Shared, openapi::Routes};

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

/// The last answer, so that whoever asks often does not make the parts work often.
#[derive(Debug, Default)]
pub(super) struct LastHealth(ArcSwapOption<(Instant, Health)>);

async fn health(State(api): State<Shared>) -> axum::Json<Health> {
    let last = api.last_health.0.load_full();
    if let Some((since, health)) = last.as_deref()
        && since.elapsed() < FRESH
    {
        return axum::Json(health.clone());
    }
    let health = ask(&api).await;
    let known = Arc::new((Instant::now(), health.clone()));
    api.last_health.0.store(Some(known));
    axum::Json(health)
}

async fn ask(api: &Api) -> Health {
    let probes = api.probes.iter().map(|probe| component(&**probe));
    let components = join_all(probes).await;
    let ill = components
        .iter()
        .find(|component| component.error.is_some());
    Health {
        status: ill.map_or(HEALTHY, |component| component.status),
        components,
    }
}

async fn component(probe: &dyn Probe) -> Component {
    let answer = timeout(PATIENCE, probe.check()).await;
    let answer =
        answer.unwrap_or_else(|_elapsed| Err(format!("no answer within {} s", PATIENCE.as_secs())));
    let error = answer.err();
    Component {
        name: probe.component(),
        status: error.as_ref().map_or(HEALTHY, |_| UNHEALTHY),
        error,
    }
}

const HEALTHY: &str = "healthy";
const UNHEALTHY: &str = "unhealthy";
/// Balancers ask every few seconds; an answer older than this is asked for anew.
const FRESH: Duration = Duration::from_secs(2);
/// A part that takes longer is as good as away.
const PATIENCE: Duration = Duration::from_secs(5);
