//! Tags `webhook` and `webhookjob`: who is told of what happens in a project, and how that went.

mod history;

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
    auth::{Resource, Verb, projects::Project},
    clock::Timestamp,
    secret::Secret,
    webhook::{
        self, EventType, NewTarget, NotifyType, PayloadFormat, Policy, PolicyId, PolicySpec, Target,
    },
};

pub(super) fn routes() -> Routes {
    let all = "/projects/{project_name_or_id}/webhook/policies";
    let one = "/projects/{project_name_or_id}/webhook/policies/{webhook_policy_id}";
    Routes::new("webhook")
        .get(all, "List webhook policies", list)
        .needs_in_project(Resource::NotificationPolicy, Verb::List)
        .post(all, "Make a webhook policy", create)
        .needs_in_project(Resource::NotificationPolicy, Verb::Create)
        .get(one, "Read a webhook policy", read)
        .needs_in_project(Resource::NotificationPolicy, Verb::Read)
        .put(one, "Change a webhook policy", update)
        .needs_in_project(Resource::NotificationPolicy, Verb::Update)
        .delete(one, "Delete a webhook policy", delete)
        .needs_in_project(Resource::NotificationPolicy, Verb::Delete)
        .get(
            "/projects/{project_name_or_id}/webhook/events",
            "Which events and targets there are",
            supported,
        )
        .needs_in_project(Resource::NotificationPolicy, Verb::Read)
        .merge(history::routes())
}

/// Who is told of which events of a project.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookPolicy")]
struct PolicyShape {
    id: i64,
    name: String,
    description: String,
    project_id: i64,
    targets: Vec<TargetShape>,
    event_types: Vec<&'static str>,
    creator: String,
    creation_time: Timestamp,
    update_time: Timestamp,
    enabled: bool,
}

/// Where events are sent, without its secrets.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookTargetObject")]
struct TargetShape {
    #[schemars(extend("enum" = ["http", "slack"]))]
    r#type: &'static str,
    address: String,
    skip_cert_verify: bool,
    #[schemars(extend("enum" = ["Default", "CloudEvents"]))]
    payload_format: &'static str,
    /// Ours: whether deliveries carry an `Authorization` header.
    has_auth_header: bool,
    /// Ours: whether they are signed.
    signed: bool,
}

impl From<Policy> for PolicyShape {
    fn from(policy: Policy) -> Self {
        Self {
            id: policy.id.0,
            project_id: policy.project.0,
            targets: policy.targets.into_iter().map(TargetShape::from).collect(),
            event_types: policy
                .event_types
                .into_iter()
                .map(EventType::name)
                .collect(),
            name: policy.name,
            description: policy.description,
            creator: policy.creator,
            creation_time: policy.created,
            update_time: policy.updated,
            enabled: policy.enabled,
        }
    }
}

impl From<Target> for TargetShape {
    fn from(target: Target) -> Self {
        Self {
            r#type: target.notify_type.name(),
            skip_cert_verify: target.skip_cert_verify,
            payload_format: target.format.name(),
            has_auth_header: target.has_auth_header(),
            signed: target.is_signed(),
            address: target.address,
        }
    }
}

/// Who is to be told of which events of a project.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "WebhookPolicy", extend("required" = ["name", "targets", "event_types"]))]
struct PolicyRequest {
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    targets: Option<Vec<TargetRequest>>,
    #[serde(default)]
    event_types: Option<Vec<String>>,
    #[serde(default)]
    enabled: bool,
}

/// Where events are to be sent. A secret that is left out stays for the same address, an empty one goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "WebhookTargetObject")]
struct TargetRequest {
    #[serde(default)]
    #[schemars(extend("enum" = ["http", "slack"]))]
    r#type: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    auth_header: Option<Secret>,
    /// Ours: `whsec_…`.
    #[serde(default)]
    secret: Option<Secret>,
    #[serde(default)]
    skip_cert_verify: bool,
    #[serde(default)]
    #[schemars(extend("enum" = ["Default", "CloudEvents"]))]
    payload_format: Option<String>,
}

impl From<PolicyRequest> for PolicySpec {
    fn from(request: PolicyRequest) -> Self {
        let targets = request.targets.unwrap_or_default().into_iter();
        Self {
            name: request.name,
            description: request.description.unwrap_or_default(),
            enabled: request.enabled,
            event_types: request.event_types.unwrap_or_default(),
            targets: targets
                .map(|target| NewTarget {
                    notify_type: target.r#type,
                    address: target.address,
                    format: target.payload_format.unwrap_or_default(),
                    skip_cert_verify: target.skip_cert_verify,
                    auth_header: target.auth_header,
                    secret: target.secret,
                })
                .collect(),
        }
    }
}

async fn list(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    query: ListQuery,
) -> Result<Listed<PolicyShape>, Error> {
    let project = permitted(&api, &caller, &path, Verb::List).await?;
    let page = api.webhooks.policies(project.id, query.listing()).await?;
    Ok(query.answer(page, PolicyShape::from))
}

async fn create(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(request): Json<PolicyRequest>,
) -> Result<Created, Error> {
    let project = permitted(&api, &caller, &path, Verb::Create).await?;
    let spec = PolicySpec::from(request);
    let creator = caller.principal.name();
    let made = api.webhooks.create_policy(project.id, creator, &spec);
    let id = made.await?;
    let description = format!("made the webhook policy {}", spec.name);
    record(
        &api,
        &caller,
        Operation::Create,
        &project,
        (&spec.name, description),
    );
    let all = format!("/projects/{}/webhook/policies", path.project());
    Ok(Created::at(&all, id))
}

async fn read(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<PolicyShape>, Error> {
    let project = permitted(&api, &caller, &path, Verb::Read).await?;
    let policy = api.webhooks.policy(project.id, policy_id(&path)?).await?;
    Ok(axum::Json(PolicyShape::from(policy)))
}

async fn update(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(request): Json<PolicyRequest>,
) -> Result<(), Error> {
    let project = permitted(&api, &caller, &path, Verb::Update).await?;
    let (id, spec) = (policy_id(&path)?, PolicySpec::from(request));
    api.webhooks.update_policy(project.id, id, &spec).await?;
    let description = format!("changed the webhook policy {}", spec.name);
    record(
        &api,
        &caller,
        Operation::Update,
        &project,
        (&spec.name, description),
    );
    Ok(())
}

async fn delete(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<(), Error> {
    let project = permitted(&api, &caller, &path, Verb::Delete).await?;
    let policy = api.webhooks.policy(project.id, policy_id(&path)?).await?;
    api.webhooks.delete_policy(project.id, policy.id).await?;
    let description = format!("deleted the webhook policy {}", policy.name);
    record(
        &api,
        &caller,
        Operation::Delete,
        &project,
        (&policy.name, description),
    );
    Ok(())
}

/// Which events and targets there are.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SupportedWebhookEventTypes")]
struct SupportedShape {
    event_type: [&'static str; EventType::ALL.len()],
    notify_type: [&'static str; NotifyType::ALL.len()],
    payload_formats: Vec<FormatsShape>,
}

/// The forms in which a kind of target can be sent events.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PayloadFormat")]
struct FormatsShape {
    notify_type: &'static str,
    formats: Vec<&'static str>,
}

async fn supported(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<SupportedShape>, Error> {
    permitted(&api, &caller, &path, Verb::Read).await?;
    let formats = |kind: NotifyType| FormatsShape {
        notify_type: kind.name(),
        formats: kind
            .formats()
            .iter()
            .copied()
            .map(PayloadFormat::name)
            .collect(),
    };
    let shape = SupportedShape {
        event_type: EventType::ALL.map(EventType::name),
        notify_type: NotifyType::ALL.map(NotifyType::name),
        // Harbor names only those that leave a choice.
        payload_formats: vec![formats(NotifyType::Http)],
    };
    Ok(axum::Json(shape))
}

/// The project in the path, if the caller may do this to its webhook policies.
async fn permitted(
    api: &Api,
    caller: &Caller,
    path: &PathParameters,
    verb: Verb,
) -> Result<Project, Error> {
    let may = (Resource::NotificationPolicy, verb);
    api.project(caller, path, may).await
}

fn policy_id(path: &PathParameters) -> Result<PolicyId, Error> {
    Ok(PolicyId(path.id("webhook_policy_id")?))
}

impl From<webhook::Error> for Error {
    fn from(error: webhook::Error) -> Self {
        let message = error.to_string();
        match (error.kind(), error) {
            (_, webhook::Error::Store(error)) => error.into(),
            (webhook::Kind::NotFound, _) => Self::NotFound(message),
            (webhook::Kind::Conflict, _) => Self::Conflict(message),
            (webhook::Kind::Invalid, _) => Self::BadRequest(message),
            (webhook::Kind::Unavailable, error) => Self::Unavailable(error.into()),
            (webhook::Kind::Internal, error) => Self::internal(error),
        }
    }
}

fn record(
    api: &Api,
    caller: &Caller,
    operation: Operation,
    project: &Project,
    (policy, description): (&str, String),
) {
    let act = Act {
        operation,
        resource_type: "webhook",
        resource: policy,
        project: Some(&project.name),
        description,
    };
    api.record(caller, &act);
}
