//! The way over all that a policy's source has, which can be left and taken up again.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::survey::{Repositories, Survey};
use crate::{
    jobs::Failure,
    oci::{RepositoryName, Tag},
    registry::Cursor,
};

/// How far a walk has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The page of the catalogue; `None` is the first.
    page: Option<Cursor>,
    /// The last repository on it that was dealt with, up to a tag or, with `None`, all of it.
    last: Option<(RepositoryName, Option<Tag>)>,
}

/// A walk over the repositories that the policy accepts, in the registry's order.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    survey: &'a Survey<'a>,
    repositories: Repositories<'a>,
    page: VecDeque<RepositoryName>,
    position: Position,
}

/// A repository with its accepted tags that are still to be dealt with, in order.
#[derive(Debug)]
pub(super) struct Stage {
    pub repository: RepositoryName,
    pub tags: Vec<Tag>,
    /// Whether some of the tags were dealt with before the walk was left.
    pub is_resumed: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(survey: &'a Survey<'a>, position: Position) -> Self {
        Self {
            survey,
            repositories: survey.repositories(position.page.clone()),
            page: VecDeque::new(),
            position,
        }
    }

    /// `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Stage>, Failure> {
        loop {
            if let Some(repository) = self.page.pop_front() {
                return self.stage(repository).await.map(Some);
            }
            let page = self.repositories.cursor();
            let Some(found) = self.repositories.next().await? else {
                return Ok(None);
            };
            self.page = found.into();
            if self.position.page != page {
                self.position = Position { page, last: None };
            } else if let Some((repository, tag)) = &self.position.last {
                // One that is gone meanwhile says nothing of the others: all of the page again.
                let reached = self.page.iter().position(|name| name == repository);
                let done = reached.map_or(0, |reached| reached + usize::from(tag.is_none()));
                self.page.drain(..done);
            }
        }
    }

    /// All up to this tag is dealt with.
    pub(super) fn reach(&mut self, repository: &RepositoryName, tag: &Tag) {
        self.position.last = Some((repository.clone(), Some(tag.clone())));
    }

    /// All of the repository is dealt with.
    pub(super) fn pass(&mut self, repository: &RepositoryName) {
        self.position.last = Some((repository.clone(), None));
    }

    pub(super) fn position(&self) -> Position {
        self.position.clone()
    }

    async fn stage(&self, repository: RepositoryName) -> Result<Stage, Failure> {
        let mut tags = self.survey.tags(&repository).await?;
        tags.sort();
        let last = self.position.last.as_ref();
        let reached = last.filter(|(reached, _tag)| *reached == repository);
        let reached = reached.and_then(|(_repository, tag)| tag.as_ref());
        if let Some(reached) = reached {
            tags.retain(|tag| tag > reached);
        }
        Ok(Stage {
            is_resumed: reached.is_some(),
            repository,
            tags,
        })
    }
}
