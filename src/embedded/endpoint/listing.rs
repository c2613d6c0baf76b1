use std::sync::Arc;

use http::{StatusCode, header::LINK};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    embedded::{
        Registry,
        answer::{Answer, Draft},
        disk::Listing,
        error::Failure,
    },
    oci::{ErrorCode, Page, RepositoryName},
};

#[derive(serde::Serialize)]
struct Catalog {
    repositories: Vec<String>,
}

#[derive(serde::Serialize)]
struct Tags {
    name: RepositoryName,
    tags: Vec<String>,
}

impl Registry {
    /// `GET /v2/_catalog`, in ASCII order.
    pub(in crate::embedded) async fn catalog(&self, page: Page) -> Answer {
        let limit = limit(&page);
        let disk = Arc::clone(&self.disk);
        let listing = self
            .threads
            .run(move || disk.list_repositories(page.last.as_deref(), limit))
            .await?;
        let draft = with_link("/v2/_catalog", limit, &listing);
        let repositories = listing.names;
        draft.json("application/json", &Catalog { repositories })
    }

    /// `GET /v2/<name>/tags/list`: end-8, in ASCII order.
    pub(in crate::embedded) async fn tags(&self, name: RepositoryName, page: Page) -> Answer {
        let limit = limit(&page);
        let disk = Arc::clone(&self.disk);
        let asked = name.clone();
        let listing = self
            .threads
            .run(move || disk.list_tags(&asked, page.last.as_deref(), limit))
            .await?;
        let Some(listing) = listing else {
            return Err(Failure::refused(
                ErrorCode::NameUnknown,
                format!("there is no repository {name}"),
            ));
        };
        let draft = with_link(&format!("/v2/{name}/tags/list"), limit, &listing);
        let tags = listing.names;
        draft.json("application/json", &Tags { name, tags })
    }
}

fn limit(page: &Page) -> usize {
    let asked = page.n.and_then(|n| usize::try_from(n).ok());
    asked.unwrap_or(MAX_PAGE).min(MAX_PAGE)
}

/// Where the next page is, if there is one (OCI distribution-spec, "Listing Tags").
fn with_link(path: &str, limit: usize, listing: &Listing) -> Draft {
    let draft = Draft::new(StatusCode::OK);
    match listing.names.last().filter(|_| listing.more) {
        Some(last) => {
            let last = utf8_percent_encode(last, NON_ALPHANUMERIC);
            draft.header(
                LINK,
                &format!("<{path}?last={last}&n={limit}>; rel=\"next\""),
            )
        }
        None => draft,
    }
}

/// Names in one answer, when none or more are asked for: tags of 128 bytes fill about 1.3 MB.
const MAX_PAGE: usize = 10_000;
