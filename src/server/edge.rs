use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
};

use futures_util::FutureExt;
use http::{HeaderValue, Method, Request, Response, Version, header, request::Parts};
use http_body::Body as _;
use hyper::body::Incoming;
use tower::ServiceExt;

use super::{
    Area, SEEN, SHOW, Seen, Service, admission,
    body::{Received, Sent},
    connection::{Doorway, Link},
    record::{REQUEST_ID, Record},
    refusal::Refusal,
};
use crate::wire::{Body, IdleTimeout, Peer, RequestId, Throttled};

/// What happens to every request, around the service that answers it.
#[derive(Debug, Clone)]
pub(super) struct Edge<S> {
    service: S,
    areas: fn(&str) -> Area,
    door: Arc<Doorway>,
}

impl<S: Service> Edge<S> {
    /// `areas` says which part of the service a path belongs to.
    pub(super) fn new(service: S, areas: fn(&str) -> Area, door: Arc<Doorway>) -> Self {
        Self {
            service,
            areas,
            door,
        }
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
        let (version, is_head) = (parts.version, parts.method == Method::HEAD);
        let mut record = Record::begin(self.door.clone(), link.clone(), &parts);
        if body.is_end_stream() {
            record.received.end();
        }
        let area = (self.areas)(parts.uri.path());
        let admitted = self.door.admit(area, &link, &mut parts, &mut record).await;
        let response = match admitted {
            Ok(()) => {
                let body = self.receive(body, version, &record);
                let request = Request::from_parts(parts, body);
                call(self.service.clone(), request, &record.id).await
            }
            Err(refusal) => refusal.into_response(area),
        };
        let response = if is_head {
            without_body(response)
        } else {
            response
        };
        self.finish(&link, response, version, record)
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
        let seen = record.seen.take();
        if let Some(value) = seen.and_then(|seen| seen.to_value()) {
            response.headers_mut().insert(SEEN, value);
        }
        let added = &self.door.response_headers;
        added.add_to(response.headers_mut(), record.scheme);
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
        let speed = self.door.speed.clone();
        response.map(|body| Sent {
            body: match speed {
                Some(speed) => Body::boxed(Throttled::new(body, speed)),
                None => body,
            },
            record,
        })
    }
}

impl Doorway {
    /// Whether the service is to see the request: it is well-formed, and its client may come here,
    /// and now.
    async fn admit(
        &self,
        area: Area,
        link: &Link,
        parts: &mut Parts,
        record: &mut Record,
    ) -> Result<(), Refusal> {
        let host = admission::admit(parts)?;
        self.introduce(link, parts, host, record);
        if !self.access.allows(area, record.remote) {
            return Err(Refusal::network(record.remote));
        }
        self.pacer.address(area, record.remote).await?;
        Ok(())
    }

    /// Tells the service who asks.
    fn introduce(&self, link: &Link, parts: &mut Parts, host: String, record: &mut Record) {
        let direct = Peer {
            address: link.remote,
            scheme: link.scheme,
            host,
        };
        let peer = self.trusted_proxies.resolve(direct, &parts.headers);
        record.remote = peer.address;
        record.scheme = peer.scheme;
        if parts.headers.contains_key(SHOW) {
            let is_believed = self.trusted_proxies.contains(link.remote);
            record.seen = Some(Seen::of(&peer, &parts.headers, is_believed));
        }
        parts.extensions.insert(peer);
        parts.extensions.insert(RequestId(record.id.clone()));
        parts.extensions.insert(record.visitor.clone());
    }
}

/// The answer to a HEAD: it says of its body what the answer to a GET would, and has none (RFC 9110
/// §9.3.2). On HTTP/1 hyper sees to it, on HTTP/2 it does not.
fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        let value = HeaderValue::from(length);
        head.headers.entry(header::CONTENT_LENGTH).or_insert(value);
    }
    Response::from_parts(head, Body::Empty)
}

async fn call<S: Service>(service: S, request: Request<Body>, id: &str) -> Response<Body> {
    // A panic ends this request and nothing else: the service's state is behind locks and
    // channels that survive it.
    let answer = AssertUnwindSafe(async { service.oneshot(request).await });
    match answer.catch_unwind().await {
        Ok(Ok(response)) => response,
        Err(panic) => {
            tracing::error!(request.id = id, "a request panicked: {}", text(&*panic));
            Refusal::internal(id).into_response(Area::Registry)
        }
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let owned = || panic.downcast_ref::<String>().map(String::as_str);
    let text = panic.downcast_ref::<&str>().copied().or_else(owned);
    text.unwrap_or("no message")
}
