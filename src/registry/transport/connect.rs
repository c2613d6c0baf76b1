use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::dns::GaiResolver, rt::TokioIo};
use tokio::net::TcpStream;
use tower::Service;

use super::{
    lookup::Lookup,
    proxies::{Hop, Proxies},
    tcp::tcp,
};
use crate::{registry::guard::Guard, wire::BoxError};

/// Connects over TCP, by a proxy or not, and TLS when the URI says `https`, within one time limit for all of it.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    inner: HttpsConnector<Hop>,
    timeout: Duration,
}

impl Connector {
    pub(super) fn new(
        timeout: Duration,
        tls: rustls::ClientConfig,
        proxies: Proxies,
        guard: Guard,
    ) -> Self {
        let guard = Arc::new(guard);
        let hop = Hop {
            to_configured: tcp(Lookup::Configured(Arc::clone(&guard))),
            to_proxy: tcp(GaiResolver::new()),
            proxies,
            guard,
            patience: timeout.mul_f32(PATIENCE),
        };
        let inner = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(hop);
        Self { inner, timeout }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.timeout, self.inner.call(uri));
        let seconds = self.timeout.as_secs();
        async move {
            connecting.await.unwrap_or_else(|_elapsed| {
                let message = format!("no connection within {seconds} s");
                Err(io::Error::new(io::ErrorKind::TimedOut, message).into())
            })
        }
        .boxed()
    }
}

/// The part of the time limit for the connection to what a registry names: the rest is for saying
/// what else its name means.
const PATIENCE: f32 = 0.9;
