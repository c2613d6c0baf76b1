//! Phase 2: a bearer token of ours, Basic, or nobody.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::header::AUTHORIZATION;

use super::{Inner, Refusal, challenge::Reason, parse::Asked};
use crate::{
    auth::{
        self, Principal,
        bearer::{self, Claims},
    },
    oci::{ErrorCode, Route},
    secret::Secret,
};

/// Who makes a request, as they are now.
pub(super) struct Caller {
    pub(super) principal: Principal,
    pub(super) proof: Proof,
}

/// How the caller showed who they are.
pub(super) enum Proof {
    /// Not at all.
    None,
    Password,
    /// A token, which also bounds what may be done.
    Token(Arc<Claims>),
}

impl Inner {
    pub(super) async fn authenticate(&self, asked: &Asked) -> Result<Caller, Refusal> {
        let mut values = asked.headers.get_all(AUTHORIZATION).iter();
        let credentials = match (values.next(), values.next()) {
            (None, _) => return Ok(Caller::nobody()),
            (Some(value), None) => value.to_str().unwrap_or_default(),
            (Some(_), Some(_)) => {
                let message = "the request has several Authorization headers";
                return Err(Refusal::new(ErrorCode::BadRequest, message));
            }
        };
        match credentials.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                self.bearer(asked, token.trim()).await
            }
            Some((scheme, encoded)) if scheme.eq_ignore_ascii_case("basic") => {
                self.basic(asked, encoded.trim()).await
            }
            _unknown_scheme => Ok(Caller::nobody()),
        }
    }

    async fn bearer(&self, asked: &Asked, token: &str) -> Result<Caller, Refusal> {
        let invalid = |message: &str| {
            self.parts
                .address
                .challenge(asked, Reason::InvalidToken, message)
        };
        let claims = match self.parts.verifier.verify(token) {
            Ok(claims) => claims,
            Err(bearer::Error::Expired) => self
                .outlived(asked, token)
                .ok_or_else(|| invalid("the token has expired, or is not valid yet"))?,
            Err(error) => return Err(invalid(&error.to_string())),
        };
        let principal = self.parts.auth.principal_of(&claims).await?;
        let principal = principal.ok_or_else(|| {
            invalid("the token's account is gone, or has another password or secret")
        })?;
        Ok(Caller {
            principal,
            proof: Proof::Token(claims),
        })
    }

    /// The claims of an expired token, if it is used to finish an upload that its subject began
    /// while a token was valid. A layer may take longer than any token lives.
    fn outlived(&self, asked: &Asked, token: &str) -> Option<Arc<Claims>> {
        let Route::Upload { name, id, .. } = &asked.route else {
            return None;
        };
        let claims = self.parts.verifier.verify_expired(token).ok()?;
        self.sessions
            .was_begun_by(name, id, &claims.sub)
            .then_some(claims)
    }

    async fn basic(&self, asked: &Asked, encoded: &str) -> Result<Caller, Refusal> {
        let refused = |message: &str| {
            self.parts
                .address
                .challenge(asked, Reason::NoToken, message)
        };
        let (name, password) = decode(encoded)
            .ok_or_else(|| refused("the Basic credentials are not base64 of name:password"))?;
        match self
            .parts
            .auth
            .login(asked.peer.address, &name, &password)
            .await
        {
            Ok(principal) => Ok(Caller {
                principal,
                proof: Proof::Password,
            }),
            Err(error) if error.kind() == auth::Kind::Unauthorized => {
                Err(refused(&error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Caller {
    fn nobody() -> Self {
        Self {
            principal: Principal::Anonymous,
            proof: Proof::None,
        }
    }
}

fn decode(encoded: &str) -> Option<(String, Secret)> {
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), Secret::new(password)))
}
