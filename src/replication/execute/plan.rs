//! What running a policy would do now, without doing it.

use super::{
    gone::Gone,
    sight::Sight,
    survey::Survey,
    walk::{Position, Stage, Walk},
};
use crate::{
    jobs::Failure,
    oci::{RepositoryName, Tag},
    replication::{Error, PolicySpec, Replication, executions::artifact_name},
};

/// What a run would do. The counts stop where the looking does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The first [`MAX_STEPS`].
    pub steps: Vec<Step>,
    pub copied: u64,
    pub deleted: u64,
    pub kept: u64,
    /// Whether nothing was left out.
    pub is_whole: bool,
    /// Why the run would delete nothing, though the destination has what the source has not.
    pub objection: Option<String>,
}

/// What would become of one tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub deed: Deed,
    /// `repository:tag`.
    pub source: String,
    pub destination: String,
    pub reason: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Copy,
    Delete,
    Keep,
}

impl Deed {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Delete => "delete",
            Self::Keep => "keep",
        }
    }
}

impl Replication {
    /// Compares both sides as a run would. Nothing is written anywhere; at most [`MAX_TAGS`]
    /// tags are looked at.
    pub async fn plan(&self, spec: &PolicySpec) -> Result<Plan, Error> {
        spec.check()?;
        let survey = Survey::open(&self.shared, spec)
            .await
            .map_err(|failure| unseen(&failure))?;
        let mut plan = Plan {
            is_whole: true,
            ..Plan::default()
        };
        plan.fill(&survey, spec)
            .await
            .map_err(|failure| unseen(&failure))?;
        Ok(plan)
    }
}

fn unseen(failure: &Failure) -> Error {
    Error::Unplannable(failure.message().to_owned())
}

impl Plan {
    async fn fill(&mut self, survey: &Survey<'_>, spec: &PolicySpec) -> Result<(), Failure> {
        let mut gone = Gone::default();
        let mut left = MAX_TAGS;
        let mut walk = Walk::new(survey, Position::default());
        while let Some(stage) = walk.next().await? {
            let Stage {
                repository,
                mut tags,
                ..
            } = stage;
            if spec.runs_delete {
                gone.compare(survey, spec, &repository, &tags).await?;
            }
            self.is_whole &= tags.len() <= left;
            tags.truncate(left);
            left -= tags.len();
            self.copies(survey, spec, &repository, &tags).await?;
            if left == 0 {
                self.is_whole = false;
                break;
            }
        }
        self.objection = spec.deletion_limit.objection(gone.count(), gone.held);
        let deed = if self.objection.is_some() {
            Deed::Keep
        } else {
            Deed::Delete
        };
        for (source, there, tags) in gone.deletable() {
            for tag in tags {
                self.add((source, there), tag, (deed, "gone at the source"));
            }
        }
        Ok(())
    }

    async fn copies(
        &mut self,
        survey: &Survey<'_>,
        spec: &PolicySpec,
        repository: &RepositoryName,
        tags: &[Tag],
    ) -> Result<(), Failure> {
        let there = spec.namespace.map(repository);
        let there = there.map_err(|error| Failure::permanent(error.to_string()))?;
        for (tag, sight) in survey.sights((repository, &there), tags).await? {
            let fate = match sight {
                Sight::Gone => (Deed::Keep, "gone at the source meanwhile"),
                Sight::Missing => (Deed::Copy, "missing at the destination"),
                Sight::Equal => (Deed::Keep, "equal"),
                Sight::Different if spec.overwrite => (Deed::Copy, "different at the destination"),
                Sight::Different => (Deed::Keep, "different, and the policy does not overwrite"),
            };
            self.add((repository, &there), &tag, fate);
        }
        Ok(())
    }

    fn add(
        &mut self,
        (source, there): (&RepositoryName, &RepositoryName),
        tag: &Tag,
        (deed, reason): (Deed, &'static str),
    ) {
        let counter = match deed {
            Deed::Copy => &mut self.copied,
            Deed::Delete => &mut self.deleted,
            Deed::Keep => &mut self.kept,
        };
        *counter += 1;
        if self.steps.len() == MAX_STEPS {
            self.is_whole = false;
            return;
        }
        self.steps.push(Step {
            deed,
            source: artifact_name(source.as_str(), tag.as_str()),
            destination: artifact_name(there.as_str(), tag.as_str()),
            reason,
        });
    }
}

/// What a person reads through, or a script checks, in one answer.
const MAX_STEPS: usize = 1000;
/// Two requests each: a plan of so many takes a minute or two.
const MAX_TAGS: usize = 10_000;
