use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt, TryFutureExt, future::BoxFuture};
use http::Uri;
use hyper_util::{
    client::{
        legacy::connect::{HttpConnector, dns::GaiResolver, proxy::Tunnel},
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tower::Service;

use super::{
    lookup::{LeftOut, Lookup},
    tcp::tcp,
};
use crate::{
    registry::{
        endpoint::port,
        guard::{Guard, is_local},
    },
    wire::BoxError,
};

/// Which HTTP proxy leads to which host; none by default. The proxy is asked for a tunnel
/// (CONNECT), to plain HTTP registries too. This machine is never reached through a proxy.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Option<Arc<Matcher>>);

impl Proxies {
    /// What `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say now, or their lower-case
    /// forms, as curl reads them.
    pub fn from_environment() -> Self {
        Self(Some(Arc::new(Matcher::from_env())))
    }

    /// A tunnel to the host of `uri`, if a proxy is set for it.
    pub fn tunnel(&self, uri: &Uri) -> Option<BoxFuture<'static, Result<TcpStream, BoxError>>> {
        let proxy = self.intercept(uri)?;
        let tunnel = through(&proxy, tcp(GaiResolver::new()), uri.clone());
        Some(tunnel.map_ok(TokioIo::into_inner).boxed())
    }

    /// Whether a proxy is set for the host of `uri`.
    pub(in crate::registry) fn lead_to(&self, uri: &Uri) -> bool {
        self.intercept(uri).is_some()
    }

    fn intercept(&self, uri: &Uri) -> Option<Intercept> {
        let is_local = uri.host().is_some_and(is_local);
        let matcher = self.0.as_ref().filter(|_| !is_local)?;
        matcher.intercept(uri)
    }

    #[cfg(test)]
    pub(in crate::registry) fn all(proxy: &str, except: &str) -> Self {
        let matcher = Matcher::builder()
            .all(proxy.to_owned())
            .no(except.to_owned());
        Self(Some(Arc::new(matcher.build())))
    }
}

/// Connects over TCP, to what the configuration names or the guard permits. Where a proxy is set,
/// it is led to names unseen.
#[derive(Debug, Clone)]
pub(super) struct Hop {
    pub(super) to_configured: HttpConnector<Lookup>,
    pub(super) to_proxy: HttpConnector,
    pub(super) proxies: Proxies,
    pub(super) guard: Arc<Guard>,
    /// How long a connection to what the registry names may take.
    pub(super) patience: Duration,
}

impl Service<Uri> for Hop {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.to_configured.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let hop = self.clone();
        async move { hop.connect(uri).await }.boxed()
    }
}

impl Hop {
    async fn connect(mut self, uri: Uri) -> Result<TokioIo<TcpStream>, BoxError> {
        let is_configured = self.guard.is_configured(&uri);
        if !is_configured {
            self.guard.permit_literal(&uri).await?;
        }
        if let Some(proxy) = self.proxies.intercept(&uri) {
            return through(&proxy, self.to_proxy, uri).await;
        }
        if is_configured {
            let connection = self.to_configured.call(uri.clone()).await?;
            let address = connection.inner().peer_addr()?.ip();
            self.guard.note_connection(&uri, address);
            return Ok(connection);
        }
        self.connect_to_named(uri).await
    }

    async fn connect_to_named(self, uri: Uri) -> Result<TokioIo<TcpStream>, BoxError> {
        let left_out = LeftOut::default();
        let mut named = tcp(Lookup::Named(self.guard, Arc::clone(&left_out)));
        let connecting = tokio::time::timeout(self.patience, named.call(uri));
        let error: BoxError = match connecting.await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => error.into(),
            Err(_elapsed) => {
                let seconds = self.patience.as_secs_f32();
                let message = format!("no connection within {seconds:.1} s");
                io::Error::new(io::ErrorKind::TimedOut, message).into()
            }
        };
        match left_out.get() {
            Some(forbidden) => Err(forbidden.clone().besides(error.as_ref()).into()),
            None => Err(error),
        }
    }
}

/// A tunnel that the proxy is asked for.
fn through(
    proxy: &Intercept,
    tcp: HttpConnector,
    uri: Uri,
) -> BoxFuture<'static, Result<TokioIo<TcpStream>, BoxError>> {
    if proxy.uri().scheme_str() != Some("http") {
        let message = format!("the proxy {} is not an http:// one", proxy.uri());
        let error = io::Error::new(io::ErrorKind::Unsupported, message);
        return std::future::ready(Err(error.into())).boxed();
    }
    let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
    if let Some(credential) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(credential.clone());
    }
    let proxy = proxy.uri().clone();
    let explain = move |error| format!("no way through the proxy {proxy}: {error}").into();
    async move {
        let uri = with_port(&uri)?;
        tunnel.call(uri).await.map_err(explain)
    }
    .boxed()
}

/// What a [`Tunnel`] leads to, written out: without a port it would ask for 443 whatever the
/// scheme is.
fn with_port(uri: &Uri) -> Result<Uri, http::Error> {
    let host = uri.host().unwrap_or_default();
    Uri::builder()
        .scheme(uri.scheme_str().unwrap_or_default())
        .authority(format!("{host}:{}", port(uri)))
        .path_and_query("/")
        .build()
}
