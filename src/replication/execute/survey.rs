//! What the source has, as far as the policy's filters accept it.

use crate::{
    inventory::Inventory,
    jobs::Failure,
    oci::{Reference, RepositoryName, Tag},
    registry::{Client, Cursor, Kind, PageOf},
    replication::{
        PolicySpec, Shared,
        transfer::{Side, from_inner},
    },
};

/// The two sides of a policy, to be listed.
#[derive(Debug)]
pub(super) struct Survey<'a> {
    pub source: Client,
    pub destination: Client,
    inventory: &'a Inventory,
    spec: &'a PolicySpec,
}

/// The source's repositories, page after page.
#[derive(Debug)]
pub(super) struct Repositories<'a> {
    survey: &'a Survey<'a>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// A name filter without wildcards says it all.
    Named(RepositoryName),
    Catalog(PageOf),
    End,
}

impl<'a> Survey<'a> {
    pub(super) async fn open(shared: &'a Shared, spec: &'a PolicySpec) -> Result<Self, Failure> {
        let source = shared.client(spec.source).await;
        let destination = shared.client(spec.destination).await;
        Ok(Self {
            source: source.map_err(|error| from_inner(&error))?,
            destination: destination.map_err(|error| from_inner(&error))?,
            inventory: &shared.inventory,
            spec,
        })
    }

    /// From the page `cursor` on; `None` is the first.
    pub(super) fn repositories(&self, cursor: Option<Cursor>) -> Repositories<'_> {
        let first = PageOf::First { items: PAGE_ITEMS };
        let place = match self.spec.only_repository() {
            Some(name) => Place::Named(name),
            None => Place::Catalog(cursor.map_or(first, PageOf::Next)),
        };
        Repositories {
            survey: self,
            place,
        }
    }

    /// The accepted tags of a repository at the source; none when it is gone.
    pub(super) async fn tags(&self, repository: &RepositoryName) -> Result<Vec<Tag>, Failure> {
        let mut tags = self.present(repository).await?;
        if self.spec.asks_for_labels() {
            let borne = self.inventory.labels_by_tag(repository).await?;
            tags.retain(|tag| {
                let names = borne.get(tag.as_str()).map_or(&[][..], Vec::as_slice);
                self.spec.accepts_labels(names)
            });
        }
        Ok(tags)
    }

    /// The same whatever their labels.
    pub(super) async fn present(&self, repository: &RepositoryName) -> Result<Vec<Tag>, Failure> {
        self.accepted(&self.source, Side::Source, repository).await
    }

    /// The same at the destination, of a repository by its name there.
    pub(super) async fn held(&self, repository: &RepositoryName) -> Result<Vec<Tag>, Failure> {
        let (client, side) = (&self.destination, Side::Destination);
        self.accepted(client, side, repository).await
    }

    async fn accepted(
        &self,
        client: &Client,
        side: Side,
        repository: &RepositoryName,
    ) -> Result<Vec<Tag>, Failure> {
        let tags = match client.all_tags(repository, MAX_TAGS).await {
            Ok(tags) => tags,
            Err(error) if error.kind() == Kind::NotFound => Vec::new(),
            Err(error) => return Err(side.failure(&error)),
        };
        let accepts = |tag: &Tag| self.spec.accepts_reference(&Reference::Tag(tag.clone()));
        Ok(tags.into_iter().filter(accepts).collect())
    }
}

impl Repositories<'_> {
    /// Where the next page is; `None` for the first.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        match &self.place {
            Place::Catalog(PageOf::Next(cursor)) => Some(cursor.clone()),
            Place::Catalog(PageOf::First { .. }) | Place::Named(_) | Place::End => None,
        }
    }

    /// The accepted repositories of the next page, which may be none; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<RepositoryName>>, Failure> {
        let page = match std::mem::replace(&mut self.place, Place::End) {
            Place::End => return Ok(None),
            Place::Named(name) => return Ok(Some(vec![name])),
            Place::Catalog(page) => page,
        };
        let listing = self.survey.source.catalog(&page).await;
        let listing = listing.map_err(|error| Side::Source.failure(&error))?;
        let next = listing.next.map(PageOf::Next);
        if let Some(next) = next.filter(|next| *next != page) {
            self.place = Place::Catalog(next);
        }
        let spec = self.survey.spec;
        let accepted = |name: &RepositoryName| spec.accepts_repository(name);
        Ok(Some(listing.items.into_iter().filter(accepted).collect()))
    }
}

/// What distribution gives at once.
const PAGE_ITEMS: u32 = 100;
/// Tags of one repository that are held in memory; names have at most 128 bytes.
const MAX_TAGS: usize = 500_000;
