use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    vec,
};

use futures_util::{FutureExt, future::BoxFuture};
use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

use crate::{
    registry::guard::{Forbidden, Guard},
    wire::BoxError,
};

/// The resolver of a connector.
#[derive(Debug, Clone)]
pub(super) enum Lookup {
    /// Of hosts that the configuration names: wherever they are.
    Configured(Arc<Guard>),
    /// Of hosts that the registry names: the connector hears of no address that the guard does
    /// not permit. For one connection.
    Named(Arc<Guard>, LeftOut),
}

/// Why some addresses of a name were left out, if any were.
pub(super) type LeftOut = Arc<OnceLock<Forbidden>>;

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
                Self::Named(guard, left_out) => {
                    let (permitted, refusal) = guard.named_addresses(name.as_str()).await?;
                    if let Some(forbidden) = refusal {
                        left_out.get_or_init(|| forbidden);
                    }
                    permitted
                }
            };
            Ok(found.into_iter())
        }
        .boxed()
    }
}
