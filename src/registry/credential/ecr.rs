//! Amazon ECR: an IAM access key buys a password for twelve hours, and makes repositories, which
//! ECR does not make on push.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use serde::Deserialize;
use serde_json::json;
use time::macros::format_description;

use super::{Issued, authorizer::NoToken, sensitive, sigv4, tokens::Tokens};
use crate::{
    clock::{Clock, Timestamp},
    oci::ErrorCode,
    registry::{EndpointUrl, USER_AGENT, endpoint::Account, error::Refusal, transport::Transport},
    secret::Secret,
    wire::{self, Body},
};

/// One account's sign-in at the ECR of a region.
#[derive(Debug, Clone)]
pub(in crate::registry) struct Ecr(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    api: Api,
    passwords: Tokens,
}

/// ECR's own API (version 2015-09-21, JSON protocol).
#[derive(Debug, Clone)]
pub(in crate::registry) struct Api {
    pub(in crate::registry) uri: Uri,
    pub(in crate::registry) region: String,
    pub(in crate::registry) account: Account,
    pub(in crate::registry) clock: Arc<dyn Clock>,
}

impl Api {
    /// The API of the registry's region; `None` when the host is none of ECR's
    /// (`ACCOUNT.dkr.ecr.REGION.amazonaws.com`).
    pub(super) fn of(url: &EndpointUrl, account: Account, clock: Arc<dyn Clock>) -> Option<Self> {
        let (_number, rest) = url.host().split_once(".dkr.")?;
        let (service, rest) = rest.split_once('.')?;
        let (region, domain) = rest.split_once('.')?;
        let is_ecr = matches!(service, "ecr" | "ecr-fips")
            && matches!(domain, "amazonaws.com" | "amazonaws.com.cn");
        let host = match service {
            "ecr" => format!("api.ecr.{region}.{domain}"),
            _fips => format!("ecr-fips.{region}.{domain}"),
        };
        let uri = format!("https://{host}/").parse().ok()?;
        is_ecr.then(|| Self {
            uri,
            region: region.to_owned(),
            account,
            clock,
        })
    }

    async fn password(&self, transport: &Transport) -> Result<Issued, NoToken> {
        let bytes = self.call(transport, "GetAuthorizationToken", "{}").await?;
        let answer: Option<Passwords> = serde_json::from_slice(&bytes).ok();
        let answer = answer.and_then(|answer| answer.authorization_data.into_iter().next());
        let unusable = || NoToken::unusable(&format!("{}: its answer has no token", self.name()));
        let password = answer.ok_or_else(unusable)?;
        let is_pair = STANDARD
            .decode(password.authorization_token.expose())
            .is_ok_and(|pair| pair.contains(&b':'));
        let pair = password.authorization_token.expose();
        let header = sensitive(&format!("Basic {pair}")).filter(|_| is_pair);
        Ok(Issued {
            header: header.ok_or_else(unusable)?,
            lifetime: self.until(password.expires_at),
        })
    }

    /// Seconds with fractions since the epoch, as a duration from now.
    fn until(&self, expires_at: f64) -> Duration {
        let expires_at = Duration::try_from_secs_f64(expires_at).unwrap_or_default();
        let now = self.clock.now().since(Timestamp::from_millis(0));
        expires_at.saturating_sub(now)
    }

    async fn call(
        &self,
        transport: &Transport,
        operation: &str,
        body: &str,
    ) -> Result<bytes::Bytes, NoToken> {
        let request = self
            .request(operation, body)
            .ok_or_else(|| NoToken::unusable("the access key cannot be sent over HTTP"))?;
        let answer = transport.exchange(request).await;
        let (head, body) = answer.map_err(NoToken::Exchange)?.into_parts();
        let bytes = wire::collect(body, MAX_ANSWER_BYTES).await;
        let bytes = bytes.map_err(|error| NoToken::unusable(&error.to_string()))?;
        if head.status == StatusCode::OK {
            return Ok(bytes);
        }
        let problem: Problem = serde_json::from_slice(&bytes).unwrap_or_default();
        if problem.kind.ends_with("RepositoryAlreadyExistsException") {
            return Ok(bytes);
        }
        let said = ErrorCode::Denied.body(&format!("{} {}", problem.kind, problem.message));
        let refusal = Refusal::new(&self.name(), head.status, &head.headers, &said);
        let is_throttled = problem.kind.contains("Throttling");
        Err(NoToken::Refused {
            status: match head.status.as_u16() {
                _ if is_throttled => StatusCode::TOO_MANY_REQUESTS,
                400..=499 => StatusCode::UNAUTHORIZED,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            },
            message: refusal.to_string(),
            retry_after: head.headers.get(header::RETRY_AFTER).cloned(),
        })
    }

    fn request(&self, operation: &str, body: &str) -> Option<Request<Body>> {
        let time = self.clock.now().to_utc();
        let format = format_description!("[year][month][day]T[hour][minute][second]Z");
        let time = time.format(format).ok()?;
        let target = format!("AmazonEC2ContainerRegistry_V20150921.{operation}");
        let headers = BTreeMap::from([
            ("content-type", "application/x-amz-json-1.1"),
            ("host", self.uri.authority()?.as_str()),
            ("x-amz-date", time.as_str()),
            ("x-amz-target", target.as_str()),
        ]);
        let service = sigv4::Service {
            region: self.region.clone(),
            name: "ecr",
        };
        let signature =
            sigv4::authorization(&self.account, &service, "POST", &headers, body.as_bytes());
        let mut request = Request::new(Body::from(body.to_owned()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        for (name, value) in headers {
            let name = HeaderName::try_from(name).ok()?;
            let value = HeaderValue::from_str(value).ok()?;
            request.headers_mut().insert(name, value);
        }
        let agent = HeaderValue::from_static(USER_AGENT);
        request.headers_mut().insert(header::USER_AGENT, agent);
        let signature = sensitive(&signature)?;
        request
            .headers_mut()
            .insert(header::AUTHORIZATION, signature);
        Some(request)
    }

    fn name(&self) -> String {
        format!("the ECR API at {}", self.uri)
    }
}

impl Ecr {
    pub(in crate::registry) fn new(api: Api, passwords: Tokens) -> Self {
        Self(Arc::new(Inner { api, passwords }))
    }

    pub(super) async fn header(&self, transport: &Transport) -> Result<HeaderValue, NoToken> {
        let issue = || {
            let (ecr, transport) = (self.0.api.clone(), transport.clone());
            async move { ecr.password(&transport).await }
        };
        self.0.passwords.header(KEY, issue).await
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.0.api.uri
    }

    pub(super) fn forget(&self, refused: &HeaderValue) {
        self.0.passwords.forget(KEY, refused);
    }

    /// Makes a repository; one that is there already is fine.
    pub(super) async fn create(&self, transport: &Transport, name: &str) -> Result<(), NoToken> {
        let body = json!({ "repositoryName": name }).to_string();
        let answer = self.0.api.call(transport, "CreateRepository", &body).await;
        answer.map(drop)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Passwords {
    authorization_data: Vec<Password>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Password {
    authorization_token: Secret,
    expires_at: f64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Problem {
    #[serde(rename = "__type")]
    kind: String,
    #[serde(alias = "Message")]
    message: String,
}

/// One password is good for the whole registry.
const KEY: &str = "";
/// Passwords are 2 to 4 KiB.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn the_region_stands_in_the_host() {
        let api = |url: &str| {
            let account = Account {
                key: "k".into(),
                secret: Secret::default(),
            };
            let api = Api::of(&url.parse().unwrap(), account, Arc::new(SystemClock));
            api.map(|api| (api.uri.to_string(), api.region))
        };
        for (url, uri, region) in [
            (
                "1234.dkr.ecr.eu-central-1.amazonaws.com",
                "https://api.ecr.eu-central-1.amazonaws.com/",
                "eu-central-1",
            ),
            (
                "1234.dkr.ecr.cn-north-1.amazonaws.com.cn",
                "https://api.ecr.cn-north-1.amazonaws.com.cn/",
                "cn-north-1",
            ),
            (
                "1234.dkr.ecr-fips.us-east-1.amazonaws.com",
                "https://ecr-fips.us-east-1.amazonaws.com/",
                "us-east-1",
            ),
        ] {
            assert_eq!(api(url), Some((uri.to_owned(), region.to_owned())));
        }
        for url in [
            "registry.example.com",
            "1.dkr.ecr.x.amazonaws.com.evil.example",
        ] {
            assert_eq!(api(url), None, "{url}");
        }
    }
}
