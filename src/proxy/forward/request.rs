use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{
        ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, IF_MATCH,
        IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, USER_AGENT,
        WARNING,
    },
};
use http_body::Body as _;

use super::sending::{Fault, Sending};
use crate::{
    oci::{ErrorCode, Route, media_type},
    proxy::{PublicAddress, Refusal, follow::Followed, parse::Asked},
    wire::Body,
};

/// The part of the client's body that may reach the registry behind.
///
/// distribution reads `mount` and `from` out of a form body too, where nobody checked them: what
/// needs no body gets none.
pub(super) fn body(asked: &Asked, body: Body, followed: Option<&Followed>) -> (Body, Fault) {
    let carries_data = match &asked.route {
        Route::StartUpload { digest, .. } => digest.is_some(),
        Route::Upload { .. } => matches!(asked.method, Method::PATCH | Method::PUT),
        _ => false,
    };
    if !carries_data || body.is_end_stream() {
        if let Some(followed) = followed {
            followed.end_request();
        }
        return (Body::Empty, Fault::default());
    }
    let (sending, fault) = Sending::new(body, followed.cloned());
    (Body::boxed(sending), fault)
}

/// A request for the registry behind, built from what was parsed: no byte of the client's
/// target, and of its headers only those that a registry has a use for.
pub(in crate::proxy) fn build(
    asked: &Asked,
    address: &PublicAddress,
    body: Body,
) -> Result<Request<Body>, Refusal> {
    let target = asked.route.path_and_query();
    let uri = Uri::try_from(target).map_err(|_invalid| {
        Refusal::new(
            ErrorCode::BadRequest,
            "the request target cannot be forwarded",
        )
    })?;
    let mut headers = HeaderMap::with_capacity(16);
    for (name, value) in &asked.headers {
        if is_forwarded(name) {
            headers.append(name, value.clone());
        }
    }
    set_content_headers(&mut headers, asked, &body);
    set_forwarded_headers(&mut headers, asked, address);
    let mut request = Request::new(body);
    *request.method_mut() = asked.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

fn is_forwarded(name: &HeaderName) -> bool {
    FORWARDED.contains(name)
        || name.as_str().starts_with("docker-")
        || name.as_str().starts_with("oci-")
}

/// Blobs travel as `application/octet-stream`: Go's form parser would eat a body that calls
/// itself a form. A manifest's type is its own.
fn set_content_headers(headers: &mut HeaderMap, asked: &Asked, body: &Body) {
    let has_payload = matches!(asked.method, Method::POST | Method::PUT | Method::PATCH);
    if let Some(length) = body.size_hint().exact().filter(|_| has_payload) {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    match (&asked.route, &asked.method) {
        (Route::Manifest { .. }, &Method::PUT) => {
            let value = asked.headers.get(CONTENT_TYPE).cloned();
            headers.extend(value.map(|value| (CONTENT_TYPE, value)));
        }
        (Route::Upload { .. }, &Method::PUT | &Method::PATCH)
        | (
            Route::StartUpload {
                digest: Some(_), ..
            },
            _,
        ) => {
            headers.insert(
                CONTENT_TYPE,
                HeaderValue::from_static(media_type::OCTET_STREAM),
            );
        }
        _ => {}
    }
}

/// For the `Location` of answers, and for the log behind.
fn set_forwarded_headers(headers: &mut HeaderMap, asked: &Asked, address: &PublicAddress) {
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    if let Some(origin) = address.origin(&asked.peer)
        && let Some((scheme, host)) = origin.split_once("://")
    {
        set("x-forwarded-proto", scheme);
        set("x-forwarded-host", host.split('/').next().unwrap_or(host));
    }
    set("x-forwarded-for", &asked.peer.address.to_string());
    if let Some(id) = &asked.request_id {
        set("x-request-id", &id.0);
    }
}

const FORWARDED: [HeaderName; 11] = [
    ACCEPT,
    ACCEPT_ENCODING,
    CONTENT_RANGE,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    RANGE,
    USER_AGENT,
    WARNING,
];
