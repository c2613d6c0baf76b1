//! Liveness, readiness and metrics, and the parts whose health `GET /api/v2.0/health` shows.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, join_all},
};
use http::{HeaderValue, Response, StatusCode, header};
use prometheus_client::registry::Registry;
use tokio::time::{Instant, timeout};

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
        Box::pin(async {
            let answer = self.0.ping().await;
            answer.map_err(|_inner| "the database does not answer".to_owned())
        })
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
        Box::pin(async {
            let answer = Client::new(self.0.clone()).ping().await;
            let answer = answer.map(drop);
            answer.map_err(|_inner| "the registry does not answer".to_owned())
        })
    }
}

/// A part that is asked once a second at most, however many want to know how it is: anybody may.
#[derive(Debug)]
pub(super) struct Recent<P> {
    probe: Arc<P>,
    last: Mutex<Option<(Instant, Outcome)>>,
}

type Outcome = Shared<BoxFuture<'static, Result<(), String>>>;

impl<P: Probe + 'static> Recent<P> {
    pub(super) fn of(probe: P) -> Self {
        Self {
            probe: Arc::new(probe),
            last: Mutex::default(),
        }
    }

    /// Asks on a task of its own: who wants to know may go away.
    fn ask(&self) -> Outcome {
        let probe = Arc::clone(&self.probe);
        let asked = tokio::spawn(async move { timeout(PATIENCE, probe.check()).await });
        let outcome = async {
            match asked.await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_elapsed)) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
                Err(_panicked) => Err("the check failed".to_owned()),
            }
        };
        outcome.boxed().shared()
    }
}

impl<P: Probe + 'static> Probe for Recent<P> {
    fn component(&self) -> &'static str {
        self.probe.component()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), String>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever comes while the part is asked waits for that answer.
        let recent = last
            .take()
            .filter(|(since, outcome)| outcome.peek().is_none() || since.elapsed() < FRESH);
        let (_, outcome) = last.insert(recent.unwrap_or_else(|| (Instant::now(), self.ask())));
        outcome.clone().boxed()
    }
}

/// Less than any balancer's interval.
const FRESH: Duration = Duration::from_secs(1);
/// How long a health check may take: less than the time-outs of those who ask.
const PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Answers the first time, and never again.
    #[derive(Debug, Default)]
    struct Once(AtomicUsize);

    impl Probe for Once {
        fn component(&self) -> &'static str {
            "registry"
        }

        fn check(&self) -> BoxFuture<'_, Result<(), String>> {
            let is_first = self.0.fetch_add(1, Ordering::SeqCst) == 0;
            Box::pin(async move {
                if !is_first {
                    std::future::pending::<()>().await;
                }
                Ok(())
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_is_asked_once_a_second_however_many_want_to_know() {
        let probe = Recent::of(Once::default());
        let asked = || probe.probe.0.load(Ordering::SeqCst);
        let all = async || {
            // Some go away at once.
            (0..100).for_each(|_| drop(probe.check()));
            join_all((0..100).map(|_| probe.check())).await
        };
        assert!(all().await.iter().all(Result::is_ok));
        assert_eq!(asked(), 1);
        tokio::time::advance(FRESH).await;
        let silent = Err("no answer within 3 s".to_owned());
        assert!(all().await.iter().all(|outcome| *outcome == silent));
        assert_eq!(asked(), 2, "and all of them learnt that it is silent");
    }
}
