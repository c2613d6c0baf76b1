//! `GET /api/v1/jobs/{job_id}/log`: what the runs of a job wrote.

use axum::{body::Body, extract::State, response::Response};
use futures_util::TryStreamExt;
use http::Uri;

use crate::api::{
    Shared, caller::Caller, error::Error, json::plain_text, paging, path::PathParameters,
};

/// The log so far; with `follow=true` all of it until the job is over.
pub(super) async fn log(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    uri: Uri,
) -> Result<Response, Error> {
    caller.administrator()?;
    let id = path.job()?;
    let parameters = paging::parameters(&uri);
    let follow = paging::find(&parameters, "follow").map(|text| paging::flag("follow", text));
    if follow.transpose()? != Some(true) {
        return Ok(plain_text(api.jobs.log(id).await?));
    }
    let pieces = api.jobs.follow(id).await?;
    let pieces = pieces.inspect_err(move |error| {
        tracing::warn!(job.id = id.0, "the log can be followed no further: {error}");
    });
    Ok(plain_text(Body::from_stream(pieces)))
}
