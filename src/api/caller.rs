//! Who makes the request: HTTP Basic, or nobody.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, header, request::Parts};

use super::{Shared, error::Error};
use crate::{
    auth::{self, Principal},
    secret::Secret,
    server::{TooManyRequests, Visitor},
    wire::{Peer, RequestId},
};

/// The signed-in principal and where the request came from. Wrong credentials are refused even
/// where nobody needs to sign in: who sends them believes to be somebody.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) principal: Principal,
    pub(super) peer: Peer,
    pub(super) request_id: Option<Arc<str>>,
}

impl Caller {
    /// Refuses with 401 when nobody is signed in.
    pub(super) fn signed_in(&self) -> Result<&Principal, Error> {
        match &self.principal {
            Principal::Anonymous => Err(Error::login_needed()),
            principal => Ok(principal),
        }
    }

    /// Refuses everybody but system administrators.
    pub(super) fn administrator(&self) -> Result<(), Error> {
        if self.principal.is_system_admin() {
            return Ok(());
        }
        Err(self.refusal())
    }

    /// What to answer to somebody who may not: 401 to nobody, 403 to everybody else.
    pub(super) fn refusal(&self) -> Error {
        match &self.principal {
            Principal::Anonymous => Error::login_needed(),
            principal => {
                Error::Forbidden(format!("{} has no permission for this", principal.name()))
            }
        }
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, Error> {
        if !parts.headers.contains_key(header::AUTHORIZATION) && !parts.method.is_safe() {
            // Nothing here can be changed by nobody; their bodies need not be read.
            return Err(Error::login_needed());
        }
        identify(parts, api).await
    }
}

/// Somebody who is signed in or, while the settings let anybody register, anybody.
#[derive(Debug)]
pub(super) struct Registrant(pub(super) Caller);

impl FromRequestParts<Shared> for Registrant {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, Error> {
        let caller = identify(parts, api).await?;
        if !api.auth.settings().self_registration {
            caller.signed_in()?;
        }
        Ok(Self(caller))
    }
}

async fn identify(parts: &Parts, api: &Shared) -> Result<Caller, Error> {
    let peer = parts.extensions.get::<Peer>();
    let peer = peer.ok_or_else(|| Error::internal("the request has no peer"))?;
    let principal = match parts.headers.get(header::AUTHORIZATION) {
        None => Principal::Anonymous,
        Some(value) => {
            let (name, password) = basic(value)?;
            api.auth.login(peer.address, &name, &password).await?
        }
    };
    if let Some(visitor) = parts.extensions.get::<Visitor>() {
        visitor.is(principal.name()).await?;
    }
    Ok(Caller {
        principal,
        peer: peer.clone(),
        request_id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()),
    })
}

/// User name and password of a Basic `Authorization` (RFC 7617).
fn basic(value: &HeaderValue) -> Result<(String, Secret), Error> {
    let refused = |why: &str| Error::Unauthorized(why.to_owned());
    let text = value.to_str().unwrap_or_default();
    let (scheme, encoded) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(refused("this API takes HTTP Basic authentication only"));
    }
    let decoded = STANDARD.decode(encoded.trim()).unwrap_or_default();
    let decoded = String::from_utf8(decoded).unwrap_or_default();
    let (name, password) = decoded
        .split_once(':')
        .ok_or_else(|| refused("the Basic credentials do not parse"))?;
    Ok((name.to_owned(), Secret::new(password)))
}

impl From<auth::Error> for Error {
    fn from(error: auth::Error) -> Self {
        let message = error.to_string();
        match (error.kind(), error) {
            (_, auth::Error::TooManyAttempts { retry_after }) => Self::TooManyRequests {
                message,
                retry_after,
            },
            (auth::Kind::Unauthorized, _) => Self::Unauthorized(message),
            (auth::Kind::Invalid, _) => Self::BadRequest(message),
            (auth::Kind::Conflict, _) => Self::Conflict(message),
            (auth::Kind::NotFound, _) => Self::NotFound(message),
            (auth::Kind::Forbidden, _) => Self::Forbidden(message),
            (auth::Kind::Precondition, _) => Self::Precondition(message),
            (auth::Kind::Unavailable | auth::Kind::TooManyRequests, error) => {
                Self::Unavailable(error.into())
            }
            (auth::Kind::Internal, error) => Self::internal(error),
        }
    }
}

impl From<TooManyRequests> for Error {
    fn from(error: TooManyRequests) -> Self {
        Self::TooManyRequests {
            message: error.to_string(),
            retry_after: error.retry_after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_basic_credentials_are_taken() {
        let (name, password) = basic(&HeaderValue::from_static("basic YTpiOmM=")).unwrap();
        assert_eq!((name.as_str(), password.expose()), ("a", "b:c"));
        for bad in [
            "Bearer abc",
            "Basic",
            "Basic !!",
            "Basic YWI=",
            "",
            "Basic /w==",
        ] {
            let refused = basic(&HeaderValue::from_static(bad));
            assert!(matches!(refused, Err(Error::Unauthorized(_))), "{bad}");
        }
    }
}
