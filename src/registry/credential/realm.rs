use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::{Issued, IssuedToken, authorizer::NoToken, basic};
use crate::{
    registry::{
        endpoint::{Credential, EndpointUrl},
        error::Refusal,
        guard::may_lead_to,
        transport::Transport,
    },
    secret::Secret,
    wire::{self, Body},
};

/// A token service that a registry named in its challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Realm {
    uri: Uri,
    service: Option<String>,
}

impl Realm {
    /// Checks that `registry` may send our credential to `address`.
    pub(super) fn new(
        registry: &EndpointUrl,
        address: &str,
        service: Option<String>,
    ) -> Result<Self, NoToken> {
        let refused = |reason: &str| {
            let message = format!("{registry} names the token service `{address}`: {reason}");
            NoToken::unusable(&message)
        };
        let uri: Uri = address
            .parse()
            .map_err(|_malformed| refused("it is not a URL"))?;
        may_lead_to(registry, &uri).map_err(refused)?;
        Ok(Self { uri, service })
    }

    /// Asks for a token of these scopes: by GET with Basic or nothing (Docker token
    /// specification), or by POST for an identity token (its OAuth2 form).
    pub(super) async fn fetch(
        &self,
        transport: &Transport,
        credential: Option<&Credential>,
        scopes: &[String],
    ) -> Result<Issued, NoToken> {
        let request = match credential {
            Some(Credential::IdentityToken(token)) => self.refresh_request(token, scopes),
            Some(Credential::Basic { username, password }) => {
                let header = basic(username, password);
                self.get_request(Some(username), header, scopes)
            }
            None => self.get_request(None, None, scopes),
        };
        let request = request.ok_or_else(|| {
            NoToken::unusable(
                "the credential or the token service's address cannot be sent over HTTP",
            )
        })?;
        let answer = transport
            .exchange(request)
            .await
            .map_err(NoToken::Exchange)?;
        let (head, body) = answer.into_parts();
        let bytes = wire::collect(body, MAX_ANSWER_BYTES).await;
        let bytes = bytes.map_err(|error| self.unusable(&error.to_string()))?;
        if head.status != StatusCode::OK {
            return Err(self.refusal(head.status, &head.headers, &bytes));
        }
        let answer: Answer = serde_json::from_slice(&bytes)
            .map_err(|_malformed| self.unusable("its answer is not JSON of a token"))?;
        let token = answer
            .token
            .filter(|token| !token.is_empty())
            .or(answer.access_token);
        let issued = IssuedToken {
            token: token.ok_or_else(|| self.unusable("its answer has no token"))?,
            lifetime: Duration::from_secs(answer.expires_in.unwrap_or(0)),
        };
        Issued::bearer(&issued).ok_or_else(|| self.unusable("its token cannot be sent over HTTP"))
    }

    fn get_request(
        &self,
        account: Option<&str>,
        authorization: Option<HeaderValue>,
        scopes: &[String],
    ) -> Option<Request<Body>> {
        let mut query = Serializer::new(self.uri.query().unwrap_or_default().to_owned());
        query.extend_pairs(self.service.iter().map(|service| ("service", service)));
        query.extend_pairs(scopes.iter().map(|scope| ("scope", scope)));
        query.extend_pairs(account.iter().map(|account| ("account", account)));
        query.append_pair("client_id", CLIENT_ID);
        let target = format!("{}?{}", self.uri.path(), query.finish());
        let mut request = self.request(Method::GET, &target, Body::Empty)?;
        match (account, authorization) {
            (Some(_), None) => return None,
            (_, Some(value)) => {
                request.headers_mut().insert(header::AUTHORIZATION, value);
            }
            (None, None) => {}
        }
        Some(request)
    }

    fn refresh_request(&self, token: &Secret, scopes: &[String]) -> Option<Request<Body>> {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token");
        form.append_pair("refresh_token", token.expose());
        form.extend_pairs(self.service.iter().map(|service| ("service", service)));
        form.append_pair("client_id", CLIENT_ID);
        if !scopes.is_empty() {
            form.append_pair("scope", &scopes.join(" "));
        }
        let target = self.uri.path_and_query()?.as_str().to_owned();
        let mut request = self.request(Method::POST, &target, form.finish().into())?;
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, form_type);
        Some(request)
    }

    fn request(&self, method: Method, target: &str, body: Body) -> Option<Request<Body>> {
        let mut parts = self.uri.clone().into_parts();
        parts.path_and_query = Some(target.parse().ok()?);
        Request::builder()
            .method(method)
            .uri(Uri::from_parts(parts).ok()?)
            .header(header::HOST, self.uri.authority()?.as_str())
            .header(header::USER_AGENT, crate::registry::USER_AGENT)
            .header(header::ACCEPT, "application/json")
            .body(body)
            .ok()
    }

    /// The service's "no" as an answer of the registry. A 404 must not pass as one: that would
    /// say that the manifest is absent.
    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> NoToken {
        let refusal = Refusal::new(&self.operation(), status, headers, body);
        let status = match status.as_u16() {
            400 | 401 | 403 => StatusCode::UNAUTHORIZED,
            429 => StatusCode::TOO_MANY_REQUESTS,
            500..=599 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_GATEWAY,
        };
        NoToken::Refused {
            status,
            message: refusal.to_string(),
            retry_after: headers.get(header::RETRY_AFTER).cloned(),
        }
    }

    fn unusable(&self, reason: &str) -> NoToken {
        NoToken::unusable(&format!("{}: {reason}", self.operation()))
    }

    fn operation(&self) -> String {
        let authority = self
            .uri
            .authority()
            .map_or("", |authority| authority.as_str());
        format!("the token service {authority}{}", self.uri.path())
    }
}

#[derive(Deserialize)]
struct Answer {
    token: Option<Secret>,
    access_token: Option<Secret>,
    expires_in: Option<u64>,
}

const CLIENT_ID: &str = "tidegate";
/// Tokens are a few KiB; clients in the field read up to 64 KiB.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
