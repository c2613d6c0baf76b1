use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};

use super::{
    Access, Authentication, Issued, TokenSource, basic,
    challenge::Challenge,
    ecr::{Api, Ecr},
    realm::Realm,
    tokens::Tokens,
};
use crate::{
    clock::SystemClock,
    oci::ErrorCode,
    registry::{
        Config, Error,
        endpoint::{Credential, EndpointUrl},
        transport::Transport,
    },
    wire::{Body, ExchangeError},
};

/// Finds the `Authorization` header for each request to one registry.
pub(in crate::registry) enum Authorizer {
    Anonymous,
    Basic(HeaderValue),
    Issuer {
        source: Arc<dyn TokenSource>,
        tokens: Tokens,
    },
    Ecr(Ecr),
    Challenged(Box<Challenged>),
}

/// Does what the registry's challenges ask for, and remembers it for the requests to come.
pub(in crate::registry) struct Challenged {
    credential: Arc<Option<Credential>>,
    /// The last challenge; none until the registry was asked for the first time.
    learned: ArcSwapOption<Learned>,
    tokens: Tokens,
}

enum Learned {
    /// The registry asks for nothing, or for something that we cannot do.
    Nothing,
    Basic(HeaderValue),
    Bearer(Arc<Realm>),
}

/// Why there is no token to send a request with.
pub(in crate::registry) enum NoToken {
    /// The token service gave no answer.
    Exchange(ExchangeError),
    /// The token service said no; to be given to the caller as an answer.
    Refused {
        status: StatusCode,
        message: String,
        retry_after: Option<HeaderValue>,
    },
}

/// A request's answer 401.
#[derive(Clone, Copy)]
pub(in crate::registry) struct Refused<'a> {
    /// The header that the request had.
    pub(in crate::registry) used: Option<&'a HeaderValue>,
    pub(in crate::registry) headers: &'a HeaderMap,
}

impl Authorizer {
    pub(in crate::registry) fn new(
        authentication: Authentication,
        url: &EndpointUrl,
        config: &Config,
    ) -> Result<Self, Error> {
        let tokens = || Tokens::new(config.max_cached_tokens);
        Ok(match authentication {
            Authentication::Anonymous => Self::Anonymous,
            Authentication::Basic { username, password } => {
                let header = basic(&username, &password).ok_or_else(|| Error::InvalidUrl {
                    url: url.to_string(),
                    reason: "its user name or password cannot be sent over HTTP",
                })?;
                Self::Basic(header)
            }
            Authentication::Tokens(source) => Self::Issuer {
                source,
                tokens: tokens(),
            },
            Authentication::AwsEcr(account) => {
                let api = Api::of(url, account, Arc::new(SystemClock));
                let api = api.ok_or_else(|| Error::InvalidUrl {
                    url: url.to_string(),
                    reason: "Amazon ECR is at https://ACCOUNT.dkr.ecr.REGION.amazonaws.com",
                })?;
                Self::Ecr(Ecr::new(api, tokens()))
            }
            Authentication::Challenge(credential) => Self::Challenged(Box::new(Challenged {
                credential: Arc::new(credential),
                learned: ArcSwapOption::empty(),
                tokens: tokens(),
            })),
        })
    }

    /// What a request needs to be allowed; nothing when that decides nothing here.
    pub(in crate::registry) fn access(&self, request: &Request<Body>) -> Access {
        match self {
            Self::Anonymous | Self::Basic(_) | Self::Ecr(_) => Access::default(),
            Self::Issuer { .. } | Self::Challenged(_) => Access::of(request),
        }
    }

    /// Whether a refused request may be allowed with a new token.
    pub(in crate::registry) fn can_reconsider(&self) -> bool {
        matches!(
            self,
            Self::Issuer { .. } | Self::Ecr(_) | Self::Challenged(_)
        )
    }

    /// The header for a request, if it is to have one.
    pub(in crate::registry) async fn authorize(
        &self,
        url: &EndpointUrl,
        transport: &Transport,
        access: &Access,
    ) -> Result<Option<HeaderValue>, NoToken> {
        match self {
            Self::Anonymous => Ok(None),
            Self::Basic(header) => Ok(Some(header.clone())),
            Self::Issuer { source, tokens } => issued(source, tokens, access).await.map(Some),
            Self::Ecr(ecr) => ecr.header(transport).await.map(Some),
            Self::Challenged(challenged) => {
                if challenged.learned.load().is_none() {
                    challenged.probe(url, transport).await?;
                }
                challenged.header(transport, access, None).await
            }
        }
    }

    /// An API beside the registry's that is asked without the registry naming it.
    pub(in crate::registry) fn api(&self) -> Option<&Uri> {
        match self {
            Self::Ecr(ecr) => Some(ecr.uri()),
            Self::Anonymous | Self::Basic(_) | Self::Issuer { .. } | Self::Challenged(_) => None,
        }
    }

    /// The credential as Basic, for an API beside the registry's that asks for no token.
    pub(in crate::registry) fn basic(&self) -> Option<HeaderValue> {
        match self {
            Self::Basic(header) => Some(header.clone()),
            Self::Challenged(challenged) => match challenged.credential.as_ref() {
                Some(Credential::Basic { username, password }) => basic(username, password),
                Some(Credential::IdentityToken(_)) | None => None,
            },
            Self::Anonymous | Self::Issuer { .. } | Self::Ecr(_) => None,
        }
    }

    /// Makes the repository that an upload needs, where that is not done by pushing. Whether it
    /// could be tried.
    pub(in crate::registry) async fn create_repository(
        &self,
        transport: &Transport,
        name: &str,
    ) -> Result<bool, NoToken> {
        match self {
            Self::Ecr(ecr) => ecr.create(transport, name).await.map(|()| true),
            _ => Ok(false),
        }
    }

    /// Another header after an answer 401; `None` when there is no point in asking again.
    pub(in crate::registry) async fn reconsider(
        &self,
        url: &EndpointUrl,
        transport: &Transport,
        access: &Access,
        refused: Refused<'_>,
    ) -> Result<Option<HeaderValue>, NoToken> {
        let used = refused.used;
        match self {
            Self::Anonymous | Self::Basic(_) => Ok(None),
            Self::Issuer { source, tokens } => {
                if let Some(used) = used {
                    tokens.forget(&access.key(), used);
                }
                issued(source, tokens, access).await.map(Some)
            }
            Self::Ecr(ecr) => {
                if let Some(used) = used {
                    ecr.forget(used);
                }
                ecr.header(transport).await.map(Some)
            }
            Self::Challenged(challenged) => {
                if let Some(used) = used {
                    challenged.tokens.forget(&access.key(), used);
                }
                let scope = challenged.learn(url, refused.headers)?;
                let header = challenged
                    .header(transport, access, scope.as_deref())
                    .await?;
                Ok(header.filter(|header| used != Some(header)))
            }
        }
    }
}

async fn issued(
    source: &Arc<dyn TokenSource>,
    tokens: &Tokens,
    access: &Access,
) -> Result<HeaderValue, NoToken> {
    let issue = || {
        let (source, access) = (Arc::clone(source), access.clone());
        async move {
            let issued = source.issue(access.scopes()).await.map_err(|error| {
                NoToken::unusable(&format!("no token could be issued: {error}"))
            })?;
            let header = Issued::bearer(&issued);
            header.ok_or_else(|| NoToken::unusable("the issued token cannot be sent over HTTP"))
        }
    };
    tokens.header(&access.key(), issue).await
}

impl Challenged {
    /// Learns the scheme from the answer to `GET /v2/`, so that the first request with a body
    /// has its header already. Two callers may do this at once; both learn the same.
    async fn probe(&self, url: &EndpointUrl, transport: &Transport) -> Result<(), NoToken> {
        let target = http::uri::PathAndQuery::from_static("/v2/");
        let request = url.uri(&target).and_then(|uri| {
            Request::builder()
                .method(Method::GET)
                .uri(uri)
                .header(header::HOST, url.host_header())
                .header(header::USER_AGENT, crate::registry::USER_AGENT)
                .body(Body::Empty)
        });
        let request = request.map_err(|error| NoToken::unusable(&error.to_string()))?;
        let answer = transport
            .exchange(request)
            .await
            .map_err(NoToken::Exchange)?;
        match answer.status() {
            StatusCode::UNAUTHORIZED => self.learn(url, answer.headers()).map(drop),
            // Busy or broken: no lesson, the request itself will be told the same.
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => Ok(()),
            _open => {
                self.learned.store(Some(Arc::new(Learned::Nothing)));
                Ok(())
            }
        }
    }

    /// Takes in a challenge; gives the scope it names.
    fn learn(&self, url: &EndpointUrl, refusal: &HeaderMap) -> Result<Option<String>, NoToken> {
        let (learned, scope) = match Challenge::read(refusal) {
            None => (Learned::Nothing, None),
            Some(Challenge::Basic) => match self.credential.as_ref() {
                Some(Credential::Basic { username, password }) => {
                    let header = basic(username, password);
                    (header.map_or(Learned::Nothing, Learned::Basic), None)
                }
                Some(Credential::IdentityToken(_)) | None => (Learned::Nothing, None),
            },
            Some(Challenge::Bearer {
                realm,
                service,
                scope,
            }) => (
                Learned::Bearer(Arc::new(Realm::new(url, &realm, service)?)),
                scope,
            ),
        };
        self.learned.store(Some(Arc::new(learned)));
        Ok(scope)
    }

    async fn header(
        &self,
        transport: &Transport,
        access: &Access,
        challenged_scope: Option<&str>,
    ) -> Result<Option<HeaderValue>, NoToken> {
        let learned = self.learned.load_full();
        let realm = match learned.as_deref() {
            None | Some(Learned::Nothing) => return Ok(None),
            Some(Learned::Basic(header)) => return Ok(Some(header.clone())),
            Some(Learned::Bearer(realm)) => realm,
        };
        let key = access.key();
        let fetch = || {
            let scopes = challenged_scope.unwrap_or(&key).split_whitespace();
            let scopes: Vec<String> = scopes.map(str::to_owned).collect();
            let (realm, credential) = (Arc::clone(realm), Arc::clone(&self.credential));
            let transport = transport.clone();
            async move {
                let credential = credential.as_ref().as_ref();
                realm.fetch(&transport, credential, &scopes).await
            }
        };
        self.tokens.header(&key, fetch).await.map(Some)
    }
}

impl NoToken {
    /// The token service, or what the registry says about it, is of no use.
    pub(super) fn unusable(message: &str) -> Self {
        Self::Refused {
            status: StatusCode::BAD_GATEWAY,
            message: message.to_owned(),
            retry_after: None,
        }
    }

    /// As an answer, or as the failure of an exchange that sent nothing.
    pub(in crate::registry) fn into_answer(self) -> Result<Response<Body>, ExchangeError> {
        let (status, message, retry_after) = match self {
            Self::Exchange(error) => return Err(not_sent(error)),
            Self::Refused {
                status,
                message,
                retry_after,
            } => (status, message, retry_after),
        };
        let code = match status {
            StatusCode::UNAUTHORIZED => ErrorCode::Unauthorized,
            StatusCode::TOO_MANY_REQUESTS => ErrorCode::TooManyRequests,
            _ => ErrorCode::Unavailable,
        };
        let mut answer = Response::new(Body::from(code.body(&message)));
        *answer.status_mut() = status;
        let json = HeaderValue::from_static("application/json");
        answer.headers_mut().insert(header::CONTENT_TYPE, json);
        if let Some(value) = retry_after {
            answer.headers_mut().insert(header::RETRY_AFTER, value);
        }
        Ok(answer)
    }
}

/// A token request that broke off has sent nothing of the request it was for.
fn not_sent(error: ExchangeError) -> ExchangeError {
    match error {
        ExchangeError::Interrupted { address, source } => {
            ExchangeError::Unreachable { address, source }
        }
        other => other,
    }
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic(_) => "Basic",
            Self::Issuer { .. } => "Issuer",
            Self::Ecr(_) => "Ecr",
            Self::Challenged(_) => "Challenged",
        })
    }
}
