//! Tag `registry`: the registries that policies copy from and to.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Api, Shared,
    act::Act,
    answer::Created,
    caller::Caller,
    error::Error,
    json::Json,
    openapi::Routes,
    paging::{ListQuery, Listed},
    path::PathParameters,
};
use crate::{
    audit::Operation,
    auth::{Resource, Verb},
    clock::Timestamp,
    registry::Provider,
    replication::{self, NewCredential, NewRegistry, Registry, RegistryChange, RegistryId},
    secret::Secret,
    store::Test,
};

pub(super) fn routes() -> Routes {
    let one = "/registries/{id}";
    Routes::new("registry")
        .get("/registries", "List registries", list)
        .needs(Resource::Registry, Verb::List)
        .post("/registries", "Add a registry", create)
        .needs(Resource::Registry, Verb::Create)
        .post("/registries/ping", "Try a registry", ping)
        .needs(Resource::Registry, Verb::Read)
        .get(one, "Read a registry", read)
        .needs(Resource::Registry, Verb::Read)
        .put(one, "Change a registry", update)
        .needs(Resource::Registry, Verb::Update)
        .delete(one, "Remove a registry", delete)
        .needs(Resource::Registry, Verb::Delete)
}

/// A registry. Its secret is never told, only that there is one.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Registry")]
pub(super) struct RegistryShape {
    id: i64,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    url: String,
    description: String,
    insecure: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<CredentialShape>,
    status: &'static str,
    /// Ours: kilobits a second for all copying to or from it; 0 for no limit.
    speed_kbps: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_time: Option<Timestamp>,
}

/// How the gateway signs in to a registry.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RegistryCredential")]
struct CredentialShape {
    #[serde(rename = "type")]
    kind: String,
    access_key: String,
    access_secret: &'static str,
}

impl RegistryShape {
    /// The registry behind this gateway, as Harbor shows it in policies.
    pub(super) fn local(api: &Api) -> Self {
        Self {
            id: RegistryId::LOCAL.0,
            name: "Local".to_owned(),
            kind: LOCAL_KIND.to_owned(),
            url: api.installation.external_url.clone().unwrap_or_default(),
            description: String::new(),
            insecure: false,
            ca_certificate: None,
            credential: None,
            status: "healthy",
            speed_kbps: 0,
            creation_time: None,
            update_time: None,
        }
    }
}

impl From<Registry> for RegistryShape {
    fn from(registry: Registry) -> Self {
        let credential = (!registry.access_key.is_empty()).then_some(CredentialShape {
            kind: registry.credential_type,
            access_key: registry.access_key,
            access_secret: if registry.has_secret { MASK } else { "" },
        });
        Self {
            id: registry.id.0,
            name: registry.name,
            kind: registry.kind,
            url: registry.url,
            description: registry.description,
            insecure: registry.insecure,
            ca_certificate: registry.ca_certificate,
            credential,
            status: registry.health.name(),
            speed_kbps: registry.speed_kbps.unwrap_or_default(),
            creation_time: Some(registry.created),
            update_time: Some(registry.updated),
        }
    }
}

async fn list(
    State(api): State<Shared>,
    caller: Caller,
    query: ListQuery,
) -> Result<Listed<RegistryShape>, Error> {
    api.system(&caller, Resource::Registry, Verb::List)?;
    let query = query.and_parameter("name", "name", Test::Contains);
    let page = api.replication.registries(query.listing()).await?;
    Ok(query.answer(page, RegistryShape::from))
}

/// A registry to be added.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Registry")]
struct RegistryRequest {
    #[schemars(example = &"mirror")]
    name: String,
    #[serde(rename = "type")]
    #[schemars(example = "docker-registry", extend("enum" = Provider::ALL.map(Provider::name)))]
    kind: String,
    #[schemars(example = "http://127.0.0.1:9")]
    url: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    insecure: Option<bool>,
    #[serde(default)]
    #[schemars(example = "")]
    ca_certificate: Option<String>,
    #[serde(default)]
    credential: Option<CredentialRequest>,
    #[serde(default)]
    /// Kilobits a second for all copying; 0 for no limit.
    #[schemars(example = 0)]
    speed_kbps: u32,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(rename = "RegistryCredential")]
struct CredentialRequest {
    #[serde(rename = "type", default)]
    #[schemars(extend("enum" = ["basic"]))]
    kind: Option<String>,
    #[serde(default)]
    access_key: Option<String>,
    #[serde(default)]
    access_secret: Option<Secret>,
}

async fn create(
    State(api): State<Shared>,
    caller: Caller,
    Json(request): Json<RegistryRequest>,
) -> Result<Created, Error> {
    api.system(&caller, Resource::Registry, Verb::Create)?;
    let name = request.name.clone();
    let credential = request.credential.unwrap_or_default();
    let new = NewRegistry {
        name: request.name,
        kind: request.kind,
        url: request.url,
        description: request.description.unwrap_or_default(),
        insecure: request.insecure.unwrap_or_default(),
        ca_certificate: request.ca_certificate.filter(|pem| !pem.trim().is_empty()),
        credential: NewCredential {
            kind: credential.kind.unwrap_or_default(),
            access_key: credential.access_key.unwrap_or_default(),
            access_secret: credential.access_secret.unwrap_or_default(),
        },
        speed_kbps: Some(request.speed_kbps).filter(|speed| *speed > 0),
    };
    let id = api.replication.create_registry(new).await?;
    let description = format!("created the registry {name}");
    record(&api, &caller, Operation::Create, &name, description);
    Ok(Created::at("/registries", id))
}

async fn read(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<RegistryShape>, Error> {
    api.system(&caller, Resource::Registry, Verb::Read)?;
    let registry = api.replication.registry(RegistryId(path.id("id")?)).await?;
    Ok(axum::Json(registry.into()))
}

/// A registry to be changed or tried; what is left out stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "RegistryUpdate")]
struct RegistryFields {
    #[serde(default)]
    id: Option<i64>,
    #[serde(default)]
    name: Option<String>,
    #[serde(rename = "type", default)]
    #[schemars(example = "docker-registry", extend("enum" = Provider::ALL.map(Provider::name)))]
    kind: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    #[schemars(example = "http://127.0.0.1:9")]
    url: Option<String>,
    #[serde(default)]
    #[schemars(extend("enum" = ["basic"]))]
    credential_type: Option<String>,
    #[serde(default)]
    access_key: Option<String>,
    #[serde(default)]
    access_secret: Option<Secret>,
    #[serde(default)]
    insecure: Option<bool>,
    #[serde(default)]
    #[schemars(example = "")]
    ca_certificate: Option<String>,
    #[serde(default)]
    /// Kilobits a second for all copying; 0 for no limit.
    #[schemars(example = 0)]
    speed_kbps: Option<u32>,
}

async fn update(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(fields): Json<RegistryFields>,
) -> Result<(), Error> {
    api.system(&caller, Resource::Registry, Verb::Update)?;
    let registry = api.replication.registry(RegistryId(path.id("id")?)).await?;
    let change = RegistryChange {
        name: fields.name,
        description: fields.description,
        url: fields.url,
        credential_type: fields.credential_type,
        access_key: fields.access_key,
        // Who sends back what was read does not mean the mask.
        access_secret: fields
            .access_secret
            .filter(|secret| secret.expose() != MASK),
        insecure: fields.insecure,
        ca_certificate: fields.ca_certificate,
        speed_kbps: fields.speed_kbps,
    };
    api.replication.update_registry(registry.id, change).await?;
    let description = format!("changed the registry {}", registry.name);
    record(
        &api,
        &caller,
        Operation::Update,
        &registry.name,
        description,
    );
    Ok(())
}

async fn delete(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<(), Error> {
    api.system(&caller, Resource::Registry, Verb::Delete)?;
    let registry = api.replication.registry(RegistryId(path.id("id")?)).await?;
    api.replication.delete_registry(registry.id).await?;
    let description = format!("deleted the registry {}", registry.name);
    record(
        &api,
        &caller,
        Operation::Delete,
        &registry.name,
        description,
    );
    Ok(())
}

/// Asks a kept registry (by id alone), or one as described. A kept secret goes to the kept
/// address only: with an id, the description may not name another one.
async fn ping(
    State(api): State<Shared>,
    caller: Caller,
    Json(fields): Json<RegistryFields>,
) -> Result<(), Error> {
    api.system(&caller, Resource::Registry, Verb::Read)?;
    let kept = fields.id.filter(|id| *id > 0).map(RegistryId);
    let secret = fields
        .access_secret
        .filter(|secret| secret.expose() != MASK);
    if let (Some(id), None) = (kept, &secret) {
        let registry = api.replication.registry(id).await?;
        let is_same = fields
            .url
            .is_none_or(|url| url.trim_end_matches('/') == registry.url);
        if !is_same {
            return Err(Error::BadRequest(
                "another url than the kept one needs its access_secret".into(),
            ));
        }
        api.replication.ping_registry(id).await?;
        return Ok(());
    }
    // This makes the gateway connect to where the caller says.
    api.system(&caller, Resource::Registry, Verb::Create)?;
    let described = NewRegistry {
        name: fields.name.unwrap_or_default(),
        description: String::new(),
        kind: fields.kind.unwrap_or_default(),
        url: fields.url.unwrap_or_default(),
        insecure: fields.insecure.unwrap_or_default(),
        ca_certificate: fields.ca_certificate.filter(|pem| !pem.trim().is_empty()),
        credential: NewCredential {
            kind: fields.credential_type.unwrap_or_default(),
            access_key: fields.access_key.unwrap_or_default(),
            access_secret: secret.unwrap_or_default(),
        },
        speed_kbps: None,
    };
    api.replication.ping_new(&described).await?;
    Ok(())
}

impl From<replication::Error> for Error {
    fn from(error: replication::Error) -> Self {
        let message = error.to_string();
        match (error.kind(), error) {
            (_, replication::Error::Store(error)) => error.into(),
            (replication::Kind::NotFound, _) => Self::NotFound(message),
            (replication::Kind::Conflict, _) => Self::Conflict(message),
            (replication::Kind::Precondition, _) => Self::Precondition(message),
            // Harbor, too, answers 400 for a registry that does not answer it.
            (replication::Kind::Invalid | replication::Kind::Registry, _) => {
                Self::BadRequest(message)
            }
            (replication::Kind::Unavailable, error) => Self::Unavailable(error.into()),
            (replication::Kind::Internal, error) => Self::internal(error),
        }
    }
}

fn record(api: &Api, caller: &Caller, operation: Operation, name: &str, description: String) {
    let act = Act {
        operation,
        resource_type: "registry",
        resource: name,
        project: None,
        description,
    };
    api.record(caller, &act);
}

/// What Harbor shows in place of a secret.
const MASK: &str = "*****";
/// The gateway speaks Harbor's API.
pub(super) const LOCAL_KIND: &str = "harbor";
