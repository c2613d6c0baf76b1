//! Harbor: `_catalog` is for its administrators, so repositories are listed by its own API, which
//! shows each account what it may see.

use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use serde::{Deserialize, Serialize};

use crate::wire::{self, Body};

/// Where Harbor lists repositories (API v2.0, `listAllRepositories`).
pub(in crate::registry) const REPOSITORIES: &str = "/api/v2.0/repositories";

/// The first page. The later ones are named by the answers' `Link`, which is Harbor's.
pub(super) fn listing(mut request: Request<Body>) -> Request<Body> {
    *request.uri_mut() = Uri::from_static(FIRST_PAGE);
    request
}

/// A page of Harbor's listing as one of the catalogue; a refusal stays what it is.
pub(in crate::registry) async fn catalog(answer: Response<Body>) -> Response<Body> {
    if answer.status() != StatusCode::OK {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    let json = HeaderValue::from_static("application/json");
    head.headers.insert(header::CONTENT_TYPE, json);
    keep_next(&mut head.headers);
    let bytes = wire::collect(body, MAX_PAGE_BYTES).await;
    let listed: Option<Vec<Repository>> = bytes
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    // What is not a list of repositories is no catalogue either; the reader will say so.
    let body = listed.map_or(Body::Empty, |listed| {
        let repositories = listed.into_iter().map(|repository| repository.name);
        let catalog = Catalog {
            repositories: repositories.collect(),
        };
        serde_json::to_vec(&catalog).unwrap_or_default().into()
    });
    Response::from_parts(head, body)
}

/// Harbor names the previous page and the next in one `Link`; only the next one is read.
fn keep_next(headers: &mut http::HeaderMap) {
    let links = headers.remove(header::LINK);
    let next = links.as_ref().and_then(|links| {
        let mut links = links.to_str().ok()?.split(',').map(str::trim);
        let next = links.find(|link| link.contains("rel=\"next\""))?;
        HeaderValue::from_str(next).ok()
    });
    if let Some(next) = next {
        headers.insert(header::LINK, next);
    }
}

#[derive(Deserialize)]
struct Repository {
    name: String,
}

#[derive(Serialize)]
struct Catalog {
    repositories: Vec<String>,
}

/// Harbor gives at most 100 at once.
const FIRST_PAGE: &str = "/api/v2.0/repositories?page=1&page_size=100";
/// A hundred repositories with their descriptions.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;
