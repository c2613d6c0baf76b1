use super::{Error, Quota, queries};
use crate::{
    auth::ProjectId,
    store::{self, Filter, Listing, Page, Sort, Test},
};

store::row! {
    /// A project's limit and use; its id is the quota's.
    pub ProjectQuota {
        id: ProjectId,
        name: String,
        owner_name: String,
        /// -1 is unlimited.
        hard_bytes: i64,
        used_bytes: i64,
        created_ms: i64,
        updated_ms: i64,
    }
}

impl Quota {
    /// By fields `id`, `reference_id`, `creation_time`, `update_time`, `hard.storage`,
    /// `used.storage`; the newest project first where the listing does not say.
    pub async fn quotas(&self, listing: &Listing) -> Result<Page<ProjectQuota>, Error> {
        let mut listing = listing.clone();
        if listing.sort.is_empty() {
            listing.sort.push(Sort {
                field: "creation_time".to_owned(),
                descending: true,
            });
        }
        let db = &self.0.parts.db;
        Ok(db.page(&queries::QUOTAS, Vec::new(), &listing).await?)
    }

    pub async fn quota(&self, id: ProjectId) -> Result<ProjectQuota, Error> {
        let listing = Listing {
            filters: vec![Filter {
                field: "id".to_owned(),
                test: Test::Equals(id.to_string()),
            }],
            ..Listing::default()
        };
        let found: Vec<ProjectQuota> = {
            let db = &self.0.parts.db;
            db.rows(&queries::QUOTAS, Vec::new(), &listing).await?
        };
        found.into_iter().next().ok_or(Error::NoQuota(id))
    }
}
