//! The tags of a repository behind, page by page to the end.

use serde::Deserialize;

use super::{Refusal, Upstream};
use crate::{
    oci::{ErrorCode, Page, RepositoryName, Route, Tag},
    registry::{Onward, onward},
};

/// Reads the tags of a repository in the registry's order; none when it does not exist.
///
/// A page leads to the next one by its `Link`, which the registry words as it likes. Where it
/// gives none, a page that is not full is the last; a full one may be, and what comes after its
/// last tag is asked for (OCI distribution-spec, "Listing Tags"). distribution 2 then gives
/// everything once more.
pub(super) struct Tags<'a> {
    upstream: &'a Upstream,
    name: &'a RepositoryName,
    /// Of the page to be read next; `None` after the last.
    target: Option<String>,
    /// The last tag of the page before, if what comes after it is asked for.
    last: Option<String>,
    pages: u32,
}

impl<'a> Tags<'a> {
    pub(super) fn of(name: &'a RepositoryName, upstream: &'a Upstream) -> Self {
        Self {
            upstream,
            name,
            target: Some(page_after(name, None)),
            last: None,
            pages: 0,
        }
    }

    /// The next page; `None` after the last. An error unless the registry leads to the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Tag>>, Refusal> {
        let Some(target) = self.target.take() else {
            return Ok(None);
        };
        if self.pages == MAX_PAGES {
            return Err(self.endless("there are too many"));
        }
        let listed: Option<(_, TagList)> = self.upstream.list(&target).await?;
        let (headers, page) = match listed {
            Some(listed) => listed,
            None if self.pages == 0 => return Ok(None),
            None => return Err(self.endless("a page of the list does not exist")),
        };
        self.pages += 1;
        let names = page.tags.unwrap_or_default();
        let last = names.last().cloned();
        if last.is_some() && last == self.last {
            return Ok(None);
        }
        self.last = None;
        self.target = match onward(&headers) {
            Onward::To(next) if next.target() == target => {
                return Err(self.endless("the list leads back to itself"));
            }
            Onward::To(next) => Some(next.target().to_owned()),
            Onward::Astray => return Err(self.endless("the list goes on elsewhere")),
            Onward::Nowhere if names.len() >= PAGE_TAGS as usize => {
                self.last.clone_from(&last);
                Some(page_after(self.name, last))
            }
            Onward::Nowhere => None,
        };
        let tags = names.iter().filter_map(|name| name.parse().ok());
        Ok(Some(tags.collect()))
    }

    fn endless(&self, reason: &str) -> Refusal {
        let name = self.name;
        tracing::warn!(repository.name = %name, "the tags cannot be listed to the end: {reason}");
        let message = format!(
            "the registry behind does not list the tags of {name} to the end, so it is not known \
             what would be deleted: {reason}"
        );
        Refusal::new(ErrorCode::BadGateway, message)
    }
}

fn page_after(name: &RepositoryName, last: Option<String>) -> String {
    let page = Page {
        n: Some(PAGE_TAGS),
        last,
    };
    let name = name.clone();
    Route::Tags { name, page }.path_and_query()
}

#[derive(Deserialize)]
struct TagList {
    /// distribution writes `null` for none.
    tags: Option<Vec<String>>,
}

/// The most that distribution 3 and Docker Hub give at once.
const PAGE_TAGS: u32 = 1000;
/// A million tags; no more than a list without end may cost.
const MAX_PAGES: u32 = 1000;
