//! `GET /v2/_catalog`: the names the caller may pull from, and no others.

use http::{HeaderValue, Response, header};
use serde::Serialize;

use super::{Inner, Refusal, authorise::Admitted};
use crate::{
    auth::Principal,
    oci::{ActionSet, ErrorCode, Page, RepositoryName, Route},
    wire::Body,
};

#[derive(Serialize)]
struct Listing {
    repositories: Vec<RepositoryName>,
}

impl Inner {
    /// Reads pages from the registry behind until enough visible names are found. Neither the
    /// list nor `Link` names what the caller may not see.
    pub(super) async fn catalog(
        &self,
        admitted: &Admitted,
        page: &Page,
    ) -> Result<Response<Body>, Refusal> {
        let wanted = match page.n {
            None => DEFAULT_PAGE,
            Some(n) if (1..=LARGEST_PAGE).contains(&n) => n,
            Some(_) => {
                let message = format!("`n` must lie between 1 and {LARGEST_PAGE}");
                return Err(Refusal::new(ErrorCode::PaginationNumberInvalid, message));
            }
        };
        let most = usize::try_from(wanted).unwrap_or(usize::MAX);
        let mut visible = Vec::new();
        let mut last = page.last.clone();
        while visible.len() <= most {
            let upstream_page = Page {
                n: Some(LARGEST_PAGE),
                last: last.clone(),
            };
            let names = self.parts.upstream.repositories(upstream_page).await?;
            let Some(end) = names.last().filter(|end| Some(*end) != last.as_ref()) else {
                break;
            };
            last = Some(end.clone());
            self.keep_visible(&admitted.principal, &names, &mut visible)
                .await?;
        }
        let has_more = visible.len() > most;
        visible.truncate(most);
        answer(visible, wanted, has_more)
    }

    async fn keep_visible(
        &self,
        principal: &Principal,
        names: &[String],
        visible: &mut Vec<RepositoryName>,
    ) -> Result<(), Refusal> {
        for name in names.iter().filter_map(|name| name.parse().ok()) {
            let actions = self.parts.auth.repository_actions(principal, &name).await?;
            if actions.contains(ActionSet::PULL) {
                visible.push(name);
            }
        }
        Ok(())
    }
}

fn answer(
    repositories: Vec<RepositoryName>,
    n: u32,
    has_more: bool,
) -> Result<Response<Body>, Refusal> {
    let unwritable = || Refusal::new(ErrorCode::Unknown, "the list cannot be written");
    let link = repositories.last().filter(|_| has_more).map(|last| {
        let page = Page {
            n: Some(n),
            last: Some(last.as_str().to_owned()),
        };
        format!(
            "<{}>; rel=\"next\"",
            Route::Catalog { page }.path_and_query()
        )
    });
    let body = serde_json::to_vec(&Listing { repositories }).map_err(|_error| unwritable())?;
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if let Some(link) = link {
        let value = HeaderValue::from_str(&link).map_err(|_error| unwritable())?;
        headers.insert(header::LINK, value);
    }
    Ok(response)
}

/// distribution's page when `n` is not given, and the largest it accepts.
const DEFAULT_PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 1000;
