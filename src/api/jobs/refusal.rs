//! Errors as jobservice writes them: `{"code","message","details"}`.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::error::Told;

/// The body of a refusal.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobRefusal")]
pub(in crate::api) struct Refusal {
    code: u16,
    message: &'static str,
    /// What is wrong with this request.
    details: String,
}

/// Gives a refusal jobservice's form; other answers pass.
pub(super) async fn as_jobservice(mut response: Response) -> Response {
    let Some(Told(details)) = response.extensions_mut().remove() else {
        return response;
    };
    let (code, message) = code(response.status());
    let refusal = Refusal {
        code,
        message,
        details,
    };
    let (_, body) = axum::Json(refusal).into_response().into_parts();
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = body;
    response
}

/// jobservice's number and sentence (`harbor.md` 6.1: 10000 and upwards).
fn code(status: StatusCode) -> (u16, &'static str) {
    match status {
        StatusCode::NOT_FOUND => (10010, "object is not found"),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => (10011, "unauthorized"),
        StatusCode::CONFLICT => (10012, "conflict"),
        status if status.is_client_error() => (10013, "bad request"),
        _ => (10002, "the request cannot be handled now"),
    }
}
