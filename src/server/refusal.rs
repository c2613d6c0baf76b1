use std::{borrow::Cow, net::IpAddr, time::Duration};

use http::{HeaderValue, Response, StatusCode, header};

use super::{Area, TooManyRequests, admission, limits::seconds};
use crate::{
    oci::{ErrorBody, ErrorCode, OneError},
    wire::Body,
};

/// A request that the service never sees: a status, a sentence for the client, and when to come
/// back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    code: ErrorCode,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// `[access]` denies this address.
    pub(super) fn network(address: IpAddr) -> Self {
        Self {
            code: ErrorCode::Denied,
            message: format!("{address} may not come here").into(),
            retry_after: None,
        }
    }

    pub(super) fn internal(request_id: &str) -> Self {
        Self {
            code: ErrorCode::Unknown,
            message: format!("internal error; request id {request_id}").into(),
            retry_after: None,
        }
    }

    /// The body is the same JSON everywhere, but some codes are written otherwise in Harbor's API
    /// than in the registry's.
    pub(super) fn into_response(self, area: Area) -> Response<Body> {
        let status = self.code.status();
        let code = match (area, status) {
            (Area::Api, StatusCode::TOO_MANY_REQUESTS) => "TOO_MANY_REQUEST",
            (Area::Api, StatusCode::FORBIDDEN) => "FORBIDDEN",
            _ => self.code.as_str(),
        };
        let error = OneError {
            code: code.into(),
            message: self.message.into_owned(),
        };
        let body = ErrorBody {
            errors: vec![error],
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds(after).into());
        }
        response
    }
}

impl From<admission::Refusal> for Refusal {
    fn from(refusal: admission::Refusal) -> Self {
        Self {
            code: refusal.code,
            message: refusal.message.into(),
            retry_after: None,
        }
    }
}

impl From<TooManyRequests> for Refusal {
    fn from(error: TooManyRequests) -> Self {
        Self {
            code: ErrorCode::TooManyRequests,
            message: error.to_string().into(),
            retry_after: Some(error.retry_after),
        }
    }
}
