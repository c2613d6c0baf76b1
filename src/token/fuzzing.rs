//! What reads requests for tokens, for `tests/fuzz`.

use http::HeaderMap;

use super::asked::{Asked, Credentials};
use crate::oci::Scope;

/// What a request for a token says.
#[derive(Debug)]
pub struct Question {
    /// Of name and password.
    pub name: Option<String>,
    pub password: Option<String>,
    pub refresh_token: Option<String>,
    pub scopes: Vec<Scope>,
}

/// Reads the query of a `GET`; `None`: it is refused.
pub fn query(query: &str, headers: &HeaderMap) -> Option<Question> {
    Asked::from_query(query, headers).ok().map(question)
}

/// Reads the form of a `POST`; `None`: it is refused.
pub fn form(body: &[u8], headers: &HeaderMap) -> Option<Question> {
    Asked::from_form(body, headers).ok().map(question)
}

fn question(asked: Asked) -> Question {
    let (name, password, refresh_token) = match asked.credentials {
        Credentials::Anonymous => (None, None, None),
        Credentials::Password { name, password } => {
            (Some(name), Some(password.expose().to_owned()), None)
        }
        Credentials::Refresh(token) => (None, None, Some(token.expose().to_owned())),
    };
    Question {
        name,
        password,
        refresh_token,
        scopes: asked.scopes,
    }
}
