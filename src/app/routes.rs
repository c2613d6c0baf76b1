//! Which room answers which path.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response, header};

use super::status::Status;
use crate::{
    api, notification,
    oci::ErrorCode,
    proxy::Proxy,
    server::Area,
    token,
    wire::{Body, INSTALLATION_HEADER},
};

/// The gateway's one service, as the listener takes it. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Routes(Arc<Rooms>);

#[derive(Debug)]
pub(super) struct Rooms {
    pub proxy: Proxy,
    pub token: token::Service,
    pub api: api::Router,
    pub notifications: notification::Service,
    pub status: Status,
    /// Told to who asks for `/v2/`: mirroring gateways know each other by it.
    pub installation: HeaderValue,
}

impl Routes {
    pub(super) fn new(rooms: Rooms) -> Self {
        Self(Arc::new(rooms))
    }
}

impl Rooms {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path();
        match area(path) {
            Area::Registry => {
                let is_ping = path.len() <= "/v2/".len();
                let mut response = self.proxy.handle(request).await;
                if is_ping {
                    let installation = self.installation.clone();
                    response
                        .headers_mut()
                        .insert(INSTALLATION_HEADER, installation);
                }
                response
            }
            Area::Token => self.token.handle(request).await,
            Area::Api => self.api.handle(request).await,
            Area::Metrics => self.status.metrics(),
            Area::Probe | Area::Other => match path {
                "/healthz" => Status::alive(),
                "/readyz" => self.status.ready().await,
                "/service/notifications" => self.notifications.handle(request).await,
                _ if path.starts_with("/service/token/") => self.token.handle(request).await,
                _ => unknown_path(),
            },
        }
    }
}

impl tower::Service<Request<Body>> for Routes {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let rooms = Arc::clone(&self.0);
        Box::pin(async move { Ok(rooms.answer(request).await) })
    }
}

/// Which part of the gateway a path belongs to, for rules and limits.
pub(super) fn area(path: &str) -> Area {
    let is_under = |root: &str| {
        path.strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match path {
        "/healthz" | "/readyz" => Area::Probe,
        "/metrics" => Area::Metrics,
        _ if TOKEN_PATHS.contains(&path.trim_end_matches('/')) => Area::Token,
        _ if is_under("/v2") => Area::Registry,
        _ if is_under("/api") => Area::Api,
        _ => Area::Other,
    }
}

/// What is served besides the API's own paths, for its document.
pub(super) fn documented() -> Vec<api::Operation> {
    let token = token::OPERATIONS.iter().map(|(method, path, summary)| {
        let operation = api::Operation::new(method, *path, "token", summary);
        match *path {
            "/service/token/jwks" => operation.answering::<token::Jwks<'_>>(),
            "/service/token/certificate" => operation.answering_other(&["application/x-pem-file"]),
            _ => operation.answering::<token::Answer<'_>>(),
        }
    });
    let notification = api::Operation::new(
        "POST",
        "/service/notifications",
        "notifications",
        "Take the envelope of events that a registry sends",
    );
    token.chain([notification]).collect()
}

/// distribution's `autoredirect` sends its clients to the second.
const TOKEN_PATHS: [&str; 2] = ["/service/token", "/auth/token"];

fn unknown_path() -> Response<Body> {
    let code = ErrorCode::NotFound;
    let message = "nothing is here; the registry is at /v2/, the API at /api/v2.0/";
    let mut response = Response::new(Body::from(code.body(message)));
    *response.status_mut() = code.status();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_makes_tokens_is_limited_as_they_are() {
        for (path, expected) in [
            ("/service/token", Area::Token),
            ("/service/token/", Area::Token),
            ("/auth/token//", Area::Token),
            ("/service/token/jwks", Area::Other),
            ("/v2", Area::Registry),
            ("/v2/token", Area::Registry),
            ("/v20", Area::Other),
            ("/api/v2.0/ping", Area::Api),
            ("/healthz", Area::Probe),
            ("/metrics", Area::Metrics),
        ] {
            assert_eq!(area(path), expected, "{path}");
        }
    }
}
