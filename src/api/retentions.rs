//! Tag `Retention`: the policy of a project, its runs and what they decided.

use std::collections::BTreeMap;

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Api, Shared,
    act::Act,
    answer::{Created, PlainText},
    caller::Caller,
    error::Error,
    json::Json,
    openapi::Routes,
    paging::{ListQuery, Listed},
    path::PathParameters,
    path::ProjectReference,
};
use crate::{
    audit::Operation,
    auth::{ProjectId, Resource, Verb, projects::Project},
    clock::Timestamp,
    oci::Selector,
    retention::{
        self, Execution, ExecutionId, MAX_RULES, Mode, Policy, PolicyId, PolicySpec, RuleSpec,
        Task, TaskId, Template,
    },
};

pub(super) fn routes() -> Routes {
    let one = "/retentions/{id}";
    let runs = "/retentions/{id}/executions";
    let run = "/retentions/{id}/executions/{eid}";
    let policy = Routes::new("Retention")
        .get("/retentions/metadatas", "What rules can say", vocabulary)
        .signed_in()
        .post("/retentions", "Create the policy of a project", create)
        .by_case("who may make retention policies in the project that `scope` names")
        .get(one, "Read a policy", read)
        .needs_at_home(Resource::TagRetention, Verb::Read)
        .put(one, "Change a policy", update)
        .needs_at_home(Resource::TagRetention, Verb::Update)
        .delete(one, "Delete a policy", delete)
        .needs_at_home(Resource::TagRetention, Verb::Delete);
    let runs = Routes::new("Retention")
        .get(runs, "List runs of a policy", executions)
        .needs_at_home(Resource::TagRetention, Verb::List)
        .post(runs, "Run a policy", start)
        .needs_at_home(Resource::TagRetention, Verb::Operate)
        .patch(run, "Stop a run", stop)
        .needs_at_home(Resource::TagRetention, Verb::Operate)
        .get(&format!("{run}/tasks"), "List the tasks of a run", tasks)
        .needs_at_home(Resource::TagRetention, Verb::List)
        .get(
            &format!("{run}/tasks/{{tid}}"),
            "What became of each tag",
            log,
        )
        .needs_at_home(Resource::TagRetention, Verb::Read);
    policy.merge(runs)
}

/// Which tags of a project are kept, and when the others go.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RetentionPolicy")]
struct PolicyShape {
    #[serde(default)]
    id: i64,
    #[serde(default = "or_word")]
    #[schemars(extend("enum" = [ALGORITHM]))]
    algorithm: String,
    #[serde(default)]
    #[schemars(length(max = MAX_RULES))]
    rules: Option<Vec<RuleSpec>>,
    #[serde(default)]
    trigger: Option<TriggerShape>,
    scope: ScopeShape,
}

/// When a policy runs.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RetentionRuleTrigger")]
struct TriggerShape {
    #[serde(default)]
    #[schemars(extend("enum" = ["", TRIGGER]))]
    kind: String,
    #[serde(default)]
    #[schemars(example = json!({"cron": "0 0 0 * * *"}))]
    settings: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    references: Option<Value>,
}

/// The project that a policy is of.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RetentionPolicyScope")]
struct ScopeShape {
    #[schemars(extend("enum" = [LEVEL]))]
    level: String,
    #[serde(rename = "ref")]
    reference: i64,
}

impl From<Policy> for PolicyShape {
    fn from(policy: Policy) -> Self {
        let spec = policy.spec;
        Self {
            id: policy.id.0,
            algorithm: ALGORITHM.to_owned(),
            rules: Some(spec.rules),
            trigger: Some(TriggerShape {
                kind: TRIGGER.to_owned(),
                settings: Some(BTreeMap::from([("cron".to_owned(), spec.cron.into())])),
                references: Some(json!({})),
            }),
            scope: ScopeShape {
                level: LEVEL.to_owned(),
                reference: spec.project.0,
            },
        }
    }
}

impl PolicyShape {
    fn spec(self) -> Result<PolicySpec, Error> {
        if self.algorithm != ALGORITHM {
            return Err(Error::BadRequest(format!(
                "the algorithm must be `{ALGORITHM}`, not `{}`",
                self.algorithm
            )));
        }
        if self.scope.level != LEVEL {
            return Err(Error::BadRequest(format!(
                "the scope's level must be `{LEVEL}`, not `{}`",
                self.scope.level
            )));
        }
        Ok(PolicySpec {
            project: ProjectId(self.scope.reference),
            rules: self.rules.unwrap_or_default(),
            cron: self.trigger.map_or(Ok(String::new()), TriggerShape::cron)?,
        })
    }
}

impl TriggerShape {
    fn cron(self) -> Result<String, Error> {
        if !self.kind.is_empty() && self.kind != TRIGGER {
            return Err(Error::BadRequest(format!(
                "the trigger's kind must be `{TRIGGER}`, not `{}`",
                self.kind
            )));
        }
        match self.settings.unwrap_or_default().remove("cron") {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(cron)) => Ok(cron.trim().to_owned()),
            Some(other) => Err(Error::BadRequest(format!(
                "the trigger's cron must be a text, not {other}"
            ))),
        }
    }
}

/// A run of a policy.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RetentionExecution")]
struct ExecutionShape {
    id: i64,
    policy_id: i64,
    start_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<Timestamp>,
    status: String,
    trigger: String,
    dry_run: bool,
}

impl From<Execution> for ExecutionShape {
    fn from(execution: Execution) -> Self {
        Self {
            id: execution.id.0,
            policy_id: execution.policy_id.0,
            start_time: Timestamp::from_millis(execution.started_ms),
            end_time: execution.ended_ms.map(Timestamp::from_millis),
            status: execution.status,
            trigger: execution.trigger_kind,
            dry_run: execution.dry_run,
        }
    }
}

/// What a run did with one repository.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RetentionExecutionTask")]
struct TaskShape {
    id: i64,
    execution_id: i64,
    repository: String,
    job_id: String,
    status: String,
    status_code: i64,
    start_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<Timestamp>,
    total: i64,
    retained: i64,
}

impl From<Task> for TaskShape {
    fn from(task: Task) -> Self {
        Self {
            id: task.id.0,
            execution_id: task.execution_id.0,
            repository: task.repository,
            job_id: task.job_id.to_string(),
            // Harbor's ranks: under way, over.
            status_code: if task.status == "Running" { 2 } else { 3 },
            status: task.status,
            start_time: Timestamp::from_millis(task.started_ms),
            end_time: task.ended_ms.map(Timestamp::from_millis),
            total: task.total,
            retained: task.retained,
        }
    }
}

/// What rules can say.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RetentionMetadata")]
struct Vocabulary {
    templates: [TemplateShape; Template::ALL.len()],
    scope_selectors: [SelectorWords; 1],
    tag_selectors: [SelectorWords; 1],
}

/// A template of rules.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RetentionRuleMetadata")]
struct TemplateShape {
    rule_template: &'static str,
    display_text: &'static str,
    action: &'static str,
    params: Vec<ParameterShape>,
}

/// A number that a template takes.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RetentionRuleParamMetadata")]
struct ParameterShape {
    r#type: &'static str,
    unit: &'static str,
    required: bool,
}

/// What selectors are made of.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RetentionSelectorMetadata")]
struct SelectorWords {
    display_text: &'static str,
    kind: &'static str,
    decorations: [&'static str; 2],
}

impl From<Template> for TemplateShape {
    fn from(template: Template) -> Self {
        let parameter = template.unit().map(|unit| ParameterShape {
            r#type: "int",
            unit,
            required: true,
        });
        Self {
            rule_template: template.name(),
            display_text: template.text(),
            action: "retain",
            params: parameter.into_iter().collect(),
        }
    }
}

async fn vocabulary(caller: Caller) -> Result<axum::Json<Vocabulary>, Error> {
    caller.signed_in()?;
    let selector = |display_text, decorations| {
        let kind = Selector::KIND;
        [SelectorWords {
            display_text,
            kind,
            decorations,
        }]
    };
    Ok(axum::Json(Vocabulary {
        templates: Template::ALL.map(TemplateShape::from),
        scope_selectors: selector("Repositories", Selector::REPOSITORY_WORDS),
        tag_selectors: selector("Tags", Selector::TAG_WORDS),
    }))
}

async fn create(
    State(api): State<Shared>,
    caller: Caller,
    Json(shape): Json<PolicyShape>,
) -> Result<Created, Error> {
    let project = ProjectId(shape.scope.reference);
    let project = permitted(&api, &caller, project, Verb::Create).await?;
    let id = api.retention.create_policy(&shape.spec()?).await?;
    let description = format!("created the retention policy of project {}", project.name);
    record(
        &api,
        &caller,
        (Operation::Create, id, &project),
        description,
    );
    Ok(Created::at("/retentions", id))
}

async fn read(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<PolicyShape>, Error> {
    let (policy, _) = found(&api, &caller, &path, Verb::Read).await?;
    Ok(axum::Json(policy.into()))
}

async fn update(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(shape): Json<PolicyShape>,
) -> Result<(), Error> {
    let (policy, project) = found(&api, &caller, &path, Verb::Update).await?;
    let spec = shape.spec()?;
    if spec.project != policy.spec.project {
        return Err(Error::BadRequest(format!(
            "the policy is that of project {}; its scope cannot be changed to {}",
            policy.spec.project, spec.project
        )));
    }
    api.retention.update_policy(policy.id, &spec).await?;
    let description = format!("changed the retention policy of project {}", project.name);
    record(
        &api,
        &caller,
        (Operation::Update, policy.id, &project),
        description,
    );
    Ok(())
}

async fn delete(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<(), Error> {
    let (policy, project) = found(&api, &caller, &path, Verb::Delete).await?;
    api.retention.delete_policy(policy.id).await?;
    let description = format!("deleted the retention policy of project {}", project.name);
    record(
        &api,
        &caller,
        (Operation::Delete, policy.id, &project),
        description,
    );
    Ok(())
}

/// What a run is to do.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "RetentionRun")]
struct Start {
    #[serde(default)]
    dry_run: bool,
}

async fn start(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(start): Json<Start>,
) -> Result<Created, Error> {
    let (policy, project) = found(&api, &caller, &path, Verb::Operate).await?;
    let (mode, how) = if start.dry_run {
        (Mode::Dry, "dry")
    } else {
        (Mode::Real, "really")
    };
    let id = api.retention.run_policy(policy.id, mode).await?;
    let description = format!(
        "ran the retention policy of project {} ({how})",
        project.name
    );
    record(
        &api,
        &caller,
        (Operation::Create, policy.id, &project),
        description,
    );
    Ok(Created::at(
        &format!("/retentions/{}/executions", policy.id),
        id,
    ))
}

async fn executions(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    query: ListQuery,
) -> Result<Listed<ExecutionShape>, Error> {
    let (policy, _) = found(&api, &caller, &path, Verb::List).await?;
    let page = api.retention.executions(policy.id, query.listing()).await?;
    Ok(query.answer(page, ExecutionShape::from))
}

/// What is to be done with a run.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "RetentionAction")]
struct Action {
    #[schemars(extend("enum" = ["stop"]))]
    action: String,
}

async fn stop(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(action): Json<Action>,
) -> Result<(), Error> {
    let (policy, project) = found(&api, &caller, &path, Verb::Operate).await?;
    if action.action != "stop" {
        return Err(Error::BadRequest(format!(
            "the action must be `stop`, not `{}`",
            action.action
        )));
    }
    let id = ExecutionId(path.id("eid")?);
    api.retention.stop_execution(policy.id, id).await?;
    let description = format!("stopped the retention run {id} of project {}", project.name);
    record(
        &api,
        &caller,
        (Operation::Update, policy.id, &project),
        description,
    );
    Ok(())
}

async fn tasks(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    query: ListQuery,
) -> Result<Listed<TaskShape>, Error> {
    let (policy, _) = found(&api, &caller, &path, Verb::List).await?;
    let execution = ExecutionId(path.id("eid")?);
    let page = api
        .retention
        .tasks(policy.id, execution, query.listing())
        .await?;
    Ok(query.answer(page, TaskShape::from))
}

async fn log(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<PlainText, Error> {
    let (policy, _) = found(&api, &caller, &path, Verb::Read).await?;
    let (execution, task) = (ExecutionId(path.id("eid")?), TaskId(path.id("tid")?));
    let text = api.retention.task_log(policy.id, execution, task).await?;
    Ok(PlainText::new(text))
}

/// The policy of the path, if the caller may do this in its project.
async fn found(
    api: &Api,
    caller: &Caller,
    path: &PathParameters,
    verb: Verb,
) -> Result<(Policy, Project), Error> {
    caller.signed_in()?;
    let policy = api.retention.policy(PolicyId(path.id("id")?)).await?;
    let project = permitted(api, caller, policy.spec.project, verb).await?;
    Ok((policy, project))
}

async fn permitted(
    api: &Api,
    caller: &Caller,
    project: ProjectId,
    verb: Verb,
) -> Result<Project, Error> {
    let may = (Resource::TagRetention, verb);
    api.project_of(caller, ProjectReference::Id(project.0), may)
        .await
}

fn record(
    api: &Api,
    caller: &Caller,
    (operation, id, project): (Operation, PolicyId, &Project),
    description: String,
) {
    let act = Act {
        operation,
        resource_type: "tag_retention",
        resource: &id.to_string(),
        project: Some(&project.name),
        description,
    };
    api.record(caller, &act);
}

impl From<retention::Error> for Error {
    fn from(error: retention::Error) -> Self {
        use retention::Kind;
        let message = error.to_string();
        match (error.kind(), error) {
            (Kind::NotFound, _) => Self::NotFound(message),
            (Kind::Conflict, _) => Self::Conflict(message),
            (_, retention::Error::Store(error)) => error.into(),
            (Kind::Invalid, _) => Self::BadRequest(message),
            (Kind::Unavailable, error) => Self::Unavailable(error.into()),
            (Kind::Internal, error) => Self::internal(error),
        }
    }
}

fn or_word() -> String {
    ALGORITHM.to_owned()
}

/// Whatever one rule keeps is kept.
const ALGORITHM: &str = "or";
const TRIGGER: &str = "Schedule";
const LEVEL: &str = "project";
