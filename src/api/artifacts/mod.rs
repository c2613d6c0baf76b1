//! Tag `artifact`: manifests, their tags, what is attached to them. `shape.rs` is what an
//! artifact looks like, `tags.rs` and `additions.rs` are what lies below one.

mod additions;
mod shape;
mod tags;

use axum::extract::State;
use http::Uri;

use super::{
    Api, Shared,
    act::Act,
    answer::Created,
    caller::Caller,
    error::Error,
    openapi::Routes,
    paging::{self, ListQuery, Listed},
    path::PathParameters,
};
use crate::{
    audit::Operation,
    auth::{Resource, Verb},
    inventory::{Artifact, Scope},
    oci::{Reference, RepositoryName},
    store::Page,
};

use shape::{AccessoryShape, ArtifactShape, With};

pub(super) fn routes() -> Routes {
    let all = "/projects/{project_name}/repositories/{repository_name}/artifacts";
    let one = "/projects/{project_name}/repositories/{repository_name}/artifacts/{reference}";
    Routes::new("artifact")
        .get(all, "List artifacts of a repository", list)
        .needs_in_project(Resource::Artifact, Verb::List)
        .post(all, "Copy an artifact", copy)
        .requires(&["from"])
        .needs_in_project(Resource::Artifact, Verb::Create)
        .get(one, "Read an artifact", read)
        .needs_in_project(Resource::Artifact, Verb::Read)
        .delete(one, "Delete an artifact", delete)
        .needs_in_project(Resource::Artifact, Verb::Delete)
        .get(
            "/projects/{project_name_or_id}/artifacts",
            "List artifacts of a project",
            list_project,
        )
        .needs_in_project(Resource::Artifact, Verb::List)
        .get(
            &format!("{one}/accessories"),
            "List what is attached to an artifact",
            accessories,
        )
        .needs_in_project(Resource::Accessory, Verb::List)
        .merge(tags::routes())
        .merge(additions::routes())
}

async fn list(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    query: ListQuery,
) -> Result<Listed<ArtifactShape>, Error> {
    let may = (Resource::Artifact, Verb::List);
    let (_, name) = api.repository(&caller, &path, may).await?;
    let with = With::asked(|flag| query.flag(flag))?;
    let repository = api.inventory.repository(&name).await?;
    answer(&api, Scope::Repository(repository.id), (query, with)).await
}

async fn list_project(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    query: ListQuery,
) -> Result<Listed<ArtifactShape>, Error> {
    let may = (Resource::Artifact, Verb::List);
    let project = api.project(&caller, &path, may).await?;
    let with = With::asked(|flag| query.flag(flag))?;
    let scope = if query.flag("latest_in_repository")?.unwrap_or(false) {
        Scope::LatestOf(project.id)
    } else {
        Scope::Project(project.id)
    };
    answer(&api, scope, (query, with)).await
}

async fn answer(
    api: &Api,
    scope: Scope,
    (query, with): (ListQuery, With),
) -> Result<Listed<ArtifactShape>, Error> {
    let page = api.inventory.artifacts(scope, query.listing()).await?;
    let last = page.items.last().map(|artifact| artifact.id.0);
    let items = shape::shapes(api, page.items, with).await?;
    let total = page.total;
    Ok(query.answer_from(last, Page { items, total }, |shape| shape))
}

async fn read(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    uri: Uri,
) -> Result<axum::Json<ArtifactShape>, Error> {
    let may = (Resource::Artifact, Verb::Read);
    let (_, artifact) = api.artifact(&caller, &path, may).await?;
    let parameters = paging::parameters(&uri);
    let with = With::asked(|flag| {
        let value = paging::find(&parameters, flag);
        value.map(|text| paging::flag(flag, text)).transpose()
    })?;
    let shapes = shape::shapes(&api, vec![artifact], with).await?;
    let shape = shapes.into_iter().next();
    let shape = shape.ok_or_else(|| Error::internal("an artifact has no shape"))?;
    Ok(axum::Json(shape))
}

async fn delete(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<(), Error> {
    let may = (Resource::Artifact, Verb::Delete);
    let (_, artifact) = api.artifact(&caller, &path, may).await?;
    let parents = api.inventory.parents_of(&artifact).await?;
    if let Some(parent) = parents.first() {
        return Err(Error::Precondition(format!(
            "{} is a part of {parent}; delete that first",
            artifact.digest
        )));
    }
    api.editor(&caller).delete_artifact(&artifact).await?;
    Ok(())
}

/// Copies `from=project/repository:tag` or `…@digest` into the repository in the path.
async fn copy(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    uri: Uri,
) -> Result<Created, Error> {
    let may = (Resource::Artifact, Verb::Create);
    let (project, to) = api.repository(&caller, &path, may).await?;
    let parameters = paging::parameters(&uri);
    let (from, reference) = source(paging::required(&parameters, "from")?)?;
    let pulls = api
        .auth
        .repository_actions(&caller.principal, &from)
        .await?;
    if !pulls.contains(crate::oci::ActionSet::PULL) {
        return Err(caller.refusal());
    }
    let artifact = api.inventory.artifact(&from, &reference).await?;
    let tag = match &reference {
        Reference::Tag(tag) => Some(tag),
        Reference::Digest(_) => None,
    };
    api.editor(&caller).copy(&artifact, &to, tag).await?;
    let act = Act {
        operation: Operation::Create,
        resource_type: "artifact",
        resource: &format!("{to}@{}", artifact.digest),
        project: Some(&project.name),
        description: format!("copied {from} {reference} to {to}"),
    };
    api.record(&caller, &act);
    let path = format!("{}/artifacts", api_path(&to));
    Ok(Created::at(&path, &artifact.digest))
}

/// A repository and a reference in one text.
fn source(text: &str) -> Result<(RepositoryName, Reference), Error> {
    let malformed = || {
        Error::BadRequest(format!(
            "from must be project/repository:tag or project/repository@digest, not `{text}`"
        ))
    };
    let (name, reference) = text
        .split_once('@')
        .or_else(|| text.rsplit_once(':'))
        .ok_or_else(malformed)?;
    let name = name.parse().map_err(|_invalid| malformed())?;
    let reference = reference.parse().map_err(|_invalid| malformed())?;
    Ok((name, reference))
}

async fn accessories(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    query: ListQuery,
) -> Result<Listed<AccessoryShape>, Error> {
    let may = (Resource::Accessory, Verb::List);
    let (_, subject) = api.artifact(&caller, &path, may).await?;
    let page = api.inventory.accessories(&subject, query.listing()).await?;
    Ok(query.answer(page, |accessory| shape::accessory(&subject, accessory)))
}

impl Api {
    /// The artifact in the path, if the caller may do this in its project.
    pub(super) async fn artifact(
        &self,
        caller: &Caller,
        path: &PathParameters,
        may: (Resource, Verb),
    ) -> Result<(RepositoryName, Artifact), Error> {
        let (_, name) = self.repository(caller, path, may).await?;
        let reference = path.text("reference");
        let reference = reference.parse().map_err(|_invalid| {
            Error::BadRequest(format!("`{reference}` is neither a tag nor a digest"))
        })?;
        let artifact = self.inventory.artifact(&name, &reference).await?;
        Ok((name, artifact))
    }
}

/// The path of a repository below the API's root; the slashes of its name are encoded twice.
fn api_path(name: &RepositoryName) -> String {
    let project = name.project().unwrap_or_default();
    let within = name.within_project();
    format!(
        "/projects/{project}/repositories/{}",
        within.replace('/', "%252F")
    )
}
