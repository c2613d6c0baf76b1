use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{administration::endpoint_of, queries};
use crate::{
    clock::Timestamp,
    registry::{Client, Provider, Remote},
    replication::{Error, RegistryId, Shared},
    wire::Exchange,
};

/// One client for each registry, so that jobs share its warm connections and tokens.
#[derive(Debug)]
pub(in crate::replication) struct Clients {
    local: Exchange,
    /// As many as there are registries. A client is made anew when its registry has changed.
    remote: Mutex<HashMap<RegistryId, (Timestamp, Exchange)>>,
}

impl Clients {
    pub(in crate::replication) fn new(local: Exchange) -> Self {
        Self {
            local,
            remote: Mutex::default(),
        }
    }

    pub(super) fn forget(&self, id: RegistryId) {
        self.remote().remove(&id);
    }

    fn remote(&self) -> MutexGuard<'_, HashMap<RegistryId, (Timestamp, Exchange)>> {
        self.remote.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// A client for the registry as it is now.
    pub(in crate::replication) async fn client(&self, id: RegistryId) -> Result<Client, Error> {
        if id.is_local() {
            return Ok(Client::new(self.clients.local.clone()));
        }
        let row = queries::by_id(&self.db, id)
            .await?
            .ok_or(Error::NoRegistry(id))?;
        let updated = Timestamp::from_millis(row.updated_ms);
        let known = self.clients.remote().get(&id).cloned();
        if let Some((_, exchange)) = known.filter(|(since, _)| *since == updated) {
            return Ok(Client::new(exchange));
        }
        let endpoint = endpoint_of(&self.sealing, &row)?;
        let exchange = Remote::challenged(&endpoint, &self.connections)?.exchange();
        self.clients
            .remote()
            .insert(id, (updated, exchange.clone()));
        Ok(Client::new(exchange))
    }

    /// Whether registries of this one's type take blobs in chunks.
    pub(in crate::replication) async fn takes_chunks(&self, id: RegistryId) -> Result<bool, Error> {
        let row = queries::by_id(&self.db, id).await?;
        let provider = row.and_then(|row| Provider::named(&row.kind));
        Ok(provider.is_some_and(|provider| provider.traits().takes_chunks))
    }
}
