use std::sync::PoisonError;

use tokio::time::{Instant, sleep_until};

use super::{AUTHOR, Run, report::Report, view::candidate};
use crate::{
    inventory::{self, Artifact, Author, Editor},
    jobs::Failure,
    oci::{Reference, RepositoryName},
    retention::evaluate::{Candidate, Deletion, Plan, View},
};

/// What became of a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Deleted,
    /// A rule for immutable tags keeps it.
    Immutable,
    /// It is not any more what was judged.
    Changed,
    Failed(String),
}

impl Run<'_> {
    /// Carries the plan out, no faster than configured.
    pub(super) async fn delete(
        &self,
        name: &RepositoryName,
        (view, plan): (&View, &Plan),
        report: &mut Report<'_>,
    ) -> Result<(), Failure> {
        let editor = self.editor();
        for deletion in &plan.deletions {
            self.pace().await;
            let outcome = self.delete_one(&editor, name, (view, *deletion)).await?;
            let metrics = &self.shared.metrics;
            match outcome {
                Outcome::Deleted => metrics.deleted.inc(),
                Outcome::Failed(_) => metrics.failed.inc(),
                Outcome::Immutable | Outcome::Changed => 0,
            };
            report.note(*deletion, outcome);
        }
        Ok(())
    }

    fn editor(&self) -> Editor {
        let exchange = self.shared.registry.on_behalf_of(&Author::within(AUTHOR));
        self.shared.inventory.editor(exchange)
    }

    /// Waits for the turn of the next deletion.
    async fn pace(&self) {
        let turn = {
            let next = &self.shared.next_deletion;
            let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = (*next).max(Instant::now());
            *next = turn + self.shared.config.interval();
            turn
        };
        sleep_until(turn).await;
    }

    async fn delete_one(
        &self,
        editor: &Editor,
        name: &RepositoryName,
        (view, deletion): (&View, Deletion),
    ) -> Result<Outcome, Failure> {
        let index = match deletion {
            Deletion::Tag(item) => item.artifact,
            Deletion::Artifact(index) => index,
        };
        let judged = &view.artifacts[index];
        let Some((artifact, now)) = self.as_it_is(name, judged).await? else {
            return Ok(Outcome::Changed);
        };
        let done = match deletion {
            Deletion::Tag(item) => match view.tag(item) {
                Some(tag) if now.tags.contains(tag) => match tag.name.parse() {
                    Ok(tag) => editor.delete_tag(name, &tag).await,
                    Err(error) => return Ok(Outcome::Failed(format!("{error}"))),
                },
                _ => return Ok(Outcome::Changed),
            },
            Deletion::Artifact(_) if self.is_needed(judged, &now, &artifact).await? => {
                return Ok(Outcome::Changed);
            }
            Deletion::Artifact(_) => editor.delete_artifact(&artifact).await,
        };
        match done {
            Ok(()) => Ok(Outcome::Deleted),
            Err(error) => refused(error),
        }
    }

    /// The artifact of now: somebody may have pushed since it was judged.
    async fn as_it_is(
        &self,
        name: &RepositoryName,
        judged: &Candidate,
    ) -> Result<Option<(Artifact, Candidate)>, Failure> {
        let inventory = &self.shared.inventory;
        let Ok(digest) = judged.digest.parse() else {
            return Ok(None);
        };
        let found = inventory.artifact(name, &Reference::Digest(digest)).await;
        let artifact = match found {
            Ok(artifact) => artifact,
            Err(error) if error.kind() == inventory::Kind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let one = std::slice::from_ref(&artifact);
        let mut tags = inventory.tags_of(one).await?;
        let tags = tags.remove(&artifact.id).unwrap_or_default();
        Ok(Some((artifact.clone(), candidate(artifact, tags))))
    }

    /// Whether it was pushed or pulled since, or an index lists it that is not to go.
    async fn is_needed(
        &self,
        judged: &Candidate,
        now: &Candidate,
        artifact: &Artifact,
    ) -> Result<bool, Failure> {
        let has_new_tag = now.tags.iter().any(|tag| !judged.tags.contains(tag));
        if has_new_tag || now.pushed_ms != judged.pushed_ms || now.pulled_ms != judged.pulled_ms {
            return Ok(true);
        }
        let parents = self.shared.inventory.parents_of(artifact).await;
        // Those that were to go are gone by now.
        Ok(!parents?.is_empty())
    }
}

fn refused(error: inventory::Error) -> Result<Outcome, Failure> {
    match error {
        inventory::Error::Registry(error) if error.is_precondition() => Ok(Outcome::Immutable),
        inventory::Error::Registry(error) if !error.retryable() => {
            Ok(Outcome::Failed(error.explained()))
        }
        error => Err(error.into()),
    }
}
