use std::{collections::BinaryHeap, path::Path};

use super::{
    Disk, files,
    layout::{LAYERS, MANIFESTS},
};
use crate::{
    embedded::error::Failure,
    oci::{RepositoryName, Tag},
};

/// One page of names in ASCII order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::embedded) struct Listing {
    pub(in crate::embedded) names: Vec<String>,
    /// Whether there are names after the last one.
    pub(in crate::embedded) more: bool,
}

impl Listing {
    /// `names` are sorted and one more than `limit` if there are so many.
    fn cut(mut names: Vec<String>, limit: usize) -> Self {
        let more = names.len() > limit;
        names.truncate(limit);
        Self { names, more }
    }
}

impl Disk {
    /// At most `limit` tags that come after `last`; `None` when there is no such repository.
    pub(in crate::embedded) fn list_tags(
        &self,
        name: &RepositoryName,
        last: Option<&str>,
        limit: usize,
    ) -> Result<Option<Listing>, Failure> {
        if !is_repository(&self.layout.repository(name))? {
            return Ok(None);
        }
        let mut tags = self.tag_names(name)?;
        tags.sort_unstable();
        let mut found = Vec::new();
        let after = |tag: &Tag| last.is_none_or(|last| tag.as_str() > last);
        for tag in tags.into_iter().filter(after) {
            if found.len() > limit {
                break;
            }
            // A folder without a link is a tag that was never finished.
            if self.tagged(name, &tag)?.is_some() {
                found.push(tag.to_string());
            }
        }
        Ok(Some(Listing::cut(found, limit)))
    }

    /// At most `limit` repository names that come after `last`.
    pub(in crate::embedded) fn list_repositories(
        &self,
        last: Option<&str>,
        limit: usize,
    ) -> Result<Listing, Failure> {
        let mut smallest = Smallest {
            names: BinaryHeap::new(),
            last,
            limit: limit + 1,
        };
        walk(&self.layout.repositories(), "", &mut smallest)?;
        Ok(Listing::cut(smallest.names.into_sorted_vec(), limit))
    }

    /// In no order; some may lack their link.
    pub(super) fn tag_names(&self, name: &RepositoryName) -> Result<Vec<Tag>, Failure> {
        let names = files::names(&self.layout.tags(name))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }
}

/// Keeps the first `limit` of the names after `last`: folders are not walked in the order of
/// names, for `a-b` comes before `a/b`.
struct Smallest<'a> {
    names: BinaryHeap<String>,
    last: Option<&'a str>,
    limit: usize,
}

impl Smallest<'_> {
    fn offer(&mut self, name: &str) {
        if self.last.is_some_and(|last| name <= last) {
            return;
        }
        self.names.push(name.into());
        if self.names.len() > self.limit {
            self.names.pop();
        }
    }
}

fn walk(folder: &Path, prefix: &str, smallest: &mut Smallest<'_>) -> Result<(), Failure> {
    for component in files::names(folder)? {
        let name = format!("{prefix}{component}");
        // Leaves out `_layers` and the like as well.
        if name.parse::<RepositoryName>().is_err() {
            continue;
        }
        let folder = folder.join(component);
        if is_repository(&folder)? {
            smallest.offer(&name);
        }
        walk(&folder, &format!("{name}/"), smallest)?;
    }
    Ok(())
}

/// Whether something was ever stored there.
fn is_repository(folder: &Path) -> Result<bool, Failure> {
    Ok(files::length(&folder.join(MANIFESTS))?.is_some()
        || files::length(&folder.join(LAYERS))?.is_some())
}
