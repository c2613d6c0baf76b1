//! The `WWW-Authenticate` header that sends clients to the token service
//! (Docker registry token specification, "How to authenticate"; RFC 6750 §3).

use http::HeaderValue;
use url::Url;

use super::{Refusal, parse::Asked};
use crate::{
    oci::{ActionSet, ErrorCode, Route, Scope},
    wire::Peer,
};

/// What clients know the gateway as.
#[derive(Debug, Clone)]
pub struct PublicAddress {
    /// `None`: what each client wrote into its request. crane refuses a realm on another host
    /// than the one it talks to.
    pub external_url: Option<Url>,
    /// The `service` of challenges, the audience of tokens.
    pub service: String,
}

/// Why a bearer token was not enough; the challenge's `error` (RFC 6750 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// There was none.
    NoToken,
    InvalidToken,
    InsufficientScope,
}

impl PublicAddress {
    /// Scheme, `://`, host and port, without a slash; `None` when the client named no host.
    pub(super) fn origin(&self, peer: &Peer) -> Option<String> {
        if let Some(url) = &self.external_url {
            return Some(url.as_str().trim_end_matches('/').to_owned());
        }
        is_host(&peer.host).then(|| format!("{}://{}", peer.scheme, peer.host))
    }

    /// A 401 that names the scopes the request needs.
    pub(super) fn challenge(&self, asked: &Asked, reason: Reason, message: &str) -> Refusal {
        let Some(origin) = self.origin(&asked.peer) else {
            return Refusal::new(ErrorCode::BadRequest, "the request has no Host header");
        };
        let mut text = format!(
            "Bearer realm=\"{origin}{TOKEN_PATH}\",service=\"{}\"",
            self.service
        );
        let scopes = scopes(asked);
        if !scopes.is_empty() {
            text.extend([",scope=\"", &scopes.join(" "), "\""]);
        }
        match reason {
            Reason::NoToken => {}
            Reason::InvalidToken => text.push_str(",error=\"invalid_token\""),
            Reason::InsufficientScope => text.push_str(",error=\"insufficient_scope\""),
        }
        let refusal = Refusal::new(ErrorCode::Unauthorized, message);
        match HeaderValue::from_str(&text) {
            Ok(value) => refusal.with_challenge(value),
            Err(_not_text) => Refusal::new(ErrorCode::BadRequest, "the Host header is not a host"),
        }
    }
}

fn scopes(asked: &Asked) -> Vec<String> {
    let mut scopes = Vec::new();
    if let Some(name) = asked.route.repository() {
        let needs = asked.route.needs(&asked.method);
        scopes.push(Scope::repository(name.as_str(), needs).to_string());
    }
    match &asked.route {
        Route::Catalog { .. } => scopes.push(CATALOG_SCOPE.to_owned()),
        Route::StartUpload {
            mount: Some(mount), ..
        } => scopes.extend(
            mount
                .from
                .iter()
                .map(|from| Scope::repository(from.as_str(), ActionSet::PULL).to_string()),
        ),
        _ => {}
    }
    scopes
}

/// Host and port, of characters that cannot end the quoted string they are put into.
fn is_host(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
    !text.is_empty() && text.len() <= 261 && text.bytes().all(allowed)
}

/// Where the token service is served.
const TOKEN_PATH: &str = "/service/token";
/// What crane asks for before it lists repositories.
const CATALOG_SCOPE: &str = "registry:catalog:*";
