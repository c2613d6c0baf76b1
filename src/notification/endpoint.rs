use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE},
};
use subtle::ConstantTimeEq;

use super::{
    Config, Metrics, Observer,
    envelope::{Envelope, Event},
    metrics::Outcome,
};
use crate::{
    secret::{Secret, sha256},
    wire::{Body, collect},
};

/// Answers `/service/notifications`. Cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    secret: Option<Secret>,
    /// What the gateway puts at the end of the user agent of changes that pass it.
    mark: String,
    observer: Arc<dyn Observer>,
    metrics: Metrics,
}

impl Service {
    pub fn new(
        config: &Config,
        mark: String,
        observer: Arc<dyn Observer>,
        metrics: Metrics,
    ) -> Self {
        let secret = config.secret.clone().filter(|secret| !secret.is_empty());
        Self(Arc::new(Inner {
            secret,
            mark,
            observer,
            metrics,
        }))
    }

    /// Takes in an envelope. The registry tells everything again that is not answered with 2xx.
    pub async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let Some(secret) = &self.0.secret else {
            return answer(StatusCode::NOT_FOUND, "notifications are not configured");
        };
        if request.method() != Method::POST {
            return answer(StatusCode::METHOD_NOT_ALLOWED, "events are posted");
        }
        if !is_allowed(&request, secret) {
            let mut refusal = answer(StatusCode::UNAUTHORIZED, "the secret is wrong or missing");
            let challenge = HeaderValue::from_static("Basic realm=\"notifications\"");
            refusal.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            return refusal;
        }
        let Ok(bytes) = collect(request.into_body(), MAX_ENVELOPE_BYTES).await else {
            return answer(StatusCode::BAD_REQUEST, "the envelope is too large or cut");
        };
        let Ok(envelope) = serde_json::from_slice::<Envelope>(&bytes) else {
            return answer(StatusCode::BAD_REQUEST, "this is no envelope of events");
        };
        for event in envelope.events {
            let outcome = self.0.hear(event).await;
            self.0.metrics.count(outcome);
            if outcome == Outcome::Failed {
                return once_more();
            }
        }
        answer(StatusCode::OK, "")
    }
}

impl Inner {
    async fn hear(&self, event: Event) -> Outcome {
        if event.has_mark(&self.mark) {
            return Outcome::Known;
        }
        let Some(change) = event.change() else {
            return Outcome::Irrelevant;
        };
        let repository = change.repository.clone();
        if let Err(error) = self.observer.heard(change).await {
            tracing::warn!(%error, repository.name = %repository, "a notification is not taken in");
            return Outcome::Failed;
        }
        Outcome::Heard
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

/// Whether the request shows the secret, as `Bearer SECRET` or as the password of Basic.
fn is_allowed(request: &Request<Body>, secret: &Secret) -> bool {
    let shown = request.headers().get(AUTHORIZATION);
    let Some((scheme, value)) = shown
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split_once(' '))
    else {
        return false;
    };
    let given = if scheme.eq_ignore_ascii_case("bearer") {
        value.trim().as_bytes().to_vec()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let pair = STANDARD.decode(value.trim()).unwrap_or_default();
        let password = pair.splitn(2, |byte| *byte == b':').nth(1);
        password.unwrap_or_default().to_vec()
    } else {
        return false;
    };
    // Digests are of one length, so that the comparison tells nothing of the secret's.
    let wanted = sha256(secret.expose().as_bytes());
    sha256(&given).ct_eq(&wanted).into()
}

fn once_more() -> Response<Body> {
    let text = "the event cannot be written down; send it again";
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, text);
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS.into());
    response
}

fn answer(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::Full(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}

/// An event has about a kilobyte, and distribution sends one at a time.
const MAX_ENVELOPE_BYTES: usize = 1024 * 1024;
const RETRY_AFTER_SECONDS: u16 = 5;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::{FutureExt, future::BoxFuture};

    use super::*;
    use crate::{notification::Change, wire::BoxError};

    #[derive(Default)]
    struct Ears {
        heard: Mutex<Vec<Change>>,
        is_deaf: bool,
    }

    impl Observer for Ears {
        fn heard(&self, change: Change) -> BoxFuture<'_, Result<(), BoxError>> {
            async move {
                if self.is_deaf {
                    return Err("the database is away".into());
                }
                self.heard.lock().unwrap().push(change);
                Ok(())
            }
            .boxed()
        }
    }

    fn service(ears: &Arc<Ears>) -> Service {
        let config = Config {
            secret: Some(Secret::new("s3cret")),
        };
        let observer: Arc<Ears> = Arc::clone(ears);
        Service::new(
            &config,
            " tidegate/abc".into(),
            observer,
            Metrics::default(),
        )
    }

    fn post(authorization: &str, body: &str) -> Request<Body> {
        Request::post("/service/notifications")
            .header(AUTHORIZATION, authorization)
            .body(Body::from(body.to_owned()))
            .unwrap()
    }

    fn delete_by(useragent: &str) -> String {
        format!(
            r#"{{"events": [{{"action": "delete", "request": {{"useragent": "{useragent}"}},
                "target": {{"repository": "a/b", "tag": "v1"}}}}]}}"#
        )
    }

    #[tokio::test]
    async fn only_the_secret_opens_the_ears() {
        let ears = Arc::new(Ears::default());
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for (authorization, status) in [
            ("Bearer s3cret".to_owned(), 200),
            (basic("anybody:s3cret"), 200),
            ("Bearer wrong".to_owned(), 401),
            (basic("s3cret"), 401),
            ("s3cret".to_owned(), 401),
        ] {
            let request = post(&authorization, &delete_by("curl"));
            let answer = service(&ears).handle(request).await;
            assert_eq!(answer.status(), status, "{authorization}");
        }
        assert_eq!(ears.heard.lock().unwrap().len(), 2);
        let closed = Service::new(&Config::default(), String::new(), ears, Metrics::default());
        let answer = closed.handle(post("Bearer ", "{}")).await;
        assert_eq!(answer.status(), 404);
    }

    #[tokio::test]
    async fn what_passed_the_gateway_is_known() {
        let ears = Arc::new(Ears::default());
        for (agent, heard) in [
            ("docker/27 tidegate/abc", 0),
            ("docker/27 tidegate/other", 1),
        ] {
            let request = post("Bearer s3cret", &delete_by(agent));
            assert_eq!(service(&ears).handle(request).await.status(), 200);
            assert_eq!(ears.heard.lock().unwrap().len(), heard, "{agent}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_taken_in_is_asked_for_again() {
        let ears = Arc::new(Ears {
            is_deaf: true,
            ..Ears::default()
        });
        let request = post("Bearer s3cret", &delete_by("curl"));
        assert_eq!(service(&ears).handle(request).await.status(), 503);
        let request = post("Bearer s3cret", "no envelope");
        assert_eq!(service(&ears).handle(request).await.status(), 400);
    }
}
