use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;

use crate::{
    api::{
        Shared,
        caller::Caller,
        error::Error,
        openapi::{Answer, Routes, Success},
        path::PathParameters,
    },
    auth::{Resource, Verb},
    inventory::{Addition, AdditionKind},
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
) -> Result<Shown, Error> {
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
    Ok(Shown(api.inventory.addition(&artifact, kind).await?))
}

struct Shown(Addition);

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, self.0.content_type),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        (headers, self.0.content).into_response()
    }
}

impl Answer for Shown {
    fn success() -> Success {
        Success::other(&["application/json", "text/plain"])
    }
}
