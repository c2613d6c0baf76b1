//! Phase 1: method, path, query and the few headers that decide, parsed once.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, Method, header::HOST, request};

use super::Refusal;
use crate::{
    oci::Route,
    server::Visitor,
    wire::{Peer, RequestId},
};

/// A request that has a route.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) route: Route,
    pub(super) headers: HeaderMap,
    pub(super) peer: Peer,
    /// Wants to know who the caller is.
    pub(super) visitor: Option<Visitor>,
    pub(super) request_id: Option<RequestId>,
}

impl Asked {
    pub(super) fn parse(head: request::Parts) -> Result<Self, Refusal> {
        let route = Route::parse(&head.method, head.uri.path(), head.uri.query())?;
        let mut extensions = head.extensions;
        let peer = extensions.remove().unwrap_or_else(|| Peer {
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            scheme: "http",
            host: text(&head.headers, HOST.as_str())
                .unwrap_or_default()
                .to_owned(),
        });
        Ok(Self {
            method: head.method,
            route,
            peer,
            request_id: extensions.remove(),
            visitor: extensions.remove(),
            headers: head.headers,
        })
    }

    /// The value of a header that is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }

    pub(super) fn request_id(&self) -> &str {
        self.request_id.as_ref().map_or("", |id| &id.0)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
