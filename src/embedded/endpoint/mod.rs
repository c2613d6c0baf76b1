//! One file for each group of endpoints: what a request asks, and the answer in HTTP.

mod blob;
mod conditional;
mod listing;
mod manifest;
mod reading;
mod referrers;
mod upload;

use http::{Response, StatusCode};

use super::answer::Draft;
use crate::wire::Body;

#[cfg(feature = "fuzzing")]
pub(super) use conditional::Wanted;
pub(super) use manifest::Target;
pub(super) use referrers::ReferrersQuery;
pub(super) use upload::Upload;
#[cfg(feature = "fuzzing")]
pub(super) use upload::chunk_range;

/// `GET /v2/`: end-1.
pub(super) fn ping() -> Response<Body> {
    Draft::new(StatusCode::OK).bytes("application/json", b"{}".to_vec())
}
