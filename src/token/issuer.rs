use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, Serializer};

use super::{Config, Error, KeyReference, Keys};
use crate::{
    auth::Principal,
    clock::{SharedClock, Timestamp},
    oci::{Action, ActionSet, Scope},
    secret::random_bytes,
    settings,
};

/// Makes tokens. Cheap to clone.
///
/// The header is encoded once and the private key parsed once, so that a token costs little
/// more than its signature.
#[derive(Debug, Clone)]
pub struct Issuer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keys: Arc<Keys>,
    config: Config,
    settings: settings::Reader,
    clock: SharedClock,
    /// The base64url header and the dot behind it.
    header: String,
}

/// A signed token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub issued_at: Timestamp,
    pub expires_in_seconds: u64,
}

/// What a token lets its bearer do with one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grant {
    #[serde(rename = "type")]
    pub resource_type: String,
    pub name: String,
    pub actions: Actions,
}

/// The actions of a [`Grant`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actions {
    On(ActionSet),
    /// `*`, which distribution wants for the catalogue.
    All,
}

impl Issuer {
    pub fn new(
        keys: Arc<Keys>,
        config: Config,
        settings: settings::Reader,
        clock: SharedClock,
    ) -> Result<Self, Error> {
        let public = keys.signing().public();
        let header = Header {
            alg: public.algorithm().name(),
            typ: "JWT",
            kid: public.key_id(config.key_reference),
            x5c: match config.key_reference {
                KeyReference::X5c => Some([public.certificate_base64()]),
                KeyReference::Jwks | KeyReference::Libtrust => None,
            },
        };
        let json = serde_json::to_vec(&header).map_err(|_unwritable| Error::Sign)?;
        let header = format!("{}.", URL_SAFE_NO_PAD.encode(json));
        Ok(Self(Arc::new(Inner {
            keys,
            config,
            settings,
            clock,
            header,
        })))
    }

    pub fn config(&self) -> &Config {
        &self.0.config
    }

    pub fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// Signs what a principal was granted.
    pub fn issue(&self, principal: &Principal, access: &[Grant]) -> Result<Token, Error> {
        self.sign(principal.name(), principal.credential_version(), access)
    }

    /// Signs a token of the gateway's own, for a registry behind it that verifies them. No
    /// account has it, so it opens nothing here.
    pub fn issue_for_gateway(&self, subject: &str, access: &[Grant]) -> Result<Token, Error> {
        self.sign(subject, None, access)
    }

    fn sign(
        &self,
        subject: &str,
        credential_version: Option<i64>,
        access: &[Grant],
    ) -> Result<Token, Error> {
        let inner = &*self.0;
        let issued_at = inner.clock.now();
        let lifetime = inner.config.lifetime(&inner.settings.values()).as_secs();
        let now = issued_at.seconds();
        let jti: [u8; 16] = random_bytes();
        let claims = Claims {
            iss: &inner.config.issuer,
            sub: subject,
            aud: &inner.config.service,
            exp: now.saturating_add_unsigned(lifetime),
            nbf: now,
            iat: now,
            jti: URL_SAFE_NO_PAD.encode(jti),
            credential_version,
            access,
        };
        let json = serde_json::to_vec(&claims).map_err(|_unwritable| Error::Sign)?;
        let mut text = String::with_capacity(inner.header.len() + json.len() * 4 / 3 + 400);
        text.push_str(&inner.header);
        URL_SAFE_NO_PAD.encode_string(json, &mut text);
        let signature = inner.keys.signing().sign(text.as_bytes())?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Ok(Token {
            text,
            issued_at,
            expires_in_seconds: lifetime,
        })
    }
}

impl Grant {
    pub fn repository(name: impl Into<String>, actions: ActionSet) -> Self {
        Self {
            resource_type: "repository".into(),
            name: name.into(),
            actions: Actions::On(actions),
        }
    }

    /// The grant as the token endpoint's `scope` field writes it.
    pub fn to_scope(&self) -> Scope {
        let (actions, wildcard) = match self.actions {
            Actions::On(actions) => (actions, false),
            Actions::All => (ActionSet::ALL, true),
        };
        Scope {
            resource_type: self.resource_type.clone(),
            name: self.name.clone(),
            actions,
            wildcard,
        }
    }
}

impl Serialize for Actions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::On(actions) => serializer.collect_seq(actions.iter().map(Action::as_str)),
            Self::All => serializer.collect_seq(["*"]),
        }
    }
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    x5c: Option<[&'a str; 1]>,
}

/// `aud` is a string, not a list, for distribution 2.8; times are whole seconds for every one.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: i64,
    nbf: i64,
    iat: i64,
    jti: String,
    #[serde(rename = "cv", skip_serializing_if = "Option::is_none")]
    credential_version: Option<i64>,
    access: &'a [Grant],
}
