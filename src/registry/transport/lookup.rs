use std::{
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use futures_util::{FutureExt, future::BoxFuture};
use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

use crate::{registry::guard::Guard, wire::BoxError};

/// The resolver of a connector.
#[derive(Debug, Clone)]
pub(super) enum Lookup {
    /// Of hosts that the configuration names: wherever they are.
    Configured(Arc<Guard>),
    /// Of hosts that the registry names: the connector hears of no address that the guard does
    /// not permit.
    Named(Arc<Guard>),
}

impl Service<Name> for Lookup {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let lookup = self.clone();
        async move {
            let found = match lookup {
                Self::Configured(guard) => guard.configured_addresses(name.as_str()).await?,
                Self::Named(guard) => guard.named_addresses(name.as_str()).await?,
            };
            Ok(found.into_iter())
        }
        .boxed()
    }
}
