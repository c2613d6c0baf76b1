use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{api_path, shape::TagShape};
use crate::{
    api::{
        Shared,
        answer::Created,
        caller::Caller,
        error::Error,
        json::Json,
        openapi::Routes,
        paging::{ListQuery, Listed},
        path::PathParameters,
    },
    auth::{Resource, Verb},
    inventory,
    oci::{Reference, Tag},
};

pub(super) fn routes() -> Routes {
    let all = "/projects/{project_name}/repositories/{repository_name}/artifacts/{reference}/tags";
    Routes::new("artifact")
        .get(all, "List the tags of an artifact", list)
        .needs_in_project(Resource::Tag, Verb::List)
        .post(all, "Tag an artifact", create)
        .needs_in_project(Resource::Tag, Verb::Create)
        .delete(&format!("{all}/{{tag_name}}"), "Delete a tag", delete)
        .needs_in_project(Resource::Tag, Verb::Delete)
}

async fn list(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    query: ListQuery,
) -> Result<Listed<TagShape>, Error> {
    let may = (Resource::Tag, Verb::List);
    let (name, artifact) = api.artifact(&caller, &path, may).await?;
    let rules = api.auth.immutable(&name).await?;
    let page = api.inventory.tags(artifact.id, query.listing()).await?;
    let last = page.items.last().map(|tag| tag.id.0);
    Ok(query.answer_from(last, page, |tag| TagShape::new(tag, Some(&rules))))
}

/// A tag to be made, of which only the name counts.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Tag")]
struct NewTag {
    #[schemars(example = &"v2")]
    name: String,
}

async fn create(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(tag): Json<NewTag>,
) -> Result<Created, Error> {
    let may = (Resource::Tag, Verb::Create);
    let (name, artifact) = api.artifact(&caller, &path, may).await?;
    let tag: Tag = tag.name.parse().map_err(|_invalid| {
        Error::BadRequest(format!("`{}` is not a name that a tag may have", tag.name))
    })?;
    let reference = Reference::Tag(tag.clone());
    match api.inventory.artifact(&name, &reference).await {
        Ok(_) => return Err(Error::Conflict(format!("tag {tag} already exists"))),
        Err(error) if error.kind() == inventory::Kind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    api.editor(&caller).tag(&artifact, &tag).await?;
    let path = format!("{}/artifacts/{}/tags", api_path(&name), artifact.digest);
    Ok(Created::at(&path, &tag))
}

async fn delete(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<(), Error> {
    let may = (Resource::Tag, Verb::Delete);
    let (name, artifact) = api.artifact(&caller, &path, may).await?;
    let text = path.text("tag_name");
    let missing = || Error::not_found("tag", format!("{text} of {}", artifact.digest));
    let tag: Tag = text.parse().map_err(|_invalid| missing())?;
    let reference = Reference::Tag(tag.clone());
    let tagged = api.inventory.artifact(&name, &reference).await?;
    if tagged.id != artifact.id {
        return Err(missing());
    }
    api.editor(&caller).delete_tag(&name, &tag).await?;
    Ok(())
}
