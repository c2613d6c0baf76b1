//! What handlers answer when all is well: their types say it to the document.

use axum::{
    Json,
    response::{IntoResponse, NoContent},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Makes a schema and those that it refers to.
pub(in crate::api) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// An answer of a kind that the document can describe.
pub(in crate::api) trait Answer: IntoResponse {
    fn success() -> Success;
}

/// What an answer looks like.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) struct Success {
    /// The status of the answer; with several, which one depends on what was found.
    pub(in crate::api) statuses: &'static [u16],
    /// The headers that matter, by their names among the components.
    pub(in crate::api) headers: &'static [&'static str],
    pub(in crate::api) body: Content,
}

/// The body of an answer.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) enum Content {
    Empty,
    Json(SchemaOf),
    /// Bytes of one of these media types.
    Other(&'static [&'static str]),
}

impl Success {
    /// `200` with no body.
    pub(in crate::api) const EMPTY: Self = Self {
        statuses: &[200],
        headers: &[],
        body: Content::Empty,
    };

    /// `200` with a body in JSON.
    pub(in crate::api) fn json<T: JsonSchema>() -> Self {
        Self {
            body: Content::Json(SchemaGenerator::subschema_for::<T>),
            ..Self::EMPTY
        }
    }

    /// `200` with a body of one of these media types.
    pub(in crate::api) const fn other(media_types: &'static [&'static str]) -> Self {
        Self {
            body: Content::Other(media_types),
            ..Self::EMPTY
        }
    }

    /// Lists in pages tell how many rows there are on all of them.
    pub(super) fn is_paged(self) -> bool {
        self.headers.contains(&"X-Total-Count")
    }
}

impl<A: Answer, E: IntoResponse> Answer for Result<A, E> {
    fn success() -> Success {
        A::success()
    }
}

impl Answer for () {
    fn success() -> Success {
        Success::EMPTY
    }
}

impl Answer for NoContent {
    fn success() -> Success {
        Success {
            statuses: &[204],
            ..Success::EMPTY
        }
    }
}

impl<T: JsonSchema> Answer for Json<T>
where
    Self: IntoResponse,
{
    fn success() -> Success {
        Success::json::<T>()
    }
}

impl Answer for &'static str {
    fn success() -> Success {
        Success::other(&["text/plain"])
    }
}
