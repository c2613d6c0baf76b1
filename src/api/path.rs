//! Parameters in the path.

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;

use super::error::Error;

/// The path's parameters, percent-decoded.
#[derive(Debug)]
pub(super) struct PathParameters {
    parameters: Vec<(String, String)>,
    /// `X-Is-Resource-Name`: digits in `project_name_or_id` are a name.
    digits_are_a_name: bool,
}

/// What `{project_name_or_id}` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ProjectReference {
    Id(i64),
    Name(String),
}

impl PathParameters {
    /// A numeric id.
    pub(super) fn id(&self, name: &str) -> Result<i64, Error> {
        let text = self.text(name);
        text.parse().map_err(|_not_a_number| {
            Error::Unprocessable(format!("{name} in path must be of type int64: `{text}`"))
        })
    }

    /// A parameter as text; empty when the route has none of that name.
    pub(super) fn text(&self, name: &str) -> &str {
        let mut found = self.parameters.iter().filter(|(key, _)| key == name);
        found
            .next()
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    }

    pub(super) fn project(&self) -> ProjectReference {
        let text = self.text("project_name_or_id");
        match text.parse() {
            Ok(id) if !self.digits_are_a_name => ProjectReference::Id(id),
            _ => ProjectReference::Name(text.to_owned()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathParameters {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let raw = RawPathParams::from_request_parts(parts, state).await;
        let raw = raw.map_err(|rejection| Error::BadRequest(rejection.body_text()))?;
        if raw.iter().any(|(_, value)| value.contains('\0')) {
            let message = "a parameter in path holds a NUL character";
            return Err(Error::BadRequest(message.to_owned()));
        }
        let header = parts.headers.get("x-is-resource-name");
        Ok(Self {
            parameters: raw
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            digits_are_a_name: header
                .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true")),
        })
    }
}

impl std::fmt::Display for ProjectReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}
