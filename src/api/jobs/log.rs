//! `GET /api/v1/jobs/{job_id}/log`: what the runs of a job wrote.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use futures_util::TryStreamExt;
use http::{Uri, header};

use crate::api::{Shared, caller::Caller, error::Error, paging, path::PathParameters};

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
    let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    if follow.transpose()? != Some(true) {
        return Ok((plain, api.jobs.log(id).await?).into_response());
    }
    let pieces = api.jobs.follow(id).await?;
    let pieces = pieces.inspect_err(move |error| {
        tracing::warn!(job.id = id.0, "the log can be followed no further: {error}");
    });
    Ok((plain, Body::from_stream(pieces)).into_response())
}
