//! Tag `replication`, policies: what is copied where, and when.

use std::collections::BTreeMap;

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

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
    registries::RegistryShape,
};
use crate::{
    audit::Operation,
    auth::{Resource, Verb},
    clock::Timestamp,
    replication::{
        Policy, PolicyId, PolicySpec, Registry, RegistryId, Trigger,
        policy::{DeletionLimit, Filter, Namespace, RawFilter, Replace},
    },
    store::{Listing, Test},
};

pub(super) fn routes() -> Routes {
    let all = "/replication/policies";
    let one = "/replication/policies/{id}";
    Routes::new("replication")
        .get(all, "List replication policies", list)
        .needs(Resource::ReplicationPolicy, Verb::List)
        .post(all, "Create a replication policy", create)
        .needs(Resource::ReplicationPolicy, Verb::Create)
        .get(one, "Read a replication policy", read)
        .needs(Resource::ReplicationPolicy, Verb::Read)
        .put(one, "Change a replication policy", update)
        .needs(Resource::ReplicationPolicy, Verb::Update)
        .delete(one, "Delete a replication policy", delete)
        .needs(Resource::ReplicationPolicy, Verb::Delete)
}

/// What is copied where, and when.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReplicationPolicy")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are the switches of Harbor's policy"
)]
struct PolicyShape {
    id: i64,
    name: String,
    description: String,
    src_registry: RegistryShape,
    dest_registry: RegistryShape,
    dest_namespace: String,
    dest_namespace_replace_count: i8,
    trigger: TriggerShape,
    filters: Vec<RawFilter>,
    /// `deletion` by its newer name.
    replicate_deletion: bool,
    deletion: bool,
    #[serde(rename = "override")]
    overwrite: bool,
    enabled: bool,
    creation_time: Timestamp,
    update_time: Timestamp,
    /// Kilobits a second; 0 for no limit.
    speed: u32,
    copy_by_chunk: bool,
    single_active_replication: bool,
    /// Ours: whether another policy may bring back what this one sends away.
    bidirectional: bool,
    /// Ours: whether blobs go to the destination while they are pushed.
    tee: bool,
    /// Ours: whether manual and scheduled runs delete too, and how much at most.
    runs_delete: bool,
    max_deletions: Option<u32>,
    max_deletions_percent: Option<u8>,
    /// Ours: whether layers that registries need not hold are copied too.
    copy_foreign_layers: bool,
}

/// What starts a policy.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReplicationTrigger")]
struct TriggerShape {
    #[serde(rename = "type", default)]
    #[schemars(extend("enum" = ["manual", "scheduled", "event_based"]))]
    kind: String,
    #[serde(default)]
    trigger_settings: Option<TriggerSettings>,
}

/// When a scheduled policy runs: six fields.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReplicationTriggerSettings")]
struct TriggerSettings {
    #[serde(default)]
    #[schemars(example = "0 0 0 * * *")]
    cron: String,
}

impl From<Trigger> for TriggerShape {
    fn from(trigger: Trigger) -> Self {
        let kind = trigger.name().to_owned();
        let cron = match trigger {
            Trigger::Scheduled { cron } => cron,
            Trigger::Manual | Trigger::EventBased => String::new(),
        };
        Self {
            kind,
            trigger_settings: Some(TriggerSettings { cron }),
        }
    }
}

/// The registries that policies refer to, fetched once for a list.
struct Registries<'a> {
    api: &'a Api,
    known: BTreeMap<RegistryId, Registry>,
}

impl<'a> Registries<'a> {
    async fn load(api: &'a Api) -> Result<Self, Error> {
        let all = api.replication.registries(&Listing::default()).await?;
        let known = all.items.into_iter();
        let known = known.map(|registry| (registry.id, registry)).collect();
        Ok(Self { api, known })
    }

    fn shape(&self, id: RegistryId) -> RegistryShape {
        match self.known.get(&id) {
            Some(registry) => registry.clone().into(),
            None => RegistryShape::local(self.api),
        }
    }

    fn policy(&self, policy: Policy) -> PolicyShape {
        let spec = policy.spec;
        PolicyShape {
            id: policy.id.0,
            name: spec.name,
            description: spec.description,
            src_registry: self.shape(spec.source),
            dest_registry: self.shape(spec.destination),
            dest_namespace: spec.namespace.path,
            dest_namespace_replace_count: spec.namespace.replace.count(),
            trigger: spec.trigger.into(),
            filters: spec.filters.into_iter().map(RawFilter::from).collect(),
            replicate_deletion: spec.deletion,
            deletion: spec.deletion,
            overwrite: spec.overwrite,
            enabled: spec.enabled,
            creation_time: policy.created,
            update_time: policy.updated,
            speed: spec.speed_kbps.unwrap_or_default(),
            copy_by_chunk: spec.copy_by_chunk,
            single_active_replication: spec.single_active,
            bidirectional: spec.bidirectional,
            tee: spec.tee,
            runs_delete: spec.runs_delete,
            max_deletions: spec.deletion_limit.count,
            max_deletions_percent: spec.deletion_limit.percent,
            copy_foreign_layers: spec.copy_foreign_layers,
        }
    }
}

async fn list(
    State(api): State<Shared>,
    caller: Caller,
    query: ListQuery,
) -> Result<Listed<PolicyShape>, Error> {
    api.system(&caller, Resource::ReplicationPolicy, Verb::List)?;
    let query = query.and_parameter("name", "name", Test::Contains);
    let page = api.replication.policies(query.listing()).await?;
    let registries = Registries::load(&api).await?;
    Ok(query.answer(page, |policy| registries.policy(policy)))
}

async fn read(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<PolicyShape>, Error> {
    api.system(&caller, Resource::ReplicationPolicy, Verb::Read)?;
    let policy = api.replication.policy(PolicyId(path.id("id")?)).await?;
    let registries = Registries::load(&api).await?;
    Ok(axum::Json(registries.policy(policy)))
}

/// What is to be copied where, and when.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ReplicationPolicy")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are the switches of Harbor's policy"
)]
pub(super) struct PolicyRequest {
    #[schemars(example = "to-mirror")]
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    #[schemars(example = json!({"id": 0}))]
    src_registry: Option<RegistryReference>,
    #[serde(default)]
    #[schemars(example = json!({"id": 1}))]
    dest_registry: Option<RegistryReference>,
    #[serde(default)]
    #[schemars(example = "")]
    dest_namespace: Option<String>,
    #[serde(default)]
    #[schemars(range(min = -1, max = 3))]
    dest_namespace_replace_count: Option<i8>,
    #[serde(default)]
    trigger: Option<TriggerShape>,
    #[serde(default)]
    filters: Option<Vec<RawFilter>>,
    /// Harbor reads this one only; its newer name counts when this is left out.
    #[serde(default)]
    deletion: Option<bool>,
    #[serde(default)]
    replicate_deletion: Option<bool>,
    #[serde(rename = "override", default)]
    overwrite: bool,
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    /// Kilobits a second; 0 and -1 for no limit.
    #[schemars(range(min = -1), example = 0)]
    speed: Option<i64>,
    #[serde(default)]
    copy_by_chunk: Option<bool>,
    #[serde(default)]
    single_active_replication: Option<bool>,
    #[serde(default)]
    bidirectional: bool,
    #[serde(default)]
    tee: Option<bool>,
    #[serde(default)]
    runs_delete: bool,
    #[serde(default)]
    max_deletions: Option<u32>,
    #[serde(default)]
    #[schemars(range(max = 100))]
    max_deletions_percent: Option<u8>,
    #[serde(default)]
    copy_foreign_layers: bool,
}

/// Of a `Registry` only the id counts; none or 0 is the registry behind this gateway.
#[derive(Debug, Deserialize, JsonSchema)]
struct RegistryReference {
    #[serde(default)]
    id: Option<i64>,
}

fn registry_id(reference: Option<RegistryReference>) -> RegistryId {
    let id = reference.and_then(|reference| reference.id);
    id.map_or(RegistryId::LOCAL, RegistryId)
}

impl TryFrom<PolicyRequest> for PolicySpec {
    type Error = Error;

    fn try_from(request: PolicyRequest) -> Result<Self, Error> {
        let replace = request.dest_namespace_replace_count.unwrap_or(-1);
        let replace = Replace::from_count(replace).ok_or_else(|| {
            Error::BadRequest("dest_namespace_replace_count must be -1 or more".into())
        })?;
        let deletion = request.deletion.or(request.replicate_deletion);
        Ok(Self {
            name: request.name,
            description: request.description.unwrap_or_default(),
            source: registry_id(request.src_registry),
            destination: registry_id(request.dest_registry),
            trigger: trigger(request.trigger.unwrap_or_default())?,
            filters: filters(request.filters.unwrap_or_default())?,
            namespace: Namespace {
                path: request.dest_namespace.unwrap_or_default(),
                replace,
            },
            deletion: deletion.unwrap_or_default(),
            overwrite: request.overwrite,
            enabled: request.enabled,
            speed_kbps: speed(request.speed.unwrap_or_default())?,
            copy_by_chunk: request.copy_by_chunk.unwrap_or_default(),
            single_active: request.single_active_replication.unwrap_or_default(),
            bidirectional: request.bidirectional,
            tee: request.tee.unwrap_or(true),
            runs_delete: request.runs_delete,
            deletion_limit: DeletionLimit {
                count: request.max_deletions,
                percent: request.max_deletions_percent,
            },
            copy_foreign_layers: request.copy_foreign_layers,
        })
    }
}

fn trigger(shape: TriggerShape) -> Result<Trigger, Error> {
    match shape.kind.as_str() {
        "" | "manual" => Ok(Trigger::Manual),
        "event_based" => Ok(Trigger::EventBased),
        "scheduled" => Ok(Trigger::Scheduled {
            cron: shape.trigger_settings.unwrap_or_default().cron,
        }),
        other => Err(Error::BadRequest(format!(
            "`{other}` is not a trigger: manual, scheduled or event_based"
        ))),
    }
}

/// Harbor's portal sends filters that were left empty; they filter nothing.
fn filters(raw: Vec<RawFilter>) -> Result<Vec<Filter>, Error> {
    let is_empty = |filter: &RawFilter| match &filter.value {
        serde_json::Value::Null => true,
        serde_json::Value::String(text) => text.is_empty(),
        serde_json::Value::Array(values) => values.is_empty(),
        _ => false,
    };
    let given = raw.into_iter().filter(|filter| !is_empty(filter));
    given
        .map(|filter| {
            let parsed = Filter::try_from(filter);
            parsed.map_err(|error| Error::BadRequest(format!("filters: {error}")))
        })
        .collect()
}

/// Kilobits a second; 0 and -1 are no limit.
fn speed(kilobits: i64) -> Result<Option<u32>, Error> {
    match kilobits {
        -1 | 0 => Ok(None),
        _ => u32::try_from(kilobits).map(Some).map_err(|_out_of_range| {
            Error::BadRequest("speed must be kilobits a second, or -1 for no limit".into())
        }),
    }
}

async fn create(
    State(api): State<Shared>,
    caller: Caller,
    Json(request): Json<PolicyRequest>,
) -> Result<Created, Error> {
    api.system(&caller, Resource::ReplicationPolicy, Verb::Create)?;
    let spec = PolicySpec::try_from(request)?;
    let id = api.replication.create_policy(&spec).await?;
    let description = format!("created the replication policy {}", spec.name);
    record(&api, &caller, Operation::Create, &spec.name, description);
    Ok(Created::at("/replication/policies", id))
}

async fn update(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(request): Json<PolicyRequest>,
) -> Result<(), Error> {
    api.system(&caller, Resource::ReplicationPolicy, Verb::Update)?;
    let spec = PolicySpec::try_from(request)?;
    let id = PolicyId(path.id("id")?);
    api.replication.update_policy(id, &spec).await?;
    let description = format!("changed the replication policy {}", spec.name);
    record(&api, &caller, Operation::Update, &spec.name, description);
    Ok(())
}

async fn delete(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<(), Error> {
    api.system(&caller, Resource::ReplicationPolicy, Verb::Delete)?;
    let policy = api.replication.policy(PolicyId(path.id("id")?)).await?;
    api.replication.delete_policy(policy.id).await?;
    let name = &policy.spec.name;
    let description = format!("deleted the replication policy {name}");
    record(&api, &caller, Operation::Delete, name, description);
    Ok(())
}

fn record(api: &Api, caller: &Caller, operation: Operation, name: &str, description: String) {
    let act = Act {
        operation,
        resource_type: "replication_policy",
        resource: name,
        project: None,
        description,
    };
    api.record(caller, &act);
}
