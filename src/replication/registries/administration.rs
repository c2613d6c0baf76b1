use super::{
    Health, NewCredential, NewRegistry, Registry, RegistryChange,
    queries::{self, RegistryRow},
};
use crate::{
    registry::{self, Credential, Endpoint, EndpointUrl, Pong, Provider, Proxies},
    replication::{Error, RegistryId, Replication, places, policies, uploads},
    secret::{SealingKey, Secret},
    store::{self, Listing, Page},
};

impl Replication {
    /// Registries; filtered and sorted by `id`, `name`, `type`, `url`, `creation_time` and
    /// `update_time`. The local one has no row.
    pub async fn registries(&self, listing: &Listing) -> Result<Page<Registry>, Error> {
        let page = queries::list(&self.shared.db, listing).await?;
        Ok(Page {
            items: page.items.into_iter().map(Registry::from).collect(),
            total: page.total,
        })
    }

    pub async fn registry(&self, id: RegistryId) -> Result<Registry, Error> {
        let row = queries::by_id(&self.shared.db, id).await?;
        row.map(Registry::from).ok_or(Error::NoRegistry(id))
    }

    /// Keeps a registry after it has answered a ping.
    pub async fn create_registry(&self, new: NewRegistry) -> Result<RegistryId, Error> {
        let new = with_url(new);
        check(&new)?;
        let installation = self.ask(&new).await?.installation;
        let now = self.shared.clock.now();
        let secret = new.credential.access_secret.clone();
        let registry = Registry {
            id: RegistryId(0),
            has_secret: !secret.is_empty(),
            name: new.name,
            description: new.description,
            kind: new.kind,
            url: new.url.trim_end_matches('/').to_owned(),
            credential_type: new.credential.kind,
            access_key: new.credential.access_key,
            insecure: new.insecure,
            ca_certificate: new.ca_certificate,
            health: Health::Healthy,
            installation,
            speed_kbps: new.speed_kbps,
            created: now,
            updated: now,
        };
        let mut tx = self.shared.db.begin().await?;
        let id = queries::insert(&mut tx, &registry)
            .await
            .map_err(|error| name_taken(error, &registry.name))?;
        if registry.has_secret {
            let sealed = seal(&self.shared.sealing, id, &secret)?;
            queries::set_secret(&mut tx, id, Some(&sealed)).await?;
        }
        policies::queries::bump_revision(&mut tx).await?;
        tx.commit().await?;
        self.shared.snapshot.refresh(&self.shared.db).await?;
        tracing::info!(registry.name = registry.name, "registry created");
        Ok(id)
    }

    /// Changes a registry, after it has answered a ping if it is to be asked otherwise. A kept
    /// secret goes to the kept address only: with another one a secret must be given, be it an
    /// empty one.
    pub async fn update_registry(
        &self,
        id: RegistryId,
        change: RegistryChange,
    ) -> Result<(), Error> {
        let row = queries::by_id(&self.shared.db, id)
            .await?
            .ok_or(Error::NoRegistry(id))?;
        let old_secret = open_secret(&self.shared.sealing, &row)?;
        if change.access_secret.is_none() && !old_secret.is_empty() {
            check_same_address(&row.url, change.url.as_deref())?;
        }
        let secret = change.access_secret.clone().unwrap_or(old_secret);
        let (old_url, reconnects) = (row.url.clone(), change.reconnects());
        let mut registry = changed(row.into(), change);
        registry.updated = self.shared.clock.now();
        let tried = NewRegistry::from_parts(&registry, secret.clone());
        check(&tried)?;
        if reconnects {
            registry.installation = self.ask(&tried).await?.installation;
            registry.health = Health::Healthy;
        }
        self.write(&registry, &secret, &old_url).await?;
        self.shared.snapshot.refresh(&self.shared.db).await?;
        tracing::info!(registry.name = registry.name, "registry changed");
        Ok(())
    }

    /// Writes a changed registry. Nothing is believed of one that is at another address now.
    async fn write(
        &self,
        registry: &Registry,
        secret: &Secret,
        old_url: &str,
    ) -> Result<(), Error> {
        let id = registry.id;
        let mut tx = self.shared.db.begin().await?;
        queries::update(&mut tx, registry)
            .await
            .map_err(|error| name_taken(error, &registry.name))?;
        let sealed = if secret.is_empty() {
            None
        } else {
            Some(seal(&self.shared.sealing, id, secret)?)
        };
        queries::set_secret(&mut tx, id, sealed.as_deref()).await?;
        if registry.url != old_url {
            places::queries::forget_registry(&mut tx, id).await?;
            uploads::queries::forget_registry(&mut tx, id).await?;
        }
        policies::queries::bump_revision(&mut tx).await?;
        Ok(tx.commit().await?)
    }

    /// Refused while a policy uses the registry.
    pub async fn delete_registry(&self, id: RegistryId) -> Result<(), Error> {
        let mut tx = self.shared.db.begin().await?;
        if let Some(policy) = queries::user_of(&mut tx, id).await? {
            return Err(Error::Precondition(format!(
                "registry {id} is used by the replication policy `{policy}`"
            )));
        }
        if !queries::delete(&mut tx, id).await? {
            return Err(Error::NoRegistry(id));
        }
        policies::queries::bump_revision(&mut tx).await?;
        tx.commit().await?;
        self.shared.clients.forget(id);
        Ok(())
    }

    /// Asks a kept registry whether it answers, and remembers what it said.
    pub async fn ping_registry(&self, id: RegistryId) -> Result<(), Error> {
        let row = queries::by_id(&self.shared.db, id)
            .await?
            .ok_or(Error::NoRegistry(id))?;
        let endpoint = endpoint_of(&self.shared.sealing, &row)?;
        let answer = registry::ping(&endpoint, &self.shared.connections).await;
        let health = if answer.is_ok() {
            Health::Healthy
        } else {
            Health::Unhealthy
        };
        queries::set_health(&self.shared.db, id, health).await?;
        if let Some(installation) = answer?.installation {
            self.note_installation(id, &installation).await?;
        }
        Ok(())
    }

    /// Remembers which installation answers, for the policies of every instance.
    async fn note_installation(&self, id: RegistryId, installation: &str) -> Result<(), Error> {
        let mut tx = self.shared.db.begin().await?;
        if queries::set_installation(&mut tx, id, installation).await? {
            policies::queries::bump_revision(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Asks a registry that is not kept.
    pub async fn ping_new(&self, new: &NewRegistry) -> Result<(), Error> {
        self.ask(new).await.map(drop)
    }

    async fn ask(&self, new: &NewRegistry) -> Result<Pong, Error> {
        let endpoint = Endpoint {
            provider: provider(&new.kind)?,
            url: parse_url(&new.url)?,
            credential: credential(&new.credential),
            insecure: new.insecure,
            ca_certificate: new.ca_certificate.clone(),
            proxies: Proxies::from_environment(),
        };
        Ok(registry::ping(&endpoint, &self.shared.connections).await?)
    }
}

impl NewRegistry {
    /// What `registry` would be if it were new.
    pub fn from_parts(registry: &Registry, secret: Secret) -> Self {
        Self {
            name: registry.name.clone(),
            description: registry.description.clone(),
            kind: registry.kind.clone(),
            url: registry.url.clone(),
            credential: NewCredential {
                kind: registry.credential_type.clone(),
                access_key: registry.access_key.clone(),
                access_secret: secret,
            },
            insecure: registry.insecure,
            ca_certificate: registry.ca_certificate.clone(),
            speed_kbps: registry.speed_kbps,
        }
    }
}

/// How to reach a kept registry.
pub(super) fn endpoint_of(key: &SealingKey, row: &RegistryRow) -> Result<Endpoint, Error> {
    let access_secret = open_secret(key, row)?;
    Ok(Endpoint {
        provider: provider(&row.kind)?,
        url: parse_url(&row.url)?,
        credential: credential(&NewCredential {
            kind: row.credential_type.clone(),
            access_key: row.access_key.clone(),
            access_secret,
        }),
        insecure: row.insecure,
        ca_certificate: row.ca_certificate.clone(),
        proxies: Proxies::from_environment(),
    })
}

fn credential(given: &NewCredential) -> Option<Credential> {
    (!given.access_key.is_empty()).then(|| Credential::Basic {
        username: given.access_key.clone(),
        password: given.access_secret.clone(),
    })
}

fn provider(name: &str) -> Result<Provider, Error> {
    Provider::named(name).ok_or_else(|| {
        let names = Provider::ALL.map(Provider::name).join(", ");
        Error::Invalid(format!("`{name}` is not a registry type: {names}"))
    })
}

fn parse_url(text: &str) -> Result<EndpointUrl, Error> {
    text.parse()
        .map_err(|error: registry::Error| Error::Invalid(error.to_string()))
}

/// Another path at the same host is the same registry's.
fn check_same_address(kept: &str, wanted: Option<&str>) -> Result<(), Error> {
    let Some(wanted) = wanted else {
        return Ok(());
    };
    let (kept, wanted) = (parse_url(kept)?, parse_url(wanted)?);
    if kept.is_plain() == wanted.is_plain() && kept.address() == wanted.address() {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "the kept access_secret is for {kept} only: to use {wanted}, give its access_secret too"
    )))
}

fn changed(mut registry: Registry, change: RegistryChange) -> Registry {
    let set = |field: &mut String, value: Option<String>| {
        if let Some(value) = value {
            *field = value;
        }
    };
    set(&mut registry.name, change.name);
    set(&mut registry.description, change.description);
    set(&mut registry.url, change.url);
    set(&mut registry.credential_type, change.credential_type);
    set(&mut registry.access_key, change.access_key);
    registry.insecure = change.insecure.unwrap_or(registry.insecure);
    if let Some(certificate) = change.ca_certificate {
        registry.ca_certificate = Some(certificate).filter(|text| !text.trim().is_empty());
    }
    if let Some(speed) = change.speed_kbps {
        registry.speed_kbps = Some(speed).filter(|speed| *speed > 0);
    }
    registry
}

/// A registry without URL is at the one address of its type, if that has only one.
fn with_url(mut new: NewRegistry) -> NewRegistry {
    let default = Provider::named(&new.kind).and_then(Provider::default_url);
    if let Some(url) = default.filter(|_| new.url.trim().is_empty()) {
        url.clone_into(&mut new.url);
    }
    new
}

fn check(new: &NewRegistry) -> Result<(), Error> {
    if new.name.trim().is_empty() || new.name.len() > MAX_NAME_BYTES {
        return Err(Error::Invalid(format!(
            "the registry's name must have 1 to {MAX_NAME_BYTES} bytes"
        )));
    }
    provider(&new.kind)?;
    if !matches!(&*new.credential.kind, "" | "basic") {
        return Err(Error::Invalid(format!(
            "`{}` is not a credential type: basic",
            new.credential.kind
        )));
    }
    parse_url(&new.url)?;
    Ok(())
}

fn name_taken(error: store::Error, name: &str) -> Error {
    match error {
        store::Error::Duplicate => {
            Error::Duplicate(format!("a registry named `{name}` exists already"))
        }
        other => other.into(),
    }
}

fn seal(key: &SealingKey, id: RegistryId, secret: &Secret) -> Result<Vec<u8>, Error> {
    key.seal(&place(id), secret.expose().as_bytes())
        .map_err(Error::Unsealable)
}

fn open_secret(key: &SealingKey, row: &RegistryRow) -> Result<Secret, Error> {
    let id = RegistryId(row.id);
    let Some(sealed) = &row.access_secret else {
        return Ok(Secret::default());
    };
    let plain = key
        .open(&place(id), sealed)
        .map_err(|source| Error::Seal { id, source })?;
    String::from_utf8(plain)
        .map(Secret::new)
        .map_err(|_not_text| Error::Row {
            table: "registries",
            id: row.id,
            problem: "the secret is not text".to_owned(),
        })
}

/// Binds a sealed secret to its row.
fn place(id: RegistryId) -> String {
    format!("registries.access_secret/{id}")
}

/// Harbor's column width.
const MAX_NAME_BYTES: usize = 256;
