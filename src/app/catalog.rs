//! The API's view of the registry behind the gateway.

use futures_util::future::BoxFuture;

use crate::{
    api,
    oci::RepositoryName,
    registry::{Client, PageOf},
    wire::BoxError,
};

/// Lists repositories by asking the registry for its catalogue, page by page.
#[derive(Debug)]
pub(super) struct UpstreamCatalog(pub Client);

impl api::Catalog for UpstreamCatalog {
    fn repositories<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<RepositoryName>, BoxError>> {
        Box::pin(async move {
            let mut found = Vec::new();
            let mut page = PageOf::First { items: PAGE };
            loop {
                let listing = self.0.catalog(&page).await?;
                found.extend(
                    listing
                        .items
                        .into_iter()
                        .filter(|name| name.as_str().starts_with(prefix)),
                );
                match listing.next {
                    Some(next) if found.len() < limit => page = PageOf::Next(next),
                    _ => break,
                }
            }
            found.sort();
            found.truncate(limit);
            Ok(found)
        })
    }
}

/// Names to ask for at once: the most that distribution gives.
const PAGE: u32 = 1000;
