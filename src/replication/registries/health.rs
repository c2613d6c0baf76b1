use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::{
    replication::{Error, Registry, Replication, Shared},
    store::Listing,
};

/// Asks every registry now and then whether it answers, until told to stop.
pub(in crate::replication) async fn watch(shared: Arc<Shared>, stop: CancellationToken) {
    let replication = Replication { shared };
    while stop
        .run_until_cancelled(tokio::time::sleep(INTERVAL))
        .await
        .is_some()
    {
        match replication.registries(&Listing::default()).await {
            Ok(page) => {
                let asking = ask_all(&replication, page.items);
                stop.run_until_cancelled(asking).await;
            }
            Err(error) => tracing::debug!(%error, "the registries' health is not known"),
        }
    }
}

async fn ask_all(replication: &Replication, registries: Vec<Registry>) {
    futures_util::stream::iter(registries)
        .for_each_concurrent(AT_ONCE, |registry| async move {
            match replication.ping_registry(registry.id).await {
                Ok(()) | Err(Error::NoRegistry(_)) => {}
                Err(error) => tracing::warn!(
                    %error,
                    registry.name = registry.name,
                    "a registry is unhealthy"
                ),
            }
        })
        .await;
}

/// Harbor's.
const INTERVAL: Duration = Duration::from_mins(5);
const AT_ONCE: usize = 8;
