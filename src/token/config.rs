use std::time::Duration;

use crate::settings;

/// `[token]`: how bearer tokens are signed and what they say.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long a token is valid; `None`: the setting `token_expiration`. At least 60: every
    /// client written in Go reads less as 60.
    pub lifetime_seconds: Option<u64>,
    /// The signature. Changing it makes a new key; tokens of the old one stay valid.
    pub algorithm: Algorithm,
    /// How a token names its key to a registry that verifies it.
    pub key_reference: KeyReference,
    /// The claim `iss`; a registry that verifies the tokens is configured with the same text.
    pub issuer: String,
    /// The claim `aud`, and `service` in challenges.
    pub service: String,
    /// Whether `offline_token=true` is answered with a refresh token.
    pub refresh_tokens: bool,
}

impl Config {
    /// How long a token is valid that is signed now.
    pub fn lifetime(&self, settings: &settings::Values) -> Duration {
        let usual = u64::from(settings.token_expiration) * 60;
        let seconds = self.lifetime_seconds.unwrap_or(usual);
        Duration::from_secs(seconds.max(MIN_LIFETIME_SECONDS))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lifetime_seconds: None,
            algorithm: Algorithm::Es256,
            key_reference: KeyReference::X5c,
            issuer: "tidegate".into(),
            service: "tidegate".into(),
            refresh_tokens: true,
        }
    }
}

/// Signature algorithms (RFC 7518 §3.1). `EdDSA` is left out: distribution 2.8 does not know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
pub enum Algorithm {
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "RS256")]
    Rs256,
}

impl Algorithm {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }
}

/// What the token's header holds beside the algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyReference {
    /// `kid` and the certificate: verified by distribution 2.8 to 3.1 with `rootcertbundle`.
    X5c,
    /// `kid` alone, the RFC 7638 thumbprint: verified by distribution 3.x with `jwks`.
    Jwks,
    /// `kid` alone, the libtrust fingerprint: verified by distribution 2.x with `rootcertbundle`.
    Libtrust,
}

/// Clients written in Go raise a shorter `expires_in` to a minute and then use a dead token.
const MIN_LIFETIME_SECONDS: u64 = 60;
