//! Pages in and out: `page` and `page_size`, `X-Total-Count` and `Link`.

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Uri, header, request::Parts};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    ROOT,
    error::Error,
    filter,
    openapi::{Answer, Success},
    sort,
};
use crate::store::{Filter, Listing, Page, Test};

/// What a list operation was asked for: page, `q=`, `sort=` and its own parameters.
#[derive(Debug)]
pub(super) struct ListQuery {
    listing: Listing,
    page: u32,
    page_size: u32,
    parameters: Vec<(String, String)>,
    /// The whole path.
    path: String,
}

impl ListQuery {
    fn from_uri(uri: &Uri) -> Result<Self, Error> {
        let parameters = parameters(uri);
        let find = |name: &str| find(&parameters, name);
        let page = number(find("page"), "page", u32::MAX)?.unwrap_or(1);
        let page_size = number(find("page_size"), "page_size", PAGE_SIZE_MAX)?;
        let page_size = page_size.unwrap_or(PAGE_SIZE_DEFAULT);
        // A router that is nested shows its handlers only what follows its own path.
        let root = if uri.path().starts_with("/api/") {
            ""
        } else {
            ROOT
        };
        Ok(Self {
            listing: Listing {
                filters: filter::parse(find("q").unwrap_or_default())?,
                sort: sort::parse(find("sort").unwrap_or_default())?,
                offset: i64::from(page - 1) * i64::from(page_size),
                limit: Some(i64::from(page_size)),
                behind: find(BEHIND).map(behind).transpose()?,
            },
            page,
            page_size,
            path: format!("{root}{}", uri.path()),
            parameters,
        })
    }

    /// What to ask the store for.
    pub(super) fn listing(&self) -> &Listing {
        &self.listing
    }

    /// One of the operation's own parameters, none when absent or empty.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        find(&self.parameters, name)
    }

    /// The same, where the operation needs it.
    pub(super) fn required(&self, name: &str) -> Result<&str, Error> {
        required(&self.parameters, name)
    }

    /// All values of a parameter, which may come several times or with commas between them.
    pub(super) fn parameters(&self, name: &str) -> Vec<String> {
        let given = self.parameters.iter().filter(|(key, _)| key == name);
        let values = given.flat_map(|(_, value)| value.split(','));
        let values = values.map(str::trim).filter(|value| !value.is_empty());
        values.map(ToOwned::to_owned).collect()
    }

    /// A parameter that is `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        let value = self.parameter(name);
        value.map(|text| flag(name, text)).transpose()
    }

    /// Asks for one thing more, beside what the client's `q=` asks for.
    #[must_use]
    pub(super) fn and(mut self, field: &str, test: Test) -> Self {
        self.listing.filters.push(Filter {
            field: field.to_owned(),
            test,
        });
        self
    }

    /// Like [`ListQuery::and`] with the parameter of that name, if it is there.
    #[must_use]
    pub(super) fn and_parameter(
        self,
        name: &str,
        field: &str,
        test: impl FnOnce(String) -> Test,
    ) -> Self {
        match self.parameter(name).map(ToOwned::to_owned) {
            Some(value) => self.and(field, test(value)),
            None => self,
        }
    }

    /// Takes the filters of a field out of the query: for fields the store does not have.
    pub(super) fn take(&mut self, field: &str) -> Vec<Test> {
        let filters = std::mem::take(&mut self.listing.filters);
        let (taken, kept) = filters
            .into_iter()
            .partition(|filter| filter.field == field);
        self.listing.filters = kept;
        let taken: Vec<Filter> = taken;
        taken.into_iter().map(|filter| filter.test).collect()
    }

    /// The answer: the rows, and in headers their total and where the neighbouring pages are.
    pub(super) fn answer<R, T>(&self, page: Page<R>, show: impl Fn(R) -> T) -> Listed<T> {
        self.answer_from(None, page, show)
    }

    /// Like [`ListQuery::answer`] for long lists: the link to the next page says which row was
    /// the `last` of this one, so that following it costs the same on every page.
    pub(super) fn answer_from<R, T>(
        &self,
        last: Option<i64>,
        page: Page<R>,
        show: impl Fn(R) -> T,
    ) -> Listed<T> {
        Listed {
            shown: page.items.into_iter().map(show).collect(),
            total: page.total,
            link: self.link(page.total, last),
        }
    }

    /// RFC 8288: `</path?…&page=2>; rel="next"`, every other parameter kept.
    fn link(&self, total: i64, last: Option<i64>) -> Option<HeaderValue> {
        let shown = i64::from(self.page) * i64::from(self.page_size);
        let last = last.filter(|_| self.listing.sort.is_empty());
        let neighbours = [
            (self.page > 1).then(|| (self.page - 1, None, "prev")),
            (shown < total).then(|| (self.page + 1, last, "next")),
        ];
        let links: Vec<String> = neighbours
            .into_iter()
            .flatten()
            .map(|(page, behind, relation)| {
                let query = self.query_of(page, behind);
                format!("<{}?{query}>; rel=\"{relation}\"", self.path)
            })
            .collect();
        let link = HeaderValue::from_str(&links.join(", ")).ok()?;
        (!link.is_empty()).then_some(link)
    }

    /// The query that asks for another page of the same.
    fn query_of(&self, page: u32, behind: Option<i64>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.parameters {
            if !matches!(name.as_str(), "page" | "page_size" | BEHIND) {
                query.append_pair(name, value);
            }
        }
        query.append_pair("page", &page.to_string());
        query.append_pair("page_size", &self.page_size.to_string());
        if let Some(behind) = behind {
            query.append_pair(BEHIND, &behind.to_string());
        }
        query.finish()
    }
}

/// A page of a list, with how many rows there are and where the neighbouring pages are.
#[derive(Debug)]
pub(super) struct Listed<T> {
    shown: Vec<T>,
    total: i64,
    link: Option<HeaderValue>,
}

impl<T: Serialize> IntoResponse for Listed<T> {
    fn into_response(self) -> Response {
        let total = [("x-total-count", HeaderValue::from(self.total))];
        let link = self.link.map(|link| [(header::LINK, link)]);
        (total, link, axum::Json(self.shown)).into_response()
    }
}

impl<T: Serialize + JsonSchema> Answer for Listed<T> {
    fn success() -> Success {
        Success {
            headers: &["X-Total-Count", "Link"],
            ..Success::json::<Vec<T>>()
        }
    }
}

impl<S: Sync> FromRequestParts<S> for ListQuery {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        Self::from_uri(&parts.uri)
    }
}

/// The query's parameters, decoded, in their order.
pub(super) fn parameters(uri: &Uri) -> Vec<(String, String)> {
    url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .into_owned()
        .collect()
}

/// The first parameter of that name which is not empty.
pub(super) fn find<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut found = parameters.iter().filter(|(key, _)| key == name);
    found
        .next()
        .map(|(_, value)| value.as_str())
        .filter(|value| !value.is_empty())
}

/// The first parameter of that name, which the operation needs.
pub(super) fn required<'a>(
    parameters: &'a [(String, String)],
    name: &str,
) -> Result<&'a str, Error> {
    let missing = || Error::Unprocessable(format!("{name} in query is required"));
    find(parameters, name).ok_or_else(missing)
}

/// A parameter's value that must be `true` or `false`.
pub(super) fn flag(name: &str, text: &str) -> Result<bool, Error> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Error::Unprocessable(format!(
            "{name} in query must be true or false, not `{text}`"
        ))),
    }
}

fn behind(text: &str) -> Result<i64, Error> {
    text.parse().map_err(|_no_number| {
        Error::Unprocessable(format!("{BEHIND} in query must be an id, not `{text}`"))
    })
}

fn number(text: Option<&str>, name: &str, max: u32) -> Result<Option<u32>, Error> {
    let Some(text) = text else { return Ok(None) };
    let parsed = text.parse().ok().filter(|n| (1..=max).contains(n));
    parsed.map(Some).ok_or_else(|| {
        Error::Unprocessable(format!(
            "{name} in query must be a number from 1 to {max}, not `{text}`"
        ))
    })
}

/// The row before the page, of lists that can begin behind one.
const BEHIND: &str = "behind";

/// The contract's parameter `pageSize`: default 10, maximum 100.
const PAGE_SIZE_DEFAULT: u32 = 10;
const PAGE_SIZE_MAX: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn query(uri: &'static str) -> Result<ListQuery, Error> {
        ListQuery::from_uri(&Uri::from_static(uri))
    }

    #[test]
    fn pages_start_at_one_and_hold_ten() {
        let first = query("/users").unwrap().listing;
        assert_eq!((first.offset, first.limit), (0, Some(10)));
        let third = query("/users?page=3&page_size=100").unwrap().listing;
        assert_eq!((third.offset, third.limit), (200, Some(100)));
    }

    #[test]
    fn pages_outside_the_contract_are_unprocessable() {
        for bad in [
            "/?page=0",
            "/?page=-1",
            "/?page=x",
            "/?page_size=0",
            "/?page_size=101",
            "/?page=99999999999",
        ] {
            let error = query(bad).unwrap_err();
            assert!(matches!(error, Error::Unprocessable(_)), "{bad}: {error}");
        }
    }

    #[test]
    fn links_lead_to_the_neighbours_and_keep_the_question() {
        let second = query("/users?q=username%3D~a%20b&page=2&page_size=2").unwrap();
        assert_eq!(
            second.link(5, None).unwrap(),
            "</api/v2.0/users?q=username%3D%7Ea+b&page=1&page_size=2>; rel=\"prev\", \
             </api/v2.0/users?q=username%3D%7Ea+b&page=3&page_size=2>; rel=\"next\""
        );
        assert!(
            !second
                .link(4, None)
                .unwrap()
                .to_str()
                .unwrap()
                .contains("next")
        );
        assert_eq!(query("/users").unwrap().link(10, None), None);
    }
}
