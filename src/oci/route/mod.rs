use std::fmt;

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{Action, ActionSet, Algorithm, Digest, ErrorCode, Reference, RepositoryName, Tag};

/// An endpoint of the distribution API, parsed once from method, path and query.
///
/// The upstream request is rebuilt from it by [`Route::path_and_query`]; the client's own bytes
/// are never forwarded. Sources: OCI distribution-spec 1.1 "Endpoints" (the `end-N` below) and
/// CNCF distribution's catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// end-1
    Ping,
    /// `GET /v2/_catalog`
    Catalog { page: Page },
    /// end-8
    Tags { name: RepositoryName, page: Page },
    /// end-3, end-7, end-9; `tags` are the `?tag=` values of a PUT by digest (spec 1.2).
    Manifest {
        name: RepositoryName,
        reference: Reference,
        tags: Vec<Tag>,
    },
    /// end-2, end-10
    Blob {
        name: RepositoryName,
        digest: Digest,
    },
    /// end-4a, end-4b, end-11
    StartUpload {
        name: RepositoryName,
        mount: Option<Mount>,
        digest: Option<Digest>,
        algorithm: Option<Algorithm>,
    },
    /// end-5, end-6, end-13, end-14. `state` holds the query's other parameters byte for byte.
    Upload {
        name: RepositoryName,
        id: UploadId,
        digest: Option<Digest>,
        state: String,
    },
    /// end-12a, end-12b. `state` holds the query's other parameters byte for byte: each registry
    /// pages in its own way, and clients follow its `Link`.
    Referrers {
        name: RepositoryName,
        digest: Digest,
        artifact_type: Option<String>,
        state: String,
    },
}

/// A cross-repository mount: end-11, or without `from` the anonymous mount of spec 1.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub digest: Digest,
    pub from: Option<RepositoryName>,
}

/// `n` and `last` of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    pub n: Option<u32>,
    pub last: Option<String>,
}

/// An upload session's id: `[a-zA-Z0-9_.=-]+`, opaque.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UploadId(String);

impl UploadId {
    /// `None` unless every byte is allowed, or when it could be a path step.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'=');
        let valid = (1..=256).contains(&text.len())
            && text.bytes().all(allowed)
            && !text.bytes().all(|b| b == b'.');
        valid.then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a request under `/v2/` has no route; the code says how to answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RouteError {
    pub code: ErrorCode,
    pub message: String,
    /// The methods the path would take, for a 405's `Allow`.
    pub allow: Option<&'static str>,
}

impl RouteError {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            allow: None,
        }
    }
}

impl Route {
    /// Parses a request target under `/v2`.
    ///
    /// Paths must be given as sent: percent escapes other than `%3A` (some clients escape a
    /// digest's colon), empty, `.` and `..` segments are refused, never normalised.
    pub fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<Self, RouteError> {
        if path.len() > MAX_PATH_BYTES || query.is_some_and(|q| q.len() > MAX_QUERY_BYTES) {
            return Err(RouteError::new(
                ErrorCode::TargetTooLong,
                "the request target is too long",
            ));
        }
        let path = unescape_colons(path)?;
        let rest = match path.as_str() {
            "/v2" | "/v2/" => return Self::ping(method),
            other => other.strip_prefix("/v2/").ok_or_else(not_found)?,
        };
        let query = Query::parse(query)?;
        let route = if rest == "_catalog" {
            Self::Catalog {
                page: query.page()?,
            }
        } else {
            Self::parse_repository(rest, &query)?
        };
        route.check_method(method)?;
        Ok(route)
    }

    fn ping(method: &Method) -> Result<Self, RouteError> {
        Self::Ping.check_method(method)?;
        Ok(Self::Ping)
    }

    /// Tells the endpoint by the last segments: a name may itself contain `tags`, `blobs/uploads`…
    fn parse_repository(rest: &str, query: &Query<'_>) -> Result<Self, RouteError> {
        if let Some(name) = rest
            .strip_suffix("/blobs/uploads/")
            .or_else(|| rest.strip_suffix("/blobs/uploads"))
        {
            return Self::start_upload(parse_name(name)?, query);
        }
        let (head, last) = rest.rsplit_once('/').ok_or_else(not_found)?;
        if let Some(name) = head.strip_suffix("/tags").filter(|_| last == "list") {
            return Ok(Self::Tags {
                name: parse_name(name)?,
                page: query.page()?,
            });
        }
        if let Some(name) = head.strip_suffix("/manifests") {
            let name = parse_name(name)?;
            return Ok(Self::Manifest {
                name,
                reference: parse_reference(last)?,
                tags: query.tags()?,
            });
        }
        if let Some(name) = head.strip_suffix("/blobs/uploads") {
            let id = UploadId::parse(last).ok_or_else(not_found)?;
            let (name, digest) = (parse_name(name)?, query.digest("digest")?);
            return Ok(Self::Upload {
                name,
                id,
                digest,
                state: query.without("digest"),
            });
        }
        if let Some(name) = head.strip_suffix("/blobs") {
            return Ok(Self::Blob {
                name: parse_name(name)?,
                digest: parse_digest(last)?,
            });
        }
        if let Some(name) = head.strip_suffix("/referrers") {
            let artifact_type = query.decoded("artifactType")?;
            return Ok(Self::Referrers {
                name: parse_name(name)?,
                digest: parse_digest(last)?,
                artifact_type,
                state: query.without("artifactType"),
            });
        }
        Err(not_found())
    }

    fn start_upload(name: RepositoryName, query: &Query<'_>) -> Result<Self, RouteError> {
        let from = query
            .decoded("from")?
            .map(|from| parse_name(&from))
            .transpose()?;
        let mount = query.digest("mount")?.map(|digest| Mount { digest, from });
        let algorithm = match query.decoded("digest-algorithm")?.as_deref() {
            None => None,
            Some(text) => Some(text.parse().map_err(|()| {
                RouteError::new(
                    ErrorCode::DigestInvalid,
                    format!("`{text}` is not a supported digest algorithm"),
                )
            })?),
        };
        Ok(Self::StartUpload {
            name,
            mount,
            digest: query.digest("digest")?,
            algorithm,
        })
    }

    fn check_method(&self, method: &Method) -> Result<(), RouteError> {
        let allow = match self {
            Self::Ping | Self::Catalog { .. } | Self::Tags { .. } | Self::Referrers { .. } => {
                "GET, HEAD"
            }
            Self::Manifest { .. } => "GET, HEAD, PUT, DELETE",
            Self::Blob { .. } => "GET, HEAD, DELETE",
            Self::StartUpload { .. } => "POST",
            Self::Upload { .. } => "GET, HEAD, PATCH, PUT, DELETE",
        };
        if allow.split(", ").any(|allowed| allowed == method.as_str()) {
            return Ok(());
        }
        let message = format!("the method {method} is not supported here");
        Err(RouteError {
            code: ErrorCode::MethodNotAllowed,
            message,
            allow: Some(allow),
        })
    }

    /// The manifest that a request pushes or deletes, if it does that.
    pub fn changed_manifest(
        method: &Method,
        path: &str,
        query: Option<&str>,
    ) -> Option<(RepositoryName, Reference)> {
        if ![Method::PUT, Method::DELETE].contains(method) {
            return None;
        }
        match Self::parse(method, path, query) {
            Ok(Self::Manifest {
                name, reference, ..
            }) => Some((name, reference)),
            _ => None,
        }
    }

    pub fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::Ping | Self::Catalog { .. } => None,
            Self::Tags { name, .. }
            | Self::Manifest { name, .. }
            | Self::Blob { name, .. }
            | Self::StartUpload { name, .. }
            | Self::Upload { name, .. }
            | Self::Referrers { name, .. } => Some(name),
        }
    }

    /// The actions a request for this route needs on its repository. A mount needs pull on its
    /// source besides; who lacks that gets a plain upload.
    pub fn needs(&self, method: &Method) -> ActionSet {
        match (self, method) {
            (Self::Upload { .. } | Self::StartUpload { .. }, _) | (_, &Method::PUT) => {
                ActionSet::PULL_PUSH
            }
            (_, &Method::DELETE) => ActionSet::DELETE,
            (Self::Ping | Self::Catalog { .. }, _) => ActionSet::NONE,
            _ => ActionSet::NONE.with(Action::Pull),
        }
    }

    /// The name of the endpoint, for logs and metrics.
    pub const fn endpoint(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Catalog { .. } => "catalog",
            Self::Tags { .. } => "tags",
            Self::Manifest { .. } => "manifest",
            Self::Blob { .. } => "blob",
            Self::StartUpload { .. } => "start_upload",
            Self::Upload { .. } => "upload",
            Self::Referrers { .. } => "referrers",
        }
    }

    /// The request target to send upstream.
    pub fn path_and_query(&self) -> String {
        let mut query = Vec::new();
        let path = match self {
            Self::Ping => "/v2/".to_owned(),
            Self::Catalog { page } => {
                page.write(&mut query);
                "/v2/_catalog".to_owned()
            }
            Self::Tags { name, page } => {
                page.write(&mut query);
                format!("/v2/{name}/tags/list")
            }
            Self::Manifest {
                name,
                reference,
                tags,
            } => {
                query.extend(tags.iter().map(|tag| format!("tag={tag}")));
                format!("/v2/{name}/manifests/{reference}")
            }
            Self::Blob { name, digest } => format!("/v2/{name}/blobs/{digest}"),
            Self::StartUpload {
                name,
                mount,
                digest,
                algorithm,
            } => {
                if let Some(Mount { digest, from }) = mount {
                    query.push(format!("mount={}", encode(digest.as_str())));
                    query.extend(
                        from.iter()
                            .map(|from| format!("from={}", encode(from.as_str()))),
                    );
                }
                query.extend(
                    digest
                        .iter()
                        .map(|digest| format!("digest={}", encode(digest.as_str()))),
                );
                query.extend(
                    algorithm
                        .iter()
                        .map(|a| format!("digest-algorithm={}", a.name())),
                );
                format!("/v2/{name}/blobs/uploads/")
            }
            Self::Upload {
                name,
                id,
                digest,
                state,
            } => {
                query.extend(Some(state.clone()).filter(|state| !state.is_empty()));
                query.extend(
                    digest
                        .iter()
                        .map(|digest| format!("digest={}", encode(digest.as_str()))),
                );
                format!("/v2/{name}/blobs/uploads/{id}")
            }
            Self::Referrers {
                name,
                digest,
                artifact_type,
                state,
            } => {
                query.extend(Some(state.clone()).filter(|state| !state.is_empty()));
                query.extend(
                    artifact_type
                        .iter()
                        .map(|text| format!("artifactType={}", encode(text))),
                );
                format!("/v2/{name}/referrers/{digest}")
            }
        };
        if query.is_empty() {
            path
        } else {
            format!("{path}?{}", query.join("&"))
        }
    }
}

impl Page {
    fn write(&self, query: &mut Vec<String>) {
        query.extend(self.n.iter().map(|n| format!("n={n}")));
        query.extend(
            self.last
                .iter()
                .map(|last| format!("last={}", encode(last))),
        );
    }
}

/// A query string split into pairs, still escaped. No key that has a meaning here may occur
/// twice: a registry behind could read the other one.
struct Query<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Query<'a> {
    fn parse(query: Option<&'a str>) -> Result<Self, RouteError> {
        let bad = |message| RouteError::new(ErrorCode::BadRequest, message);
        let query = query.unwrap_or_default();
        if query.bytes().any(|b| b == b';' || b <= b' ' || b >= 0x7f) {
            return Err(bad("the query has a character that must be escaped"));
        }
        let pairs: Vec<_> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .collect();
        for (index, (key, _)) in pairs.iter().enumerate() {
            if key.contains('%') || key.contains('+') {
                return Err(bad("the query has an escaped parameter name"));
            }
            if *key != "tag" && pairs[..index].iter().any(|(earlier, _)| earlier == key) {
                return Err(RouteError::new(
                    ErrorCode::BadRequest,
                    format!("the query has `{key}` twice"),
                ));
            }
        }
        Ok(Self(pairs))
    }

    fn raw(&self, key: &str) -> Option<&'a str> {
        self.0
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| *value)
    }

    fn decoded(&self, key: &str) -> Result<Option<String>, RouteError> {
        self.raw(key).map(|value| decode(key, value)).transpose()
    }

    fn digest(&self, key: &str) -> Result<Option<Digest>, RouteError> {
        self.decoded(key)?
            .map(|text| parse_digest(&text))
            .transpose()
    }

    fn tags(&self) -> Result<Vec<Tag>, RouteError> {
        let values = self.0.iter().filter(|(key, _)| *key == "tag");
        values
            .map(|(key, value)| parse_tag(&decode(key, value)?))
            .collect()
    }

    fn page(&self) -> Result<Page, RouteError> {
        let invalid = || {
            let message = "`n` must be a whole number that is not negative";
            RouteError::new(ErrorCode::PaginationNumberInvalid, message)
        };
        let n = self
            .raw("n")
            .map(|n| n.parse().map_err(|_not_a_number| invalid()))
            .transpose()?;
        Ok(Page {
            n,
            last: self.decoded("last")?,
        })
    }

    fn without(&self, left_out: &str) -> String {
        let others = self.0.iter().filter(|(key, _)| *key != left_out);
        others
            .map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()
            .join("&")
    }
}

fn decode(key: &str, value: &str) -> Result<String, RouteError> {
    let spaced = value.replace('+', " ");
    let text = percent_decode_str(&spaced)
        .decode_utf8()
        .ok()
        .filter(|text| !text.contains('\0'));
    let bad = || {
        RouteError::new(
            ErrorCode::BadRequest,
            format!("the value of `{key}` is not text"),
        )
    };
    text.map(std::borrow::Cow::into_owned).ok_or_else(bad)
}

fn unescape_colons(path: &str) -> Result<String, RouteError> {
    let path = path.replace("%3A", ":").replace("%3a", ":");
    let allowed = |b: u8| b.is_ascii_graphic() && !matches!(b, b'%' | b'\\' | b';' | b'#' | b'?');
    let clean = path.bytes().all(allowed)
        && path
            .split('/')
            .all(|segment| segment != "." && segment != "..");
    if clean && !path.contains("//") {
        Ok(path)
    } else {
        Err(not_found())
    }
}

fn parse_name(text: &str) -> Result<RepositoryName, RouteError> {
    text.parse().map_err(|error: super::InvalidName| {
        RouteError::new(ErrorCode::NameInvalid, error.to_string())
    })
}

fn parse_digest(text: &str) -> Result<Digest, RouteError> {
    text.parse().map_err(|error: super::InvalidDigest| {
        RouteError::new(ErrorCode::DigestInvalid, error.to_string())
    })
}

fn parse_tag(text: &str) -> Result<Tag, RouteError> {
    text.parse().map_err(|error: super::InvalidTag| {
        RouteError::new(ErrorCode::TagInvalid, error.to_string())
    })
}

fn parse_reference(text: &str) -> Result<Reference, RouteError> {
    if text.contains(':') {
        parse_digest(text).map(Reference::Digest)
    } else {
        parse_tag(text).map(Reference::Tag)
    }
}

fn not_found() -> RouteError {
    RouteError::new(
        ErrorCode::NotFound,
        "there is no such endpoint; repository paths start with /v2/<name>/",
    )
}

fn encode(text: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(text, QUERY_VALUE)
}

/// Everything but RFC 3986 unreserved characters.
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// Room for a 255 byte name, a 128 byte tag or sha512 digest, and the fixed parts.
const MAX_PATH_BYTES: usize = 2048;
/// Upload states are some hundred bytes; distribution's the longest known with about 400.
const MAX_QUERY_BYTES: usize = 8192;

#[cfg(test)]
mod tests;
