use std::{net::IpAddr, sync::Arc};

use http::{
    HeaderValue, Method, Request, Response,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{
    Error, Grant, Issuer, Token,
    asked::{Asked, Credentials, Form},
    grants::grants,
    metrics::{Metrics, Outcome},
    refusal::{OauthError, Refusal},
};
use crate::{
    auth::{Auth, Principal},
    clock::Timestamp,
    secret::Secret,
    server::Visitor,
    wire::{Body, CollectError, Peer, collect},
};

/// The token service on HTTP. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Service(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    issuer: Issuer,
    auth: Auth,
    metrics: Metrics,
}

/// Method, path and purpose of what [`Service::handle`] answers.
pub const OPERATIONS: [(&str, &str, &str); 4] = [
    (
        "GET",
        "/service/token",
        "A token for some scopes, after Docker's specification",
    ),
    (
        "POST",
        "/service/token",
        "A token by password or refresh token, after OAuth2",
    ),
    ("GET", "/service/token/jwks", "The public keys as a JWK set"),
    (
        "GET",
        "/service/token/certificate",
        "The certificates of the keys",
    ),
];

impl Service {
    pub fn new(issuer: Issuer, auth: Auth, metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            issuer,
            auth,
            metrics,
        }))
    }

    /// Answers what lies under `/service/token`, and `/auth/token`, where distribution's
    /// `autoredirect` sends its clients. The request's extensions should hold [`Peer`].
    pub async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path();
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        match path.trim_end_matches('/') {
            "/service/token" | "/auth/token" => self.token(request).await,
            "/service/token/jwks" if is_read => self.jwks(),
            "/service/token/certificate" if is_read => self.certificate(),
            _ => Refusal::not_found().into_response(),
        }
    }

    async fn token(&self, request: Request<Body>) -> Response<Body> {
        let answer = self.0.answer(request).await;
        let outcome = match &answer {
            Ok(_) => Outcome::Issued,
            Err(refusal) if refusal.is_ours() => Outcome::Failed,
            Err(_) => Outcome::Refused,
        };
        self.0.metrics.count(outcome);
        answer.unwrap_or_else(Refusal::into_response)
    }

    /// Both public keys, as registries read them from a file too.
    fn jwks(&self) -> Response<Body> {
        let keys = serde_json::to_vec(&self.0.issuer.keys().jwks()).unwrap_or_default();
        typed(keys.into(), "application/json")
    }

    /// The certificates that `x5c` chains to: a `rootcertbundle`.
    fn certificate(&self) -> Response<Body> {
        let pem = self.0.issuer.keys().certificates_pem();
        typed(pem.into(), "application/x-pem-file")
    }
}

impl Inner {
    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Refusal> {
        let (head, body) = request.into_parts();
        let asked = match head.method {
            Method::GET => Asked::from_query(head.uri.query().unwrap_or_default(), &head.headers)?,
            Method::POST => Asked::from_form(&read(body).await?, &head.headers)?,
            _ => return Err(Refusal::method_not_allowed()),
        };
        let service = &self.issuer.config().service;
        if asked.service.as_ref().is_some_and(|asked| asked != service) {
            let message = format!("this token service serves `{service}` only");
            return Err(Refusal::oauth(OauthError::InvalidRequest, message));
        }
        let source = head
            .extensions
            .get::<Peer>()
            .map_or(UNKNOWN_SOURCE, |peer| peer.address);
        let principal = self.identify(source, &asked.credentials).await?;
        if let Some(visitor) = head.extensions.get::<Visitor>() {
            visitor.is(principal.name()).await?;
        }
        let grants = grants(&self.auth, &principal, asked.scopes).await?;
        let token = self.issuer.issue(&principal, &grants)?;
        let refresh = match asked.credentials {
            Credentials::Refresh(token) => Some(token),
            _ if asked.offline => self.refresh_token(&principal).await,
            _ => None,
        };
        Ok(write(asked.form, &token, &grants, refresh.as_ref())?)
    }

    async fn identify(
        &self,
        source: IpAddr,
        credentials: &Credentials,
    ) -> Result<Principal, Refusal> {
        Ok(match credentials {
            Credentials::Anonymous => Principal::Anonymous,
            Credentials::Password { name, password } => {
                self.auth.login(source, name, password).await?
            }
            Credentials::Refresh(token) => {
                let service = &self.issuer.config().service;
                self.auth.redeem_refresh_token(token, service).await?
            }
        })
    }

    /// A refresh token, if the caller may have one. Without it clients keep the password, so
    /// that failing to make one fails no login.
    async fn refresh_token(&self, principal: &Principal) -> Option<Secret> {
        let config = self.issuer.config();
        if !config.refresh_tokens || principal.is_anonymous() {
            return None;
        }
        let made = self
            .auth
            .issue_refresh_token(principal, &config.service)
            .await;
        made.inspect_err(|error| tracing::warn!(%error, "no refresh token could be made"))
            .ok()
    }
}

async fn read(body: Body) -> Result<bytes::Bytes, Refusal> {
    collect(body, MAX_FORM_BYTES).await.map_err(|error| {
        let message = match error {
            CollectError::TooLarge { .. } => "the form is too large",
            CollectError::Read(_) => "the form did not arrive whole",
        };
        Refusal::oauth(OauthError::InvalidRequest, message)
    })
}

/// The answer of either form. Some clients read `token`, some `access_token`.
/// A token, as Docker's specification and RFC 6749 §5.1 want it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Token")]
pub struct Answer<'a> {
    #[schemars(with = "String")]
    token: &'a RawValue,
    #[schemars(with = "String")]
    access_token: &'a RawValue,
    /// What was granted: only the OAuth2 form has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    expires_in: u64,
    issued_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
}

fn write(
    form: Form,
    token: &Token,
    grants: &[Grant],
    refresh: Option<&Secret>,
) -> Result<Response<Body>, Error> {
    let granted = || {
        let scopes = grants.iter().map(|grant| grant.to_scope().to_string());
        scopes.collect::<Vec<_>>().join(" ")
    };
    // It is long, and stands there twice.
    let text = to_raw_value(&token.text).map_err(|_unwritable| Error::Sign)?;
    let answer = Answer {
        token: &text,
        access_token: &text,
        scope: (form == Form::Oauth).then(granted),
        expires_in: token.expires_in_seconds,
        issued_at: token.issued_at,
        refresh_token: refresh.map(Secret::expose),
    };
    let json = serde_json::to_vec(&answer).map_err(|_unwritable| Error::Sign)?;
    let mut response = typed(json.into(), "application/json");
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    Ok(response)
}

fn typed(body: Body, media_type: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    let media_type = HeaderValue::from_static(media_type);
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

/// Some hundred scopes and a refresh token fit many times.
const MAX_FORM_BYTES: usize = 64 * 1024;
/// Requests without a peer share one limit for failed logins.
const UNKNOWN_SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
