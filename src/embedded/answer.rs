use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION},
};

use super::error::{Failure, Refusal};
use crate::{
    oci::{Digest, ErrorCode, RepositoryName},
    wire::Body,
};

/// What every endpoint ends in.
pub(super) type Answer = Result<Response<Body>, Failure>;

pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub(super) const API_VERSION: HeaderName =
    HeaderName::from_static("docker-distribution-api-version");
pub(super) const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
pub(super) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
pub(super) const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
pub(super) const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// An answer in the making. Values that are no header value are left out: all of ours are made
/// from parsed names, digests and numbers.
#[derive(Debug)]
pub(super) struct Draft(Response<Body>);

impl Draft {
    pub(super) fn new(status: StatusCode) -> Self {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = status;
        Self(response)
    }

    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers_mut().append(name, value);
        }
        self
    }

    /// No body; says so unless the status does (RFC 9110 §8.6).
    pub(super) fn empty(self) -> Response<Body> {
        let status = self.0.status();
        if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
            return self.0;
        }
        self.body(0, Body::Empty)
    }

    /// A body of `length` bytes; [`Body::Empty`] for an answer to HEAD.
    pub(super) fn body(mut self, length: u64, body: Body) -> Response<Body> {
        self.0.headers_mut().insert(CONTENT_LENGTH, length.into());
        *self.0.body_mut() = body;
        self.0
    }

    pub(super) fn bytes(self, content_type: &str, bytes: Vec<u8>) -> Response<Body> {
        let length = bytes.len() as u64;
        self.header(CONTENT_TYPE, content_type)
            .body(length, bytes.into())
    }

    pub(super) fn json(self, content_type: &str, value: &impl serde::Serialize) -> Answer {
        let bytes = serde_json::to_vec(value).map_err(|error| Failure::Storage {
            doing: "write an answer".into(),
            source: error.into(),
        })?;
        Ok(self.bytes(content_type, bytes))
    }
}

/// 201 for content that is now in the repository, at `collection` (`blobs`, `manifests`).
pub(super) fn created(name: &RepositoryName, collection: &str, digest: &Digest) -> Draft {
    Draft::new(StatusCode::CREATED)
        .header(LOCATION, &format!("/v2/{name}/{collection}/{digest}"))
        .header(CONTENT_DIGEST, digest.as_str())
}

impl Failure {
    /// The answer for the client. What the file system said stays in the log.
    pub(super) fn into_response(self) -> Response<Body> {
        let is_out_of_files = self.is_out_of_files();
        let (code, message) = if self.is_full_disk() {
            (ErrorCode::Unavailable, FULL)
        } else if is_out_of_files {
            (ErrorCode::Unavailable, BUSY)
        } else {
            (ErrorCode::Unknown, BROKEN)
        };
        match self {
            Self::Refused(Refusal {
                code,
                message,
                headers,
            }) => {
                let mut draft = Draft::new(code.status());
                draft.0.headers_mut().extend(headers);
                draft.bytes("application/json", code.body(&message))
            }
            Self::Storage { doing, source } => {
                if is_out_of_files {
                    tracing::warn!("the registry cannot {doing} now: {source}");
                } else {
                    tracing::error!(
                        error.kind = "storage",
                        "the registry cannot {doing}: {source}"
                    );
                }
                Draft::new(code.status()).bytes("application/json", code.body(message))
            }
        }
    }
}

const FULL: &str = "the registry's storage is full; nothing was stored. Free space or enlarge the \
                    volume, then push again";
const BUSY: &str = "the registry has as many files open as it may; try again in a moment";
const BROKEN: &str = "the registry's storage failed; its log says how";

#[cfg(test)]
mod tests {
    use std::{io, path::Path};

    use super::*;

    #[test]
    fn what_passes_is_told_from_what_is_broken() {
        let cases = [
            (rustix::io::Errno::NOSPC, StatusCode::SERVICE_UNAVAILABLE),
            (rustix::io::Errno::MFILE, StatusCode::SERVICE_UNAVAILABLE),
            (rustix::io::Errno::NFILE, StatusCode::SERVICE_UNAVAILABLE),
            (rustix::io::Errno::IO, StatusCode::INTERNAL_SERVER_ERROR),
        ];
        for (code, status) in cases {
            let failure = Failure::storage("open", Path::new("blob"), io::Error::from(code));
            assert_eq!(failure.into_response().status(), status, "{code}");
        }
    }
}
