use http::StatusCode;

/// The error codes of the distribution specification ("Error Codes") and those of CNCF
/// distribution that clients know, each with the status it is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestTooLarge,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    PaginationNumberInvalid,
    RangeInvalid,
    SizeInvalid,
    TagInvalid,
    Unauthorized,
    Denied,
    /// A rule of the project forbids it (Harbor's answer to a push onto an immutable tag).
    Precondition,
    /// Ours, to mirroring gateways only: a later change has overtaken the one they make.
    Superseded,
    MethodNotAllowed,
    NotFound,
    TooManyRequests,
    Unsupported,
    BadRequest,
    TargetTooLong,
    BadGateway,
    Unavailable,
    Unknown,
}

impl ErrorCode {
    /// The code as written in the body.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid | Self::ManifestTooLarge => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::PaginationNumberInvalid => "PAGINATION_NUMBER_INVALID",
            Self::RangeInvalid => "RANGE_INVALID",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::TagInvalid => "TAG_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Precondition => "PRECONDITION",
            Self::Superseded => "SUPERSEDED",
            Self::MethodNotAllowed
            | Self::NotFound
            | Self::Unsupported
            | Self::BadRequest
            | Self::TargetTooLong => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::BadGateway | Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
        }
    }

    pub const fn status(self) -> StatusCode {
        match self {
            Self::BlobUnknown
            | Self::BlobUploadUnknown
            | Self::BlobUploadInvalid
            | Self::ManifestUnknown
            | Self::NameUnknown
            | Self::NotFound => StatusCode::NOT_FOUND,
            Self::DigestInvalid
            | Self::ManifestBlobUnknown
            | Self::ManifestInvalid
            | Self::NameInvalid
            | Self::PaginationNumberInvalid
            | Self::SizeInvalid
            | Self::TagInvalid
            | Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::ManifestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::RangeInvalid => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::Precondition => StatusCode::PRECONDITION_FAILED,
            Self::Superseded => StatusCode::CONFLICT,
            Self::MethodNotAllowed | Self::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// `{"errors":[{"code":…,"message":…}]}`, without detail.
    pub fn body(self, message: &str) -> Vec<u8> {
        let error = OneError {
            code: self.as_str().into(),
            message: message.into(),
        };
        serde_json::to_vec(&ErrorBody {
            errors: vec![error],
        })
        .unwrap_or_default()
    }
}

/// The error body of every registry and of Harbor's API.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ErrorBody {
    #[serde(default)]
    pub errors: Vec<OneError>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OneError {
    #[serde(default)]
    pub code: String,
    #[serde(default)]
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_specified_shape() {
        let body = ErrorCode::NameUnknown.body("repository name \"a\" is not known");
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name \"a\" is not known"}]}"#
        );
    }
}
