use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;

use crate::{
    api::{Shared, caller::Caller, error::Error, openapi::Routes, path::PathParameters},
    auth::{Resource, Verb},
    inventory::AdditionKind,
};

pub(super) fn routes() -> Routes {
    Routes::new("artifact")
        .get(
            "/projects/{project_name}/repositories/{repository_name}/artifacts/{reference}\
         /additions/{addition}",
            "Read what an artifact has beside its facts",
            read,
        )
        .needs_in_project(Resource::ArtifactAddition, Verb::Read)
}

async fn read(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<Response, Error> {
    let may = (Resource::ArtifactAddition, Verb::Read);
    let (_, artifact) = api.artifact(&caller, &path, may).await?;
    let name = path.text("addition");
    let kind = AdditionKind::named(name).filter(|kind| AdditionKind::of(&artifact).contains(kind));
    let Some(kind) = kind else {
        return Err(Error::BadRequest(format!(
            "an artifact of the type {} has no addition {name}",
            artifact.kind
        )));
    };
    let addition = api.inventory.addition(&artifact, kind).await?;
    let headers = [
        (header::CONTENT_TYPE, addition.content_type),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, addition.content).into_response())
}
