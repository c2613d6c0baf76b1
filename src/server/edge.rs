use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
};

use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, Version, header, request::Parts};
use http_body::Body as _;
use hyper::body::Incoming;
use tower::ServiceExt;

use super::{
    Service,
    admission::{self, Refusal},
    body::{Received, Sent},
    connection::{Doorway, Link},
    record::{REQUEST_ID, Record},
};
use crate::{
    oci::ErrorCode,
    wire::{Body, IdleTimeout, Peer, RequestId},
};

/// What happens to every request, around the service that answers it.
#[derive(Debug, Clone)]
pub(super) struct Edge<S> {
    service: S,
    door: Arc<Doorway>,
}

impl<S: Service> Edge<S> {
    pub(super) fn new(service: S, door: Arc<Doorway>) -> Self {
        Self { service, door }
    }

    pub(super) fn door(&self) -> &Arc<Doorway> {
        &self.door
    }

    /// Answers one request of the connection `link`.
    pub(super) async fn answer(
        self,
        link: Arc<Link>,
        request: Request<Incoming>,
    ) -> Response<Sent> {
        let (mut parts, body) = request.into_parts();
        let version = parts.version;
        let mut record = Record::begin(self.door.clone(), link.clone(), &parts);
        if body.is_end_stream() {
            record.received.end();
        }
        let response = match admission::admit(&mut parts) {
            Ok(host) => {
                self.introduce(&link, &mut parts, host, &mut record);
                let body = self.receive(body, version, &record);
                let request = Request::from_parts(parts, body);
                call(self.service.clone(), request, &record.id).await
            }
            Err(refusal) => refuse(refusal),
        };
        self.finish(&link, response, version, record)
    }

    /// Tells the service who asks.
    fn introduce(&self, link: &Link, parts: &mut Parts, host: String, record: &mut Record) {
        let direct = Peer {
            address: link.remote,
            scheme: link.scheme,
            host,
        };
        let peer = self.door.trusted_proxies.resolve(direct, &parts.headers);
        record.remote = peer.address;
        parts.extensions.insert(peer);
        parts.extensions.insert(RequestId(record.id.clone()));
        parts.extensions.insert(record.user.clone());
    }

    fn receive(&self, body: Incoming, version: Version, record: &Record) -> Body {
        if body.is_end_stream() {
            return Body::Empty;
        }
        let counted = Received::new(body, version, record.received.clone());
        Body::boxed(IdleTimeout::new(counted, self.door.timeouts.body_idle))
    }

    fn finish(
        &self,
        link: &Link,
        mut response: Response<Body>,
        version: Version,
        mut record: Record,
    ) -> Response<Sent> {
        record.status = Some(response.status());
        if let Ok(id) = HeaderValue::from_str(&record.id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        // A body that nobody read to its end is not worth reading to keep the connection.
        let is_unread = !record.received.has_ended();
        if is_unread {
            link.unread.store(true, Ordering::Relaxed);
        }
        let is_last = is_unread || self.door.shutdown.draining().is_cancelled();
        if version < Version::HTTP_2 && is_last {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response.map(|body| Sent { body, record })
    }
}

async fn call<S: Service>(service: S, request: Request<Body>, id: &str) -> Response<Body> {
    // A panic ends this request and nothing else: the service's state is behind locks and
    // channels that survive it.
    let answer = AssertUnwindSafe(async { service.oneshot(request).await });
    match answer.catch_unwind().await {
        Ok(Ok(response)) => response,
        Err(panic) => {
            tracing::error!(request.id = id, "a request panicked: {}", text(&*panic));
            let message = format!("internal error; request id {id}");
            error(ErrorCode::Unknown, &message)
        }
    }
}

fn refuse(refusal: Refusal) -> Response<Body> {
    error(refusal.code, refusal.message)
}

fn error(code: ErrorCode, message: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(code.body(message)));
    *response.status_mut() = code.status();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let owned = || panic.downcast_ref::<String>().map(String::as_str);
    let text = panic.downcast_ref::<&str>().copied().or_else(owned);
    text.unwrap_or("no message")
}
