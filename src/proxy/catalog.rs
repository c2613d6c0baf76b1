//! `GET /v2/_catalog`: the names the caller may pull from, and no others.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderValue, Response, header};
use serde::Serialize;

use super::{Inner, Refusal};
use crate::{
    auth::{Principal, projects::Scope},
    oci::{ActionSet, ErrorCode, Page, RepositoryName, Route},
    store::Listing,
    wire::Body,
};

#[derive(Serialize)]
struct Catalog {
    repositories: Vec<RepositoryName>,
}

/// How far a listing came.
#[derive(Default)]
struct Found {
    visible: Vec<RepositoryName>,
    /// Where to go on when the work for one request was done before enough was found; the
    /// caller may not know this name.
    stopped_at: Option<String>,
}

impl Inner {
    /// Reads pages from the registry behind until enough visible names are found, or as many
    /// pages as one request may cost: then the list is short, and `Link` leads on. Neither names
    /// what the caller may not see.
    pub(super) async fn catalog(
        &self,
        principal: &Principal,
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
        let last = page.last.as_deref().map(|last| self.open_cursor(last));
        let last = last.transpose()?;
        let most = usize::try_from(wanted).unwrap_or(usize::MAX);
        let mut found = if self.sees_nothing(principal).await {
            Found::default()
        } else {
            self.search(principal, last, most).await?
        };
        let has_more = found.visible.len() > most;
        found.visible.truncate(most);
        let next = match found.stopped_at {
            Some(name) => Some(self.seal_cursor(&name)?),
            None => found
                .visible
                .last()
                .filter(|_| has_more)
                .map(|name| name.as_str().to_owned()),
        };
        let next = next.map(|last| Page {
            n: Some(wanted),
            last: Some(last),
        });
        answer(found.visible, next)
    }

    /// Finds one name more than `most` if there are so many.
    async fn search(
        &self,
        principal: &Principal,
        mut last: Option<String>,
        most: usize,
    ) -> Result<Found, Refusal> {
        let mut visible = Vec::new();
        for _ in 0..self.parts.config.catalog_pages_examined.max(1) {
            let upstream_page = Page {
                n: Some(LARGEST_PAGE),
                last: last.clone(),
            };
            let names = self.parts.upstream.repositories(upstream_page).await?;
            let Some(end) = names.last().filter(|end| Some(*end) != last.as_ref()) else {
                return Ok(Found {
                    visible,
                    stopped_at: None,
                });
            };
            last = Some(end.clone());
            self.keep_visible(principal, &names, &mut visible).await?;
            if visible.len() > most {
                last = None;
                break;
            }
        }
        Ok(Found {
            visible,
            stopped_at: last,
        })
    }

    /// Whether nothing can be found, as far as one look tells: nobody logged in, and no project
    /// is public. A database that is away does not tell.
    async fn sees_nothing(&self, principal: &Principal) -> bool {
        if !principal.is_anonymous() {
            return false;
        }
        let one = Listing {
            limit: Some(1),
            ..Listing::default()
        };
        let auth = &self.parts.auth;
        let public = auth.projects(principal, Scope::Visible, &one).await;
        public.is_ok_and(|public| public.total == 0)
    }

    /// A place in the list that the caller may return to but not read, not even its length.
    fn seal_cursor(&self, name: &str) -> Result<String, Refusal> {
        let padded = format!("{name:<LONGEST_NAME$}");
        let sealed = self.parts.sealing.seal(CURSOR, padded.as_bytes());
        let sealed = sealed.map_err(|_failed| unwritable())?;
        Ok(format!("{CURSOR_MARK}{}", URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// The name that `last` stands for: itself, unless it is a cursor of ours.
    fn open_cursor(&self, last: &str) -> Result<String, Refusal> {
        let Some(sealed) = last.strip_prefix(CURSOR_MARK) else {
            return Ok(last.to_owned());
        };
        let opened = URL_SAFE_NO_PAD.decode(sealed).ok();
        opened
            .and_then(|sealed| self.parts.sealing.open(CURSOR, &sealed).ok())
            .and_then(|name| String::from_utf8(name).ok())
            .map(|name| name.trim_end().to_owned())
            .ok_or_else(|| {
                Refusal::new(
                    ErrorCode::PaginationNumberInvalid,
                    "`last` was not made by this gateway; list from the beginning",
                )
            })
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
    next: Option<Page>,
) -> Result<Response<Body>, Refusal> {
    let link = next.map(|page| {
        let route = Route::Catalog { page };
        format!("<{}>; rel=\"next\"", route.path_and_query())
    });
    let body = serde_json::to_vec(&Catalog { repositories }).map_err(|_error| unwritable())?;
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

fn unwritable() -> Refusal {
    Refusal::new(ErrorCode::Unknown, "the list cannot be written")
}

/// distribution's page when `n` is not given, and the largest it accepts.
const DEFAULT_PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 1000;
/// Cursors are told from names by a byte that no name has.
const CURSOR_MARK: char = '~';
/// What a sealed cursor is for.
const CURSOR: &str = "catalog.cursor";
/// Names of repositories have at most 255 bytes.
const LONGEST_NAME: usize = 255;
