//! Tag `label`: labels of all projects and of one, and on artifacts.

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
    auth::{ProjectId, Resource, Verb},
    clock::Timestamp,
    inventory::{self, Artifact, Label, LabelId, LabelScope, NewLabel},
    oci::RepositoryName,
    replication::{self, ChangeKind, Origin},
    store::Test,
};

pub(super) fn routes() -> Routes {
    let of_artifact =
        "/projects/{project_name}/repositories/{repository_name}/artifacts/{reference}/labels";
    Routes::new("label")
        .get("/labels", "List labels", list)
        .needs_at_home(Resource::Label, Verb::List)
        .post("/labels", "Create a label", create)
        .needs_at_home(Resource::Label, Verb::Create)
        .get("/labels/{label_id}", "Read a label", read)
        .needs_at_home(Resource::Label, Verb::Read)
        .put("/labels/{label_id}", "Change a label", update)
        .needs_at_home(Resource::Label, Verb::Update)
        .delete("/labels/{label_id}", "Delete a label", delete)
        .needs_at_home(Resource::Label, Verb::Delete)
        .post(of_artifact, "Put a label on an artifact", attach)
        .needs_in_project(Resource::ArtifactLabel, Verb::Create)
        .delete(
            &format!("{of_artifact}/{{label_id}}"),
            "Take a label from an artifact",
            detach,
        )
        .needs_in_project(Resource::ArtifactLabel, Verb::Delete)
}

/// A label of all projects (`g`) or of one (`p`).
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Label")]
pub(super) struct LabelShape {
    id: i64,
    name: String,
    description: String,
    color: String,
    scope: String,
    project_id: i64,
    creation_time: Timestamp,
    update_time: Timestamp,
}

impl From<Label> for LabelShape {
    fn from(label: Label) -> Self {
        Self {
            id: label.id.0,
            name: label.name,
            description: label.description,
            color: label.color,
            scope: label.scope,
            project_id: label.project_id,
            creation_time: Timestamp::from_millis(label.created_ms),
            update_time: Timestamp::from_millis(label.updated_ms),
        }
    }
}

async fn list(
    State(api): State<Shared>,
    caller: Caller,
    query: ListQuery,
) -> Result<Listed<LabelShape>, Error> {
    let project = query.parameter("project_id").map(ToOwned::to_owned);
    let scope = scope(query.parameter("scope"), project.as_deref())?;
    match scope {
        LabelScope::Global => drop(caller.signed_in()?),
        LabelScope::Project(id) => api.of_label(&caller, id, Verb::List).await?,
    }
    let query = query.and_parameter("name", "name", Test::Contains);
    let page = api.inventory.labels(scope, query.listing()).await?;
    Ok(query.answer(page, LabelShape::from))
}

/// `g` and nothing else, or `p` with a project.
fn scope(scope: Option<&str>, project: Option<&str>) -> Result<LabelScope, Error> {
    let project = project.map(|text| {
        text.parse().map_err(|_no_number| {
            Error::Unprocessable(format!("project_id must be of type int64: `{text}`"))
        })
    });
    match (scope, project.transpose()?) {
        (Some("g"), _) => Ok(LabelScope::Global),
        (Some("p"), Some(id)) if id > 0 => Ok(LabelScope::Project(ProjectId(id))),
        (Some("p"), _) => Err(Error::BadRequest(
            "project_id is required with the scope p".into(),
        )),
        (other, _) => Err(Error::BadRequest(format!(
            "`{}` is not a scope: g for labels of all projects, p for those of one",
            other.unwrap_or_default()
        ))),
    }
}

/// A label as clients send it.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Label", extend("required" = ["name"]))]
struct LabelRequest {
    #[serde(default)]
    #[schemars(example = &"tested", length(max = NAME_CHARS))]
    name: String,
    #[serde(default)]
    #[schemars(length(max = DESCRIPTION_CHARS))]
    description: String,
    #[serde(default)]
    #[schemars(example = "#00FF00", length(max = COLOR_CHARS))]
    color: String,
    #[serde(default)]
    /// `g` for all projects, `p` for one.
    #[schemars(extend("enum" = ["g", "p"]))]
    scope: String,
    #[serde(default)]
    project_id: i64,
}

impl LabelRequest {
    fn check(&self) -> Result<(), Error> {
        let limits = [
            ("name", &self.name, NAME_CHARS),
            ("description", &self.description, DESCRIPTION_CHARS),
            ("color", &self.color, COLOR_CHARS),
        ];
        for (field, text, most) in limits {
            if text.chars().count() > most || text.contains('\0') {
                return Err(Error::BadRequest(format!(
                    "a label's {field} has at most {most} characters"
                )));
            }
        }
        if self.name.trim().is_empty() {
            return Err(Error::BadRequest("a label needs a name".into()));
        }
        Ok(())
    }
}

async fn create(
    State(api): State<Shared>,
    caller: Caller,
    Json(request): Json<LabelRequest>,
) -> Result<Created, Error> {
    caller.signed_in()?;
    let project = request.project_id.to_string();
    let scope = scope(Some(&request.scope), Some(&project))?;
    api.change_labels(&caller, scope, Verb::Create).await?;
    request.check()?;
    let label = NewLabel {
        name: request.name,
        description: request.description,
        color: request.color,
        scope,
    };
    let id = api.inventory.create_label(&label).await?;
    record(&api, &caller, Operation::Create, &label.name);
    Ok(Created::at("/labels", id))
}

async fn read(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<LabelShape>, Error> {
    let label = find(&api, &caller, &path).await?;
    if let LabelScope::Project(id) = label.scope() {
        api.of_label(&caller, id, Verb::Read).await?;
    }
    Ok(axum::Json(label.into()))
}

async fn update(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(request): Json<LabelRequest>,
) -> Result<(), Error> {
    let label = find(&api, &caller, &path).await?;
    api.change_labels(&caller, label.scope(), Verb::Update)
        .await?;
    request.check()?;
    let label = Label {
        name: request.name,
        description: request.description,
        color: request.color,
        ..label
    };
    api.inventory.update_label(&label).await?;
    record(&api, &caller, Operation::Update, &label.name);
    Ok(())
}

async fn delete(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<(), Error> {
    let label = find(&api, &caller, &path).await?;
    api.change_labels(&caller, label.scope(), Verb::Delete)
        .await?;
    api.inventory.delete_label(label.id).await?;
    record(&api, &caller, Operation::Delete, &label.name);
    Ok(())
}

/// Which label is meant: of a `Label` only the id counts.
#[derive(Debug, Deserialize, JsonSchema)]
struct LabelReference {
    id: i64,
}

async fn attach(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(request): Json<LabelReference>,
) -> Result<(), Error> {
    let may = (Resource::ArtifactLabel, Verb::Create);
    let labelled = api.artifact(&caller, &path, may).await?;
    let label = api.inventory.label(LabelId(request.id)).await?;
    let fits = match label.scope() {
        LabelScope::Global => true,
        LabelScope::Project(id) => id == labelled.1.project_id,
    };
    if !fits {
        return Err(Error::NotFound(format!(
            "label {} not found in this project",
            label.id
        )));
    }
    let attach = api.inventory.attach_label(labelled.1.id, label.id);
    api.relabel(&caller, &labelled, attach).await?;
    Ok(())
}

async fn detach(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<(), Error> {
    let may = (Resource::ArtifactLabel, Verb::Delete);
    let labelled = api.artifact(&caller, &path, may).await?;
    let label = LabelId(path.id("label_id")?);
    let detach = api.inventory.detach_label(labelled.1.id, label);
    api.relabel(&caller, &labelled, detach).await?;
    Ok(())
}

/// The label in the path, for whoever has signed in.
async fn find(api: &Api, caller: &Caller, path: &PathParameters) -> Result<Label, Error> {
    caller.signed_in()?;
    let id = LabelId(path.id("label_id")?);
    Ok(api.inventory.label(id).await?)
}

impl Api {
    /// May the caller do this with the labels of a project.
    async fn of_label(&self, caller: &Caller, id: ProjectId, verb: Verb) -> Result<(), Error> {
        let principal = &caller.principal;
        let permits = self.auth.permits(principal, id, Resource::Label, verb);
        if permits.await? {
            // System administrators are permitted everything, also what is not there.
            self.auth.project(id).await?;
            return Ok(());
        }
        Err(caller.refusal())
    }

    /// Changes the labels of an artifact. Policies that go by labels hear of it before, as of a
    /// push, so that none misses it.
    async fn relabel(
        &self,
        caller: &Caller,
        (repository, artifact): &(RepositoryName, Artifact),
        change: impl Future<Output = Result<(), inventory::Error>>,
    ) -> Result<(), Error> {
        if !self.replication.wants(repository) {
            return Ok(change.await?);
        }
        let (_, digest) = artifact.parsed()?;
        let tags = self
            .inventory
            .tags_of(std::slice::from_ref(artifact))
            .await?;
        let tags = tags.into_values().flatten();
        let event = replication::Change {
            repository: repository.clone(),
            kind: ChangeKind::Label {
                digest,
                tags: tags.filter_map(|tag| tag.name.parse().ok()).collect(),
            },
            actor: caller.principal.name().to_owned(),
            origin: Origin::default().heard(self.clock.now()),
        };
        let intent = self.replication.intend(&event).await?;
        if let Err(error) = change.await {
            self.replication.withdraw(intent).await?;
            return Err(error.into());
        }
        // It has happened; what cannot be settled now is settled later.
        if let Err(error) = self.replication.confirm(intent, &[]).await {
            tracing::warn!("a label's change waits for the resolver: {error}");
        }
        Ok(())
    }

    async fn change_labels(
        &self,
        caller: &Caller,
        scope: LabelScope,
        verb: Verb,
    ) -> Result<(), Error> {
        match scope {
            LabelScope::Global => self.system(caller, Resource::Label, verb),
            LabelScope::Project(id) => self.of_label(caller, id, verb).await,
        }
    }
}

fn record(api: &Api, caller: &Caller, operation: Operation, name: &str) {
    let act = Act {
        operation,
        resource_type: "label",
        resource: name,
        project: None,
        description: format!("did {} the label {name}", operation.as_str()),
    };
    api.record(caller, &act);
}

/// Harbor's columns.
const NAME_CHARS: usize = 128;
const COLOR_CHARS: usize = 16;
const DESCRIPTION_CHARS: usize = 4096;
