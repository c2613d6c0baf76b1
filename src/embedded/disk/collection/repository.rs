use std::path::Path;

use super::Run;
use crate::{
    embedded::{
        disk::{
            files,
            layout::{self, LAYERS, REFERRERS},
            manifests::MEDIA_TYPE,
            marks::Marks,
        },
        error::Failure,
    },
    oci::{Digest, RepositoryName},
};

/// What the manifests of a repository say.
#[derive(Debug)]
struct Survey {
    /// All that they name; `None` when one of them cannot be read.
    named: Option<Marks>,
    /// Whether there are any.
    has_manifests: bool,
}

impl Run {
    /// Marks what a repository needs, and removes links that no manifest of it needs. Ends early
    /// when it is stopped.
    pub(in crate::embedded) fn collect_repository(&self, folder: &Path) -> Result<(), Failure> {
        let path = folder.strip_prefix(self.disk.layout.repositories());
        let path = path.unwrap_or(folder).to_string_lossy();
        let Ok(name) = path.parse::<RepositoryName>() else {
            self.tell_doubt(format!(
                "`{path}` is no name of a repository; what lies there stays"
            ));
            return self.mark_all(folder);
        };
        let survey = self.survey(&name, folder)?;
        let has_links = self.collect_links(&name, folder, &survey)?;
        if !self.is_real() || self.stop.is_cancelled() {
            return Ok(());
        }
        self.tidy(&name, folder)?;
        if has_links || survey.has_manifests {
            return Ok(());
        }
        let _removing = self.disk.locks.removing(&name);
        remove_empty_below(folder)
    }

    /// Of what nobody can serve from here, but another registry could.
    fn mark_all(&self, folder: &Path) -> Result<(), Failure> {
        for digests in [LAYERS, REVISIONS] {
            for digest in digests_below(&folder.join(digests))?.0 {
                self.mark(&digest);
            }
        }
        Ok(())
    }

    fn survey(&self, name: &RepositoryName, folder: &Path) -> Result<Survey, Failure> {
        let mut survey = Survey {
            named: Some(Marks::default()),
            has_manifests: false,
        };
        let (digests, others) = digests_below(&folder.join(REVISIONS))?;
        if let Some(other) = others.first() {
            self.doubt(&mut survey, name, other);
        }
        for digest in digests {
            if self.stop.is_cancelled() {
                break;
            }
            let is_taken_away = || {
                let gone = &self.collection.without;
                gone.contains(&(name.clone(), digest.clone()))
            };
            if !self.disk.has_revision(name, &digest)? || is_taken_away() {
                continue;
            }
            self.mark(&digest);
            survey.has_manifests = true;
            let bytes = self.disk.content(&digest, files::read)?;
            let is_read = bytes.is_some_and(|bytes| {
                let named = survey.named.as_mut();
                named.is_none_or(|named| named.add_all_in(&bytes))
            });
            if !is_read {
                self.doubt(&mut survey, name, digest.as_str());
            }
        }
        Ok(survey)
    }

    /// Nobody knows what this manifest names.
    fn doubt(&self, survey: &mut Survey, name: &RepositoryName, manifest: &str) {
        survey.named = None;
        self.tell_doubt(format!(
            "the manifest {manifest} of {name} cannot be read: every blob of the repository \
             stays until it is pushed again or deleted"
        ));
    }

    /// Whether any is left.
    fn collect_links(
        &self,
        name: &RepositoryName,
        folder: &Path,
        survey: &Survey,
    ) -> Result<bool, Failure> {
        let mut has_links = false;
        for digest in digests_below(&folder.join(LAYERS))?.0 {
            if self.stop.is_cancelled() {
                return Ok(true);
            }
            let is_needed = survey.named.as_ref().is_none_or(|named| named.has(&digest));
            if is_needed || !self.collect_link(name, &digest)? {
                self.mark(&digest);
                has_links = true;
            }
        }
        Ok(has_links)
    }

    /// Whether the link is gone.
    fn collect_link(&self, name: &RepositoryName, digest: &Digest) -> Result<bool, Failure> {
        let disk = &self.disk;
        let path = disk.layout.blob_link(name, digest);
        let _removing = disk.locks.removing(name);
        let Some((_length, written)) = files::look(&path)? else {
            return Ok(true);
        };
        if disk.fresh.has(digest) || !self.is_old(written) {
            return Ok(false);
        }
        if self.is_real() {
            files::remove(&path)?;
        }
        self.totals().links += 1;
        self.tell_item(format!("unlink {digest} from {name}"));
        Ok(true)
    }

    /// Removes the folders that deletions and killed processes leave.
    fn tidy(&self, name: &RepositoryName, folder: &Path) -> Result<(), Failure> {
        let disk = &self.disk;
        for digest in digests_below(&folder.join(REVISIONS))?.0 {
            if disk.has_revision(name, &digest)? {
                continue;
            }
            let _removing = disk.locks.removing(name);
            if !disk.has_revision(name, &digest)? {
                let revision = disk.layout.revision(name, &digest);
                files::remove(&revision.join(MEDIA_TYPE))?;
                files::remove_empty(&revision)?;
            }
        }
        for kind in [LAYERS, REFERRERS] {
            for digest in digests_below(&folder.join(kind))?.0 {
                let folder = folder.join(kind).join(layout::folder(&digest));
                if files::names(&folder)?.is_empty() {
                    let _removing = disk.locks.removing(name);
                    files::remove_empty(&folder)?;
                }
            }
        }
        Ok(())
    }
}

/// What folders `<algorithm>/<hex>` stand for: digests, and others that are none here.
pub(in crate::embedded::disk) fn digests_below(
    folder: &Path,
) -> Result<(Vec<Digest>, Vec<String>), Failure> {
    let (mut digests, mut others) = (Vec::new(), Vec::new());
    for algorithm in files::names(folder)? {
        for hex in files::names(&folder.join(&algorithm))? {
            let text = format!("{algorithm}:{hex}");
            match text.parse() {
                Ok(digest) => digests.push(digest),
                Err(_) => others.push(text),
            }
        }
    }
    Ok((digests, others))
}

/// Removes a repository's folder as far as there is nothing in it. Other repositories may lie
/// below; what is the repository's own begins with `_`.
fn remove_empty_below(repository: &Path) -> Result<(), Failure> {
    let names = files::names(repository)?;
    for own in names.iter().filter(|name| name.starts_with('_')) {
        remove_empty_tree(&repository.join(own))?;
    }
    files::remove_empty(repository)
}

fn remove_empty_tree(folder: &Path) -> Result<(), Failure> {
    for name in files::names(folder)? {
        let path = folder.join(name);
        if path.is_dir() {
            remove_empty_tree(&path)?;
        }
    }
    files::remove_empty(folder)
}

pub(in crate::embedded::disk) const REVISIONS: &str = "_manifests/revisions";
