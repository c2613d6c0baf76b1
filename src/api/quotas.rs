//! Tag `quota`: what projects may hold, and what they hold.

use std::collections::BTreeMap;

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Shared,
    act::Act,
    caller::Caller,
    error::Error,
    json::Json,
    openapi::Routes,
    paging::{ListQuery, Listed},
    path::PathParameters,
};
use crate::{
    audit::Operation,
    auth::{ProjectId, Resource, Verb},
    clock::Timestamp,
    quota::{self, ProjectQuota},
    store::{Page, Test},
};

pub(super) fn routes() -> Routes {
    let one = "/quotas/{id}";
    Routes::new("quota")
        .get("/quotas", "List the storage limits of projects", list)
        .needs(Resource::Quota, Verb::List)
        .get(one, "Read the storage limit of a project", read)
        .needs(Resource::Quota, Verb::Read)
        .put(one, "Change the storage limit of a project", update)
        .needs(Resource::Quota, Verb::Update)
}

/// What a project may hold, and what it holds. Its id is the project's.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Quota")]
struct QuotaShape {
    id: i64,
    #[serde(rename = "ref")]
    reference: Reference,
    hard: Storage,
    used: Storage,
    creation_time: Timestamp,
    update_time: Timestamp,
}

/// The project that a quota is of.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "QuotaRefObject")]
struct Reference {
    id: i64,
    name: String,
    owner_name: String,
}

/// Bytes; -1 is unlimited.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ResourceList")]
pub(super) struct Storage {
    pub(super) storage: i64,
}

impl From<ProjectQuota> for QuotaShape {
    fn from(quota: ProjectQuota) -> Self {
        Self {
            id: quota.id.0,
            reference: Reference {
                id: quota.id.0,
                name: quota.name,
                owner_name: quota.owner_name,
            },
            hard: Storage {
                storage: quota.hard_bytes,
            },
            used: Storage {
                storage: quota.used_bytes,
            },
            creation_time: Timestamp::from_millis(quota.created_ms),
            update_time: Timestamp::from_millis(quota.updated_ms),
        }
    }
}

async fn list(
    State(api): State<Shared>,
    caller: Caller,
    query: ListQuery,
) -> Result<Listed<QuotaShape>, Error> {
    api.system(&caller, Resource::Quota, Verb::List)?;
    if query
        .parameter("reference")
        .is_some_and(|kind| kind != PROJECT)
    {
        // Nothing else has a quota.
        let (items, total) = (Vec::<ProjectQuota>::new(), 0);
        return Ok(query.answer(Page { items, total }, QuotaShape::from));
    }
    let query = query.and_parameter("reference_id", "reference_id", Test::Equals);
    let page = api.quota.quotas(query.listing()).await?;
    Ok(query.answer(page, QuotaShape::from))
}

async fn read(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<QuotaShape>, Error> {
    api.system(&caller, Resource::Quota, Verb::Read)?;
    let quota = api.quota.quota(ProjectId(path.id("id")?)).await?;
    Ok(axum::Json(QuotaShape::from(quota)))
}

/// What a project may hold from now on: bytes of `storage`; -1 is unlimited.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "QuotaUpdateReq", extend("required" = ["hard"]))]
struct QuotaChange {
    #[serde(default)]
    #[schemars(example = json!({STORAGE: -1}))]
    hard: BTreeMap<String, i64>,
}

impl QuotaChange {
    /// The bytes of its only resource.
    fn storage(&self) -> Result<i64, Error> {
        if let Some(other) = self.hard.keys().find(|name| *name != STORAGE) {
            return Err(Error::BadRequest(format!(
                "resource {other} has no quota; set hard.{STORAGE}"
            )));
        }
        let bytes = self.hard.get(STORAGE).copied();
        bytes.ok_or_else(|| Error::BadRequest(format!("hard.{STORAGE} is required in the body")))
    }
}

async fn update(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(change): Json<QuotaChange>,
) -> Result<(), Error> {
    api.system(&caller, Resource::Quota, Verb::Update)?;
    let quota = api.quota.quota(ProjectId(path.id("id")?)).await?;
    let bytes = change.storage()?;
    api.auth.set_storage_limit(quota.id, bytes).await?;
    let act = Act {
        operation: Operation::Update,
        resource_type: PROJECT,
        resource: &quota.name,
        project: Some(&quota.name),
        description: format!(
            "changed the storage limit of project {} to {bytes}",
            quota.name
        ),
    };
    api.record(&caller, &act);
    Ok(())
}

impl From<quota::Error> for Error {
    fn from(error: quota::Error) -> Self {
        use quota::Kind;
        match (error.kind(), error) {
            (_, quota::Error::Store(error)) => error.into(),
            (Kind::NotFound, error) => Self::NotFound(error.to_string()),
            (Kind::Exceeded, error) => Self::Forbidden(error.to_string()),
            (Kind::Invalid, error) => Self::BadRequest(error.to_string()),
            (Kind::Unavailable, error) => Self::Unavailable(error.into()),
            (Kind::Internal, error) => Self::internal(error),
        }
    }
}

/// What has a quota, and of what.
const PROJECT: &str = "project";
const STORAGE: &str = "storage";
