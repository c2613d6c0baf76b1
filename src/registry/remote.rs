use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};

use super::{
    Authentication, Config, Endpoint, EndpointUrl, Error, USER_AGENT,
    credential::{Authorizer, Refused},
    guard::{Guard, SystemNames, may_lead_to},
    provider::{Adapted, HARBOR_REPOSITORIES, Provider, harbor_catalog},
    transport::Transport,
};
use crate::{
    oci::ErrorCode,
    tls,
    wire::{self, Body, BoxError, Exchange, ExchangeError},
};

/// One remote registry: sends requests there with its own credential. Cheap to clone.
///
/// A request's URI is path and query of the registry's API. `Location` and `Link` of an answer
/// are rewritten to that form when they stay at this registry, and are absolute URLs when they
/// lead elsewhere. A request with an absolute URI follows such a URL, without any credential.
#[derive(Debug, Clone)]
pub struct Remote(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    provider: Provider,
    url: EndpointUrl,
    authorizer: Authorizer,
    transport: Transport,
}

impl Remote {
    /// Connects nowhere yet. The endpoint's own credential is not looked at: `authentication`
    /// says what is sent.
    pub fn new(
        endpoint: &Endpoint,
        authentication: Authentication,
        config: &Config,
    ) -> Result<Self, Error> {
        let authorizer = Authorizer::new(authentication, &endpoint.url, config)?;
        let guard = Guard::new(endpoint, config, Arc::new(SystemNames));
        Self::with_authorizer(endpoint, authorizer, guard, config)
    }

    pub(super) fn with_authorizer(
        endpoint: &Endpoint,
        authorizer: Authorizer,
        guard: Guard,
        config: &Config,
    ) -> Result<Self, Error> {
        let trust = tls::ClientTrust {
            ca_certificate: endpoint.ca_certificate.clone(),
            insecure: endpoint.insecure,
        };
        let tls = tls::client_config(&trust).map_err(|error| Error::Trust {
            address: endpoint.url.address().to_owned(),
            reason: error.to_string(),
        })?;
        let url = endpoint.provider.registry_url(&endpoint.url);
        let proxies = endpoint.proxies.clone();
        let guard = guard.with_api(authorizer.api());
        Ok(Self(Arc::new(Inner {
            provider: endpoint.provider,
            url,
            authorizer,
            transport: Transport::new(config, tls, proxies, guard),
        })))
    }

    /// A registry that is signed in to with the endpoint's credential, in its provider's way;
    /// mostly as its challenges ask.
    pub fn challenged(endpoint: &Endpoint, config: &Config) -> Result<Self, Error> {
        let authentication = endpoint.provider.authentication(endpoint);
        Self::new(endpoint, authentication, config)
    }

    pub fn url(&self) -> &EndpointUrl {
        &self.0.url
    }

    pub fn exchange(&self) -> Exchange {
        let remote = self.clone();
        Exchange::new(tower::service_fn(move |request| {
            let remote = remote.clone();
            async move { remote.send(request).await }
        }))
    }

    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, ExchangeError> {
        request.headers_mut().remove(header::AUTHORIZATION);
        if !request.headers().contains_key(header::USER_AGENT) {
            let agent = HeaderValue::from_static(USER_AGENT);
            request.headers_mut().insert(header::USER_AGENT, agent);
        }
        if request.uri().authority().is_some() {
            self.0.send_elsewhere(request).await
        } else {
            self.0.send_adapted(request).await
        }
    }
}

impl Inner {
    /// Sends a request in the provider's own way.
    async fn send_adapted(&self, request: Request<Body>) -> Result<Response<Body>, ExchangeError> {
        let request = match self.provider.adapt(request) {
            Adapted::Send(request) => request,
            Adapted::Refused(answer) => return Ok(answer),
        };
        if request.uri().path() == HARBOR_REPOSITORIES {
            let answer = self.forward(request, self.authorizer.basic()).await?;
            return Ok(harbor_catalog(answer).await);
        }
        let upload = self.provider.must_exist(&request);
        let again = upload.as_ref().and_then(|_name| copy_of(&request));
        let answer = self.send_here(request).await?;
        if let (Some(name), Some(again)) = (upload, again)
            && answer.status() == StatusCode::NOT_FOUND
        {
            return match self
                .authorizer
                .create_repository(&self.transport, &name)
                .await
            {
                Ok(true) => self.send_here(again).await,
                Ok(false) => Ok(answer),
                Err(no_token) => no_token.into_answer(),
            };
        }
        Ok(answer)
    }

    async fn send_here(&self, request: Request<Body>) -> Result<Response<Body>, ExchangeError> {
        let access = self.authorizer.access(&request);
        let authorized = self
            .authorizer
            .authorize(&self.url, &self.transport, &access);
        let used = match authorized.await {
            Ok(header) => header,
            Err(no_token) => return no_token.into_answer(),
        };
        let again = self
            .authorizer
            .can_reconsider()
            .then(|| copy_of(&request))
            .flatten();
        let answer = self.forward(request, used.clone()).await?;
        if answer.status() != StatusCode::UNAUTHORIZED || !self.authorizer.can_reconsider() {
            return Ok(answer);
        }
        let answer = read_whole(answer).await;
        let refusal = Refused {
            used: used.as_ref(),
            headers: answer.headers(),
        };
        let reconsidered = self
            .authorizer
            .reconsider(&self.url, &self.transport, &access, refusal)
            .await;
        match (reconsidered, again) {
            (Ok(Some(header)), Some(again)) => self.forward(again, Some(header)).await,
            (Ok(Some(_header)), None) => Ok(token_ran_out()),
            (Ok(None), _) => Ok(answer),
            (Err(no_token), _) => no_token.into_answer(),
        }
    }

    async fn forward(
        &self,
        mut request: Request<Body>,
        authorization: Option<HeaderValue>,
    ) -> Result<Response<Body>, ExchangeError> {
        let target = request.uri().path_and_query();
        let uri = target.ok_or_else(|| self.not_sent("the request has no path"))?;
        *request.uri_mut() = self.url.uri(uri).map_err(|error| self.not_sent(error))?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.url.host_header());
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value);
        }
        let uri = request.uri().clone();
        let mut answer = self.transport.exchange(request).await?;
        self.localize(&uri, answer.headers_mut());
        Ok(answer)
    }

    async fn send_elsewhere(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, ExchangeError> {
        let authority = request
            .uri()
            .authority()
            .map_or("", |authority| authority.as_str());
        may_lead_to(&self.url, request.uri())
            .map_err(|reason| self.not_sent(format!("it leads to {authority}: {reason}")))?;
        let host = HeaderValue::from_str(authority).map_err(|error| self.not_sent(error))?;
        request.headers_mut().insert(header::HOST, host);
        self.transport.exchange(request).await
    }

    fn localize(&self, request: &Uri, headers: &mut HeaderMap) {
        if let Some(location) = headers.get_mut(header::LOCATION) {
            let target = location
                .to_str()
                .ok()
                .and_then(|text| self.url.localize(request, text));
            rewrite(location, target);
        }
        if let Some(link) = headers.get_mut(header::LINK) {
            let target = link.to_str().ok().and_then(|text| {
                let (target, parameters) = text.strip_prefix('<')?.split_once('>')?;
                let target = self.url.localize(request, target)?;
                Some(format!("<{target}>{parameters}"))
            });
            rewrite(link, target);
        }
    }

    fn not_sent(&self, reason: impl Into<BoxError>) -> ExchangeError {
        ExchangeError::Withheld {
            address: self.url.address().to_owned(),
            source: reason.into(),
        }
    }
}

/// The answer to a request whose token was refused, but whose body can be read only once: the
/// next one has a new token.
fn token_ran_out() -> Response<Body> {
    let message = "the token ran out while the request was sent; a new one is there";
    let mut answer = Response::new(Body::from(ErrorCode::Unavailable.body(message)));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}

/// Takes a refusal's body into memory, so that its connection is free while a token is fetched;
/// a body that breaks off or is too long for a refusal is left out.
async fn read_whole(answer: Response<Body>) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    let body = wire::collect(body, MAX_REFUSAL_BYTES).await.map_or_else(
        |_broken| {
            head.headers.remove(header::CONTENT_LENGTH);
            Body::Empty
        },
        Body::Full,
    );
    Response::from_parts(head, body)
}

/// Leaves alone what could not be understood.
fn rewrite(value: &mut HeaderValue, text: Option<String>) {
    if let Some(rewritten) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
        *value = rewritten;
    }
}

/// A second copy of a request, unless its body can be read only once.
fn copy_of(request: &Request<Body>) -> Option<Request<Body>> {
    let body = match request.body() {
        Body::Empty => Body::Empty,
        Body::Full(bytes) => Body::Full(bytes.clone()),
        Body::Incoming(_) | Body::Boxed(_) => return None,
    };
    let mut copy = Request::new(body);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

/// Error bodies are some hundred bytes.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
