use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header, request::Parts};
use tokio::time::Instant;

use super::{
    Seen, TooManyRequests,
    access_log::Line,
    connection::{Doorway, Link},
    limits::Pacer,
    metrics::CLIENT_CLOSED,
};

/// Who a request turns out to be from; a request extension set by the listener. Whoever learns
/// it says so here, for the access log and the limits. Clones of one request share it.
#[derive(Debug, Clone)]
pub struct Visitor {
    name: Arc<OnceLock<Box<str>>>,
    pacer: Pacer,
}

impl Visitor {
    /// The request is from this user or robot; the first name stays, an empty one is nobody's.
    /// Waits for the user's turn where there is a limit for users (`[limits]`).
    pub async fn is(&self, name: &str) -> Result<(), TooManyRequests> {
        if name.is_empty() || self.name.set(name.into()).is_err() {
            return Ok(());
        }
        self.pacer.user(name).await
    }
}

/// What the request body has come to; shared between the body and the record.
#[derive(Debug, Default)]
pub(super) struct Progress {
    bytes: AtomicU64,
    ended: AtomicBool,
}

impl Progress {
    pub(super) fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

/// One exchange, from the request's head to the end of the answer's body; counted and logged
/// when it is dropped, however it ends.
#[derive(Debug)]
pub(super) struct Record {
    door: Arc<Doorway>,
    link: Arc<Link>,
    started: Instant,
    pub(super) id: Arc<str>,
    pub(super) visitor: Visitor,
    pub(super) received: Arc<Progress>,
    /// The client's address; the connection's until the request is resolved.
    pub(super) remote: IpAddr,
    /// As the client has it, also when a proxy ends TLS.
    pub(super) scheme: &'static str,
    /// Told to who asked for it.
    pub(super) seen: Option<Seen>,
    method: Method,
    target: String,
    version: Version,
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    pub(super) status: Option<StatusCode>,
    pub(super) sent_bytes: u64,
}

impl Record {
    pub(super) fn begin(door: Arc<Doorway>, link: Arc<Link>, parts: &Parts) -> Self {
        link.request_began();
        door.metrics.requests_in_flight.inc();
        let target = parts.uri.path_and_query();
        Self {
            started: Instant::now(),
            id: request_id(&parts.headers),
            visitor: Visitor {
                name: Arc::default(),
                pacer: door.pacer.clone(),
            },
            received: Arc::default(),
            remote: link.remote,
            scheme: link.scheme,
            seen: None,
            method: parts.method.clone(),
            target: target.map_or_else(|| parts.uri.to_string(), ToString::to_string),
            version: parts.version,
            referer: parts.headers.get(header::REFERER).cloned(),
            user_agent: parts.headers.get(header::USER_AGENT).cloned(),
            status: None,
            sent_bytes: 0,
            door,
            link,
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.link.request_ended();
        let duration = self.started.elapsed();
        let cancelled = || StatusCode::from_u16(CLIENT_CLOSED).unwrap_or_default();
        let status = self.status.unwrap_or_else(cancelled);
        let bytes_in = self.received.bytes.load(Ordering::Relaxed);
        let metrics = &self.door.metrics;
        metrics.requests_in_flight.dec();
        metrics.answered(&self.method, status, duration);
        metrics.moved(bytes_in, self.sent_bytes);
        self.door.access_log.send(|| Line {
            remote: self.remote,
            method: self.method.clone(),
            target: std::mem::take(&mut self.target),
            version: self.version,
            status,
            bytes_in,
            bytes_out: self.sent_bytes,
            duration,
            user: self.visitor.name.get().cloned(),
            request_id: self.id.clone(),
            referer: self.referer.take(),
            user_agent: self.user_agent.take(),
        });
    }
}

/// The caller's request id if it is harmless in logs and headers, else a new one.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| is_harmless(id))
        .map_or_else(
            || hex::encode(crate::secret::random_bytes::<16>()).into(),
            Arc::from,
        )
}

fn is_harmless(id: &str) -> bool {
    (1..=REQUEST_ID_LENGTH).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

pub(super) const REQUEST_ID: header::HeaderName = header::HeaderName::from_static("x-request-id");
/// Long enough for every id format in use (UUID 36, trace ids 55), short enough for log lines.
const REQUEST_ID_LENGTH: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_request_ids_are_kept() {
        for (sent, kept) in [
            ("abc-1_2.3", true),
            (&"a".repeat(128) as &str, true),
            (&"a".repeat(129), false),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            ("ä", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(
                REQUEST_ID,
                HeaderValue::from_bytes(sent.as_bytes()).unwrap(),
            );
            assert_eq!(&*request_id(&headers) == sent, kept, "{sent:?}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
