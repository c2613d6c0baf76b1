//! Answers that many operations have: something was made, or a text. Lists are in `paging.rs`.

use std::fmt::Display;

use axum::{
    Json,
    body::Body,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    ROOT,
    openapi::{Answer, Success},
};

/// `201 Created`: where what was made is, and perhaps what it is.
#[derive(Debug)]
pub(super) struct Created<B = ()> {
    /// None where nothing was made that has a path of its own.
    location: Option<String>,
    body: B,
}

impl Created {
    /// Something that is now at `path/id` below the API's root.
    pub(super) fn at(path: &str, id: impl Display) -> Self {
        Self {
            location: Some(format!("{ROOT}{path}/{id}")),
            body: (),
        }
    }

    pub(super) fn nowhere() -> Self {
        Self {
            location: None,
            body: (),
        }
    }

    /// With a body that shows what was made.
    pub(super) fn showing<T>(self, shape: T) -> Created<Json<T>> {
        Created {
            location: self.location,
            body: Json(shape),
        }
    }
}

impl<B: IntoResponse> IntoResponse for Created<B> {
    fn into_response(self) -> Response {
        let location = self.location.map(|location| [(header::LOCATION, location)]);
        (StatusCode::CREATED, location, self.body).into_response()
    }
}

impl<B: Answer> Answer for Created<B> {
    fn success() -> Success {
        Success {
            statuses: &[201],
            headers: &["Location"],
            ..B::success()
        }
    }
}

/// `202 Accepted`: what will be done.
#[derive(Debug)]
pub(super) struct Accepted<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Accepted<T> {
    fn into_response(self) -> Response {
        (StatusCode::ACCEPTED, Json(self.0)).into_response()
    }
}

impl<T: Serialize + JsonSchema> Answer for Accepted<T> {
    fn success() -> Success {
        Success {
            statuses: &[202],
            ..Success::json::<T>()
        }
    }
}

/// A log, or another text of no form, for people.
#[derive(Debug)]
pub(super) struct PlainText(Body);

impl PlainText {
    pub(super) fn new(text: impl Into<Body>) -> Self {
        Self(text.into())
    }
}

impl IntoResponse for PlainText {
    fn into_response(self) -> Response {
        let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        (plain, self.0).into_response()
    }
}

impl Answer for PlainText {
    fn success() -> Success {
        Success::other(&["text/plain"])
    }
}
