use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Request, Response, StatusCode, header, uri::Authority};

use super::ExternalUrl;
use crate::wire::{Body, Peer};

/// Sends every request to the same path under `https://`.
#[derive(Debug, Clone)]
pub(super) struct Redirect {
    origin: Option<Arc<str>>,
    port: u16,
}

impl Redirect {
    /// To the external URL if there is one, else to the host of the request at the port of
    /// `listener`.
    pub(super) fn new(external: Option<&ExternalUrl>, listener: SocketAddr) -> Self {
        Self {
            origin: external.map(|url| url.origin().into()),
            port: listener.port(),
        }
    }

    fn location(&self, request: &Request<Body>) -> Option<HeaderValue> {
        let origin = match &self.origin {
            Some(origin) => origin.to_string(),
            None => self.origin_of(&request.extensions().get::<Peer>()?.host)?,
        };
        HeaderValue::from_maybe_shared(bytes::Bytes::from(format!("{origin}{}", request.uri())))
            .ok()
    }

    fn origin_of(&self, host: &str) -> Option<String> {
        let authority = host.parse::<Authority>().ok()?;
        let name = authority.host();
        Some(match self.port {
            443 => format!("https://{name}"),
            port => format!("https://{name}:{port}"),
        })
    }
}

impl tower::Service<Request<Body>> for Redirect {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut response = Response::new(Body::Empty);
        if let Some(location) = self.location(&request) {
            // RFC 9110 §15.4.9: unlike 301, method and body stay.
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(header::LOCATION, location);
        } else {
            // HTTP/1.0 without a host: there is no telling where to.
            *response.status_mut() = StatusCode::BAD_REQUEST;
            *response.body_mut() = Body::from("use https://\n");
        }
        ready(Ok(response))
    }
}
