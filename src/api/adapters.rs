//! Tag `registry`, the rest: which types of registries there are, and what they can do.

use std::collections::BTreeMap;

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Shared, caller::Caller, error::Error, openapi::Routes, path::PathParameters,
    registries::LOCAL_KIND,
};
use crate::{
    auth::{Resource, Verb},
    inventory::LabelScope,
    registry::{AccessKey, Addresses, Provider},
    replication::RegistryId,
    store::Listing,
};

pub(super) fn routes() -> Routes {
    Routes::new("registry")
        .get("/registries/{id}/info", "What a registry can do", info)
        .needs(Resource::Registry, Verb::Read)
        .get("/replication/adapters", "The types of registries", types)
        .needs(Resource::ReplicationAdapter, Verb::List)
        .get(
            "/replication/adapterinfos",
            "The types with their addresses",
            patterns,
        )
        .needs(Resource::ReplicationAdapter, Verb::List)
}

/// What policies can do with a registry.
#[derive(Debug, Serialize, JsonSchema)]
struct RegistryInfo {
    #[serde(rename = "type")]
    kind: String,
    description: &'static str,
    supported_resource_filters: Vec<FilterStyle>,
    supported_triggers: [&'static str; 3],
    supported_copy_by_chunk: bool,
}

/// A filter that policies may have, and how a form asks for it.
#[derive(Debug, Serialize, JsonSchema)]
struct FilterStyle {
    #[serde(rename = "type")]
    kind: &'static str,
    style: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<String>,
}

/// What policies can do with a registry; 0 is the one behind this gateway.
async fn info(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<RegistryInfo>, Error> {
    api.system(&caller, Resource::Registry, Verb::Read)?;
    let id = RegistryId(path.id("id")?);
    let filter = |kind, style, values| FilterStyle {
        kind,
        style,
        values,
    };
    let resources = ["image", "artifact"].map(ToOwned::to_owned);
    let mut filters = vec![
        filter("name", "input", Vec::new()),
        filter("tag", "input", Vec::new()),
        filter("resource", "radio", resources.to_vec()),
    ];
    let kind = if id.is_local() {
        let all = Listing::default();
        let labels = api.inventory.labels(LabelScope::Global, &all).await?;
        let names = labels.items.into_iter().map(|label| label.name);
        filters.push(filter("label", "list", names.collect()));
        LOCAL_KIND.to_owned()
    } else {
        api.replication.registry(id).await?.kind
    };
    Ok(axum::Json(RegistryInfo {
        kind,
        description: "",
        supported_resource_filters: filters,
        supported_triggers: ["manual", "scheduled", "event_based"],
        supported_copy_by_chunk: false,
    }))
}

async fn types(
    State(api): State<Shared>,
    caller: Caller,
) -> Result<axum::Json<[&'static str; Provider::ALL.len()]>, Error> {
    api.system(&caller, Resource::ReplicationAdapter, Verb::List)?;
    Ok(axum::Json(Provider::ALL.map(Provider::name)))
}

/// What registries of one type are reached by.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RegistryProviderInfo")]
struct ProviderInfo {
    endpoint_pattern: EndpointPattern,
    credential_pattern: CredentialPattern,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RegistryProviderEndpointPattern")]
struct EndpointPattern {
    endpoint_type: &'static str,
    endpoints: Vec<KnownAddress>,
}

/// An address that is known by a name.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RegistryEndpoint")]
struct KnownAddress {
    key: &'static str,
    value: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RegistryProviderCredentialPattern")]
#[expect(clippy::struct_field_names, reason = "the contract's names")]
struct CredentialPattern {
    access_key_type: &'static str,
    access_key_data: &'static str,
    access_secret_type: &'static str,
    access_secret_data: &'static str,
}

async fn patterns(
    State(api): State<Shared>,
    caller: Caller,
) -> Result<axum::Json<BTreeMap<&'static str, ProviderInfo>>, Error> {
    api.system(&caller, Resource::ReplicationAdapter, Verb::List)?;
    let infos = Provider::ALL.map(|provider| (provider.name(), provider.into()));
    Ok(axum::Json(infos.into()))
}

impl From<Provider> for ProviderInfo {
    fn from(provider: Provider) -> Self {
        let traits = provider.traits();
        Self {
            endpoint_pattern: traits.addresses.into(),
            credential_pattern: traits.access_key.into(),
        }
    }
}

impl From<Addresses> for EndpointPattern {
    fn from(addresses: Addresses) -> Self {
        let one;
        let (endpoint_type, known) = match addresses {
            Addresses::Any => ("EndpointPatternTypeStandard", &[][..]),
            Addresses::One(name, url) => {
                one = [(name, url)];
                ("EndpointPatternTypeFix", &one[..])
            }
            Addresses::Known(known) => ("EndpointPatternTypeList", known),
        };
        let endpoints = known
            .iter()
            .map(|&(key, value)| KnownAddress { key, value });
        Self {
            endpoint_type,
            endpoints: endpoints.collect(),
        }
    }
}

impl From<AccessKey> for CredentialPattern {
    fn from(access_key: AccessKey) -> Self {
        match access_key {
            AccessKey::Any => Self {
                access_key_type: "AccessKeyTypeStandard",
                access_key_data: "",
                access_secret_type: "AccessSecretTypeStandard",
                access_secret_data: "",
            },
            AccessKey::KeyFile(name) => Self {
                access_key_type: "AccessKeyTypeFix",
                access_key_data: name,
                access_secret_type: "AccessSecretTypeFile",
                access_secret_data: "No Change",
            },
        }
    }
}
