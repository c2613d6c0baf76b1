use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Client, call::Call};
use crate::{
    oci::{Page, RepositoryName, Route, Tag},
    registry::Error,
};

/// Which page of a listing to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageOf {
    /// The first, of this many items if the registry cares.
    First {
        items: u32,
    },
    Next(Cursor),
}

/// Where a listing goes on; the registry's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

/// Where a listing goes on after a page, by the page's headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Onward {
    /// Nowhere, as far as the registry says.
    Nowhere,
    To(Cursor),
    /// To a place that is not this registry's: the rest cannot be read.
    Astray,
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    pub items: Vec<T>,
    pub next: Option<Cursor>,
}

impl Client {
    /// Tags of a repository, in the registry's order (end-8). Names that no tag may have are
    /// left out: nothing could be asked for by them.
    pub async fn tags(&self, name: &RepositoryName, page: &PageOf) -> Result<Listing<Tag>, Error> {
        let first = |page| Route::Tags {
            name: name.clone(),
            page,
        };
        let (answer, next): (TagList, _) = self.list(page, first).await?;
        let tags = answer.tags.unwrap_or_default();
        Ok(Listing {
            items: tags.iter().filter_map(|tag| tag.parse().ok()).collect(),
            next,
        })
    }

    /// Every tag, page after page; an error when there are more than `limit`.
    pub async fn all_tags(&self, name: &RepositoryName, limit: usize) -> Result<Vec<Tag>, Error> {
        let mut all = Vec::new();
        let mut page = PageOf::First { items: PAGE_ITEMS };
        loop {
            let listing = self.tags(name, &page).await?;
            all.extend(listing.items);
            if all.len() > limit {
                let operation = format!("GET /v2/{name}/tags/list");
                return Err(Error::malformed(
                    &operation,
                    format!("more than {limit} tags"),
                ));
            }
            let next = listing.next.map(PageOf::Next);
            match next.filter(|next| *next != page) {
                Some(next) => page = next,
                None => return Ok(all),
            }
        }
    }

    /// Whether there is a repository whose name begins with `prefix` and a slash; many registries
    /// do not say.
    pub async fn has_below(&self, prefix: &str) -> Result<bool, Error> {
        let folder = format!("{prefix}/");
        let first = |page| Route::Catalog {
            page: Page {
                last: Some(folder.clone()),
                ..page
            },
        };
        let page = PageOf::First { items: 1 };
        let (answer, _next): (RepositoryList, _) = self.list(&page, first).await?;
        let names = answer.repositories.unwrap_or_default();
        Ok(names.iter().any(|name| name.starts_with(&folder)))
    }

    /// Repositories of the registry; many registries refuse this.
    pub async fn catalog(&self, page: &PageOf) -> Result<Listing<RepositoryName>, Error> {
        let first = |page| Route::Catalog { page };
        let (answer, next): (RepositoryList, _) = self.list(page, first).await?;
        let names = answer.repositories.unwrap_or_default();
        Ok(Listing {
            items: names.iter().filter_map(|name| name.parse().ok()).collect(),
            next,
        })
    }

    async fn list<T: DeserializeOwned>(
        &self,
        page: &PageOf,
        first: impl FnOnce(Page) -> Route,
    ) -> Result<(T, Option<Cursor>), Error> {
        let call = match page {
            PageOf::First { items } => Call::get(&first(Page {
                n: Some(*items),
                last: None,
            })),
            PageOf::Next(cursor) => Call::new(Method::GET, cursor.target()),
        };
        let answer = self.send(call).await?.expect(&[StatusCode::OK]).await?;
        let next = next(answer.response.headers());
        Ok((answer.json().await?, next))
    }
}

impl Cursor {
    /// Path and query of the page.
    pub fn target(&self) -> &str {
        &self.0
    }
}

/// The target of `Link: <…>; rel="next"` (RFC 8288).
pub fn onward(headers: &HeaderMap) -> Onward {
    match headers.get_all(header::LINK).iter().find_map(next_of) {
        None => Onward::Nowhere,
        Some(target) if target.starts_with('/') => Onward::To(Cursor(target.to_owned())),
        Some(_elsewhere) => Onward::Astray,
    }
}

/// The next page, if it stays at the registry.
pub(in crate::registry) fn next(headers: &HeaderMap) -> Option<Cursor> {
    match onward(headers) {
        Onward::To(cursor) => Some(cursor),
        Onward::Nowhere | Onward::Astray => None,
    }
}

fn next_of(link: &HeaderValue) -> Option<&str> {
    let (target, parameters) = link
        .to_str()
        .ok()?
        .trim()
        .strip_prefix('<')?
        .split_once('>')?;
    let is_next = parameters.split(';').any(|parameter| {
        parameter.split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"') == "next"
        })
    });
    is_next.then_some(target)
}

#[derive(Deserialize)]
struct TagList {
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct RepositoryList {
    repositories: Option<Vec<String>>,
}

/// The most that distribution 3 and Docker Hub give at once.
const PAGE_ITEMS: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_read_from_the_link() {
        for (link, expected) in [
            (
                r#"</v2/a/tags/list?last=v1&n=2>; rel="next""#,
                Some("/v2/a/tags/list?last=v1&n=2"),
            ),
            (
                "</v2/_catalog?last=b>;rel=next",
                Some("/v2/_catalog?last=b"),
            ),
            (r#"</v2/_catalog?last=b>; rel="prev""#, None),
            (r#"<https://elsewhere.example/v2/>; rel="next""#, None),
            ("nonsense", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::LINK, link.parse().unwrap());
            let found = next(&headers);
            assert_eq!(found.as_ref().map(Cursor::target), expected, "{link}");
        }
    }
}
