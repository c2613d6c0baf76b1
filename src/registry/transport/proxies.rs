use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{FutureExt, TryFutureExt, future::BoxFuture};
use http::Uri;
use hyper_util::{
    client::{
        legacy::connect::{HttpConnector, proxy::Tunnel},
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tower::Service;

use crate::{registry::guard::is_local, wire::BoxError};

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
        let is_local = uri.host().is_some_and(is_local);
        let matcher = self.0.as_ref().filter(|_| !is_local)?;
        let proxy = matcher.intercept(uri)?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let tunnel = through(&proxy, tcp, uri.clone());
        Some(tunnel.map_ok(TokioIo::into_inner).boxed())
    }

    #[cfg(test)]
    pub(in crate::registry) fn all(proxy: &str, except: &str) -> Self {
        let matcher = Matcher::builder()
            .all(proxy.to_owned())
            .no(except.to_owned());
        Self(Some(Arc::new(matcher.build())))
    }
}

/// Connects over TCP, through a proxy where one is set.
#[derive(Debug, Clone)]
pub(super) struct Hop {
    pub(super) tcp: HttpConnector,
    pub(super) proxies: Proxies,
}

impl Service<Uri> for Hop {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let is_local = uri.host().is_some_and(is_local);
        let matcher = self.proxies.0.as_ref().filter(|_| !is_local);
        let Some(proxy) = matcher.and_then(|matcher| matcher.intercept(&uri)) else {
            return self.tcp.call(uri).map_err(Into::into).boxed();
        };
        through(&proxy, self.tcp.clone(), uri)
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
    tunnel.call(uri).map_err(explain).boxed()
}
