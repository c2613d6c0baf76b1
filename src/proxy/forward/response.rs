use std::time::Duration;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        ALT_SVC, CONNECTION, LINK, LOCATION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RETRY_AFTER,
        SERVER, SET_COOKIE, STRICT_TRANSPORT_SECURITY, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
        WWW_AUTHENTICATE,
    },
};

use super::location::{Origins, Target};
use crate::{
    oci::ErrorCode,
    proxy::{
        Refusal,
        parse::Asked,
        refusal::{RETRY_LATER, is_temporary},
    },
    wire::Body,
};

/// The answer as the client may see it: the status and every header that is meant for both ends,
/// `Content-Length` of a HEAD among them, with targets that lead back to us.
pub(super) fn clean(
    mut answer: Response<Body>,
    asked: &Asked,
    origins: &Origins<'_>,
) -> Result<Response<Body>, Refusal> {
    let status = answer.status();
    if origins.upstream.is_none() && status.is_server_error() {
        return Ok(own_words(answer));
    }
    if let Some(refusal) = own_fault(status, answer.headers()) {
        let (code, request) = (status.as_u16(), asked.request_id());
        tracing::warn!(
            status = code,
            request.id = request,
            "the registry behind failed"
        );
        return Err(refusal);
    }
    let is_read = matches!(asked.method, Method::GET | Method::HEAD);
    if status.is_redirection() && !is_read {
        return Err(astray(asked));
    }
    let headers = answer.headers_mut();
    remove_private_headers(headers);
    rewrite_location(headers, origins, is_read && status.is_redirection())
        .map_err(|_foreign| astray(asked))?;
    rewrite_link(headers, origins);
    Ok(answer)
}

/// The embedded registry is a part of the gateway: it writes for the client (that the storage
/// is full, say) and has logged the rest.
fn own_words(mut answer: Response<Body>) -> Response<Body> {
    let status = answer.status();
    if is_temporary(status) && !answer.headers().contains_key(RETRY_AFTER) {
        let seconds = RETRY_LATER.as_secs();
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    answer
}

/// What is not the client's business: our credentials do not work there, or it broke.
fn own_fault(status: StatusCode, headers: &HeaderMap) -> Option<Refusal> {
    let retry_after = || {
        let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
        value.parse().ok().map(Duration::from_secs)
    };
    Some(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Refusal::new(
            ErrorCode::BadGateway,
            "the registry behind does not accept the gateway's credentials",
        ),
        StatusCode::SERVICE_UNAVAILABLE => Refusal::unavailable(
            "the registry behind is not available",
            retry_after().unwrap_or(RETRY_LATER),
        ),
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Refusal::new(
            ErrorCode::BadGateway,
            "the registry behind is not available",
        )
        .retrying_after(retry_after()),
        other if other.is_server_error() => {
            Refusal::new(ErrorCode::Unknown, "the registry behind failed")
        }
        _ => return None,
    })
}

fn astray(asked: &Asked) -> Refusal {
    tracing::warn!(
        request.id = asked.request_id(),
        "the registry behind sent a write to an address that is not its own"
    );
    Refusal::new(
        ErrorCode::BadGateway,
        "the registry behind answered with an address that clients may not be sent to",
    )
}

fn remove_private_headers(headers: &mut HeaderMap) {
    if let Some(named) = headers.remove(CONNECTION) {
        for name in named.to_str().unwrap_or_default().split(',') {
            let name = name.trim();
            if !NEVER_HOP_BY_HOP.contains(&name.to_ascii_lowercase().as_str()) {
                headers.remove(name);
            }
        }
    }
    for name in &PRIVATE {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
    headers.remove("x-request-id");
}

struct ForeignLocation;

fn rewrite_location(
    headers: &mut HeaderMap,
    origins: &Origins<'_>,
    may_be_foreign: bool,
) -> Result<(), ForeignLocation> {
    let Some(value) = headers.get(LOCATION) else {
        return Ok(());
    };
    match origins.classify(value.to_str().unwrap_or_default()) {
        Target::Registry(path) if path.len() == value.len() => {}
        Target::Registry(path) => {
            let value = HeaderValue::from_str(path).map_err(|_invalid| ForeignLocation)?;
            headers.insert(LOCATION, value);
        }
        Target::Foreign if may_be_foreign => {}
        Target::Foreign => return Err(ForeignLocation),
    }
    Ok(())
}

/// `<target>; rel="next"` (RFC 8288 §3). A page that lies elsewhere is not offered.
fn rewrite_link(headers: &mut HeaderMap, origins: &Origins<'_>) {
    let Some(value) = headers.remove(LINK) else {
        return;
    };
    let rewritten = value.to_str().ok().and_then(|text| {
        let (target, parameters) = text.strip_prefix('<')?.split_once('>')?;
        match origins.classify(target) {
            Target::Registry(path) => HeaderValue::from_str(&format!("<{path}>{parameters}")).ok(),
            Target::Foreign => None,
        }
    });
    headers.extend(rewritten.map(|value| (LINK, value)));
}

/// Hop-by-hop (RFC 9110 §7.6.1), or words about the server behind rather than about us.
const PRIVATE: [HeaderName; 11] = [
    ALT_SVC,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    SERVER,
    SET_COOKIE,
    STRICT_TRANSPORT_SECURITY,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    WWW_AUTHENTICATE,
];
/// What a registry's clients cannot do without, whatever `Connection` names.
const NEVER_HOP_BY_HOP: [&str; 7] = [
    "content-length",
    "content-range",
    "content-type",
    "docker-content-digest",
    "etag",
    "location",
    "range",
];
