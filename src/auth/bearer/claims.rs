use serde::{Deserialize, Serialize};

/// What a token says (Docker registry token specification, "JSON Web Token").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    /// The principal's name; empty when anonymous.
    pub sub: String,
    /// The service the token is for: one string, as distribution 2.x requires.
    pub aud: String,
    /// Seconds since the epoch, like `nbf` and `iat`.
    pub exp: i64,
    pub nbf: i64,
    pub iat: i64,
    pub jti: String,
    /// Which of its passwords or secrets the principal had; `None` when anonymous. A claim of ours.
    #[serde(rename = "cv")]
    pub credential_version: Option<i64>,
    #[serde(default)]
    pub access: Vec<Access>,
}

/// What a token lets its bearer do with one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    #[serde(rename = "type")]
    pub resource_type: String,
    pub name: String,
    pub actions: Vec<String>,
}
