//! `GET /api/v1/jobs/{job_id}/log`: what the runs of a job wrote.

use axum::{body::Body, extract::State};
use futures_util::TryStreamExt;
use http::Uri;

use crate::api::{
    Shared, answer::PlainText, caller::Caller, error::Error, paging, path::PathParameters,
};

/// The log so far; with `follow=true` all of it until the job is over.
pub(super) async fn log(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    uri: Uri,
) -> Result<PlainText, Error> {
    caller.administrator()?;
    let id = path.job()?;
    let parameters = paging::parameters(&uri);
    let follow = paging::find(&parameters, "follow").map(|text| paging::flag("follow", text));
    if follow.transpose()? != Some(true) {
        return Ok(PlainText::new(api.jobs.log(id).await?));
    }
    let pieces = api.jobs.follow(id).await?;
    let pieces = pieces.inspect_err(move |error| {
        tracing::warn!(job.id = id.0, "the log can be followed no further: {error}");
    });
    Ok(PlainText::new(Body::from_stream(pieces)))
}
