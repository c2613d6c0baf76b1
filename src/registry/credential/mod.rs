//! How requests to a remote registry get their `Authorization` header.
//!
//! [`Authentication`] is what the caller decides; [`Authorizer`] carries it out: nothing, Basic
//! with every request, tokens of our own issuer, or what the registry's challenges ask for.
//! Must not know what the requests do. Read `authorizer.rs` first.

mod access;
mod authorizer;
mod challenge;
mod ecr;
mod realm;
mod sigv4;
mod tokens;

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::BoxFuture;
use http::HeaderValue;

use super::endpoint::{Account, Credential};
use crate::{oci::Scope, secret::Secret, wire::BoxError};

pub(super) use access::Access;
pub(super) use authorizer::{Authorizer, Refused};
#[cfg(feature = "fuzzing")]
pub(super) use challenge::Challenge;
#[cfg(test)]
pub(super) use {
    ecr::{Api, Ecr},
    tokens::Tokens,
};

/// How to sign in at a remote registry.
#[derive(Debug, Clone)]
pub enum Authentication {
    Anonymous,
    /// HTTP Basic with every request, without being asked.
    Basic {
        username: String,
        password: Secret,
    },
    /// Whatever the registry asks for, with this credential if there is one: Basic, or tokens of
    /// the token service it names.
    Challenge(Option<Credential>),
    /// Passwords of Amazon ECR, bought with an IAM access key.
    AwsEcr(Account),
    /// Bearer tokens of an issuer that the registry trusts.
    Tokens(std::sync::Arc<dyn TokenSource>),
}

/// An issuer of bearer tokens. Tokens are cached here for most of their life, one for each list
/// of scopes, so `issue` is asked seldom and never twice at once for the same.
pub trait TokenSource: fmt::Debug + Send + Sync {
    fn issue<'a>(&'a self, scopes: &'a [Scope]) -> BoxFuture<'a, Result<IssuedToken, BoxError>>;
}

/// A bearer token and how long it lives from now.
#[derive(Debug, Clone)]
pub struct IssuedToken {
    pub token: Secret,
    pub lifetime: Duration,
}

/// An `Authorization` header and how long it is good from now.
struct Issued {
    header: HeaderValue,
    lifetime: Duration,
}

impl Issued {
    /// `None` when the token has bytes that no header may have.
    fn bearer(token: &IssuedToken) -> Option<Self> {
        Some(Self {
            header: sensitive(&format!("Bearer {}", token.token.expose()))?,
            lifetime: token.lifetime,
        })
    }
}

/// The header value of HTTP Basic (RFC 7617).
fn basic(username: &str, password: &Secret) -> Option<HeaderValue> {
    let pair = STANDARD.encode(format!("{username}:{}", password.expose()));
    sensitive(&format!("Basic {pair}"))
}

/// `None` when the text has bytes that no header may have.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
