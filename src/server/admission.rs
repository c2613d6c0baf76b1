//! What is refused before any service sees it (RFC 9112 §3.2, §3.3; RFC 9113 §8.3.1).

use http::{
    HeaderMap, Method, Uri, Version, header,
    request::Parts,
    uri::{Authority, PathAndQuery},
};

use super::peer::is_host;
use crate::oci::ErrorCode;

/// Why a request is malformed: a code and a sentence for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) message: &'static str,
}

/// Checks the head of a request and reduces its target to path and query. Answers the host the
/// client named, empty if it named none, which only HTTP/1.0 may.
pub(super) fn admit(parts: &mut Parts) -> Result<String, Refusal> {
    if parts.method == Method::CONNECT {
        return Err(Refusal {
            code: ErrorCode::MethodNotAllowed,
            message: "CONNECT is not allowed here",
        });
    }
    if is_coded(&parts.headers) {
        return bad("the only transfer coding that is understood is chunked");
    }
    let host = host(parts)?;
    parts.uri = target(&parts.uri)?;
    Ok(host)
}

/// Whether there is a coding within the chunks (RFC 9112 §6.1): hyper takes off the chunks alone, and
/// what is left would pass for the content.
fn is_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let last = codings.next_back();
    codings.next().is_some()
        || last.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

fn host(parts: &Parts) -> Result<String, Refusal> {
    let from_header = host_header(&parts.headers)?;
    let from_target = match parts.uri.authority().map(Authority::as_str) {
        Some(host) if is_host(host) => Some(host),
        Some(_) => return bad("the host in the request target is malformed"),
        None => None,
    };
    match (from_header, from_target) {
        (Some(header), Some(target)) if !header.eq_ignore_ascii_case(target) => {
            bad("the Host header and the host in the request target differ")
        }
        (Some(host), _) => Ok(host.to_owned()),
        // An absolute target stands for the header in HTTP/2 only.
        (None, Some(host)) if parts.version == Version::HTTP_2 => Ok(host.to_owned()),
        (None, None) if parts.version == Version::HTTP_10 => Ok(String::new()),
        (None, _) => bad("the Host header is missing"),
    }
}

fn host_header(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(header::HOST).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return bad("there is more than one Host header");
    }
    match value.to_str() {
        Ok(host) if is_host(host) => Ok(Some(host)),
        _ => bad("the Host header is malformed"),
    }
}

/// The target in origin form.
fn target(uri: &Uri) -> Result<Uri, Refusal> {
    let scheme_is_ours = uri
        .scheme_str()
        .is_none_or(|scheme| matches!(scheme, "http" | "https"));
    match uri.path_and_query() {
        Some(target) if scheme_is_ours && target.as_str().starts_with('/') => {
            Ok(Uri::from(PathAndQuery::clone(target)))
        }
        _ => bad("the request target is not a path"),
    }
}

fn bad<T>(message: &'static str) -> Result<T, Refusal> {
    Err(Refusal {
        code: ErrorCode::BadRequest,
        message,
    })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn admitted(
        target: &str,
        version: Version,
        headers: &[(&str, &str)],
    ) -> Result<(String, String), &'static str> {
        let mut request = Request::get(target).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        admit(&mut parts)
            .map(|host| (host, parts.uri.to_string()))
            .map_err(|refusal| refusal.message)
    }

    #[test]
    fn targets_are_reduced_to_their_path() {
        for (target, version, headers, host, path) in [
            (
                "/v2/?n=1",
                Version::HTTP_11,
                &[("host", "r:8443")][..],
                "r:8443",
                "/v2/?n=1",
            ),
            (
                "http://r/v2/",
                Version::HTTP_11,
                &[("host", "R")],
                "R",
                "/v2/",
            ),
            ("https://r", Version::HTTP_11, &[("host", "r")], "r", "/"),
            ("https://r/v2/", Version::HTTP_2, &[], "r", "/v2/"),
            (
                "https://r/v2/",
                Version::HTTP_2,
                &[("host", "r")],
                "r",
                "/v2/",
            ),
            ("/healthz", Version::HTTP_10, &[], "", "/healthz"),
            (
                "/",
                Version::HTTP_11,
                &[("host", "r"), ("transfer-encoding", "Chunked")],
                "r",
                "/",
            ),
            (
                "/",
                Version::HTTP_11,
                &[("host", "[::1]:8443")],
                "[::1]:8443",
                "/",
            ),
        ] {
            let got = admitted(target, version, headers);
            assert_eq!(got, Ok((host.to_owned(), path.to_owned())), "{target}");
        }
    }

    #[test]
    fn ambiguous_heads_are_refused() {
        for (target, version, headers, why) in [
            ("/", Version::HTTP_11, &[][..], "missing"),
            ("http://r/", Version::HTTP_11, &[], "missing"),
            (
                "/",
                Version::HTTP_11,
                &[("host", "a"), ("host", "a")],
                "more than one",
            ),
            ("/", Version::HTTP_11, &[("host", "")], "malformed"),
            ("/", Version::HTTP_11, &[("host", "a@b")], "malformed"),
            (
                "http://evil/v2/",
                Version::HTTP_11,
                &[("host", "r")],
                "differ",
            ),
            ("https://u@r/", Version::HTTP_2, &[], "malformed"),
            ("ftp://r/", Version::HTTP_11, &[("host", "r")], "not a path"),
            ("*", Version::HTTP_11, &[("host", "r")], "not a path"),
        ] {
            let refusal = admitted(target, version, headers).unwrap_err();
            assert!(refusal.contains(why), "{target} {headers:?}: {refusal}");
        }
        for codings in [
            &["gzip, chunked"][..],
            &["gzip", "chunked"],
            &["chunked", "chunked"],
        ] {
            let mut headers = vec![("host", "r")];
            headers.extend(codings.iter().map(|coding| ("transfer-encoding", *coding)));
            let refusal = admitted("/", Version::HTTP_11, &headers).unwrap_err();
            assert!(refusal.contains("chunked"), "{codings:?}: {refusal}");
        }
    }
}
