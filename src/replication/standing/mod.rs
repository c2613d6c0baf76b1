//! Whether a reference is at the targets that policies send it to, and waiting until it is.

pub(crate) mod queries;
#[cfg(test)]
mod tests;

use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::{
    Change, ChangeKind, Error, Operation, Origin, Policy, PolicyId, RegistryId, Replication,
    Shared, executions::artifact_name, intents::Wish,
};
use crate::{
    jobs::{Job, JobId, State},
    oci::{Digest, Reference, RepositoryName},
};

/// A reference that somebody waits for.
#[derive(Debug, Clone)]
pub struct Awaited {
    pub repository: RepositoryName,
    pub reference: Reference,
    /// What it is to be there; `None`: what it is here when the waiting begins.
    pub digest: Option<Digest>,
    /// One policy only; `None`: every enabled one that hears of pushes of it.
    pub policy: Option<PolicyId>,
}

/// Where a reference is, and where not yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub digest: Digest,
    pub targets: Vec<TargetStanding>,
}

/// How far a reference is with one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetStanding {
    pub policy: PolicyId,
    pub policy_name: String,
    pub registry: RegistryId,
    /// At the target.
    pub repository: String,
    pub progress: Progress,
    /// The job that brings it there, or was the last to try.
    pub job: Option<JobId>,
    /// Why it is not there; else empty.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The target says so.
    There,
    /// A job waits for its turn, or the push is about to become one.
    Waiting,
    Running,
    /// A job failed and will try again.
    Retrying,
    /// The target could not be asked.
    Unknown,
    /// It is not there, and nobody is about to bring it.
    Missing,
}

impl Standing {
    pub fn is_complete(&self) -> bool {
        let mut targets = self.targets.iter();
        targets.all(|target| target.progress == Progress::There)
    }

    /// Whether waiting may help.
    pub fn is_under_way(&self) -> bool {
        let mut targets = self.targets.iter();
        targets.any(|target| !matches!(target.progress, Progress::There | Progress::Missing))
    }
}

impl Progress {
    pub const fn name(self) -> &'static str {
        match self {
            Self::There => "there",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Unknown => "unknown",
            Self::Missing => "missing",
        }
    }
}

impl Replication {
    /// Where the reference is, as soon as it is everywhere or nobody brings it to where it is
    /// missing, at the latest after `patience` or when the process is to end. No database connection is held meanwhile.
    ///
    /// [`Error::NotMirrored`] when no policy is concerned, [`Error::NotHere`] when there is no such
    /// reference here, [`Error::TooManyWait`] with [`MAX_WAITING`] others waiting.
    pub async fn wait(&self, awaited: &Awaited, patience: Duration) -> Result<Standing, Error> {
        let shared = &self.shared;
        let _place = shared
            .waiting
            .try_acquire()
            .map_err(|_all_taken| Error::TooManyWait)?;
        let end = Instant::now() + patience;
        let digest = shared.awaited_digest(awaited).await?;
        let wishes = shared.wishes_for(awaited, &digest)?;
        let mut pause = FIRST_PAUSE;
        loop {
            let standing = Standing {
                digest: digest.clone(),
                targets: shared.standing(&wishes, &digest).await?,
            };
            let is_settled = standing.is_complete() || !standing.is_under_way();
            if is_settled || Instant::now() + pause > end {
                return Ok(standing);
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shared.jobs.closing() => return Ok(standing),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl Shared {
    async fn awaited_digest(&self, awaited: &Awaited) -> Result<Digest, Error> {
        match (&awaited.digest, &awaited.reference) {
            (Some(digest), _) | (None, Reference::Digest(digest)) => Ok(digest.clone()),
            (None, reference) => {
                let here = self.client(RegistryId::LOCAL).await?;
                let head = here.head_manifest(&awaited.repository, reference).await?;
                head.map(|head| head.digest).ok_or_else(|| Error::NotHere {
                    repository: awaited.repository.to_string(),
                    reference: reference.to_string(),
                })
            }
        }
    }

    /// What a push of it would make the policies wish.
    fn wishes_for(&self, awaited: &Awaited, digest: &Digest) -> Result<Vec<(String, Wish)>, Error> {
        let push = Change {
            repository: awaited.repository.clone(),
            kind: ChangeKind::Push {
                reference: awaited.reference.clone(),
                tags: Vec::new(),
                digest: digest.clone(),
                blob_bytes: None,
            },
            actor: String::new(),
            origin: Origin::default(),
        };
        let wish = |policy: &Policy| {
            let reference = awaited.reference.clone();
            Wish::new(policy, &awaited.repository, reference, Operation::Copy)
        };
        let affected = self.snapshot.affected(&push);
        let wishes: Vec<_> = affected
            .iter()
            .filter(|(policy, _)| awaited.policy.is_none_or(|only| policy.id == only))
            .map(|(policy, _)| (policy.spec.name.clone(), wish(policy)))
            .collect();
        if wishes.is_empty() {
            let (repository, reference) = (&awaited.repository, &awaited.reference);
            let name = artifact_name(repository.as_str(), reference.as_str());
            return Err(Error::NotMirrored(name));
        }
        Ok(wishes)
    }

    async fn standing(
        &self,
        wishes: &[(String, Wish)],
        digest: &Digest,
    ) -> Result<Vec<TargetStanding>, Error> {
        // Before the jobs: an intent becomes a job in one transaction.
        let intended = queries::intended(&self.db, wishes).await?;
        let jobs: Vec<_> = wishes.iter().map(|(_, wish)| wish.job()).collect();
        let live = self.jobs.live(&jobs).await?;
        let targets = wishes.iter().zip(jobs).map(|((name, wish), job)| {
            let live = live.iter().find(|live| live.key == job.key);
            let is_intended = intended.contains(&wish.policy);
            async move {
                let (progress, job, message) = match live {
                    Some(job) => under_way(job),
                    None if is_intended => (Progress::Waiting, None, String::new()),
                    None => self.at_the_target(wish, digest).await?,
                };
                Ok::<_, Error>(TargetStanding {
                    policy: wish.policy,
                    policy_name: name.clone(),
                    registry: wish.remote,
                    repository: wish.destination.clone(),
                    progress,
                    job,
                    message,
                })
            }
        });
        try_join_all(targets).await
    }

    /// Asks the target, for nobody is about to change it.
    async fn at_the_target(&self, wish: &Wish, digest: &Digest) -> Result<Told, Error> {
        let last = queries::last_job(&self.db, wish).await?;
        let last = match last {
            Some(id) => self.jobs.job(id).await.ok(),
            None => None,
        };
        let job = last.as_ref().map(|job| job.id);
        let there = match wish.destination.parse() {
            Ok(repository) => {
                let client = self.client(wish.remote).await?;
                let repository: RepositoryName = repository;
                client.head_manifest(&repository, &wish.reference).await
            }
            Err(_unmappable) => Ok(None),
        };
        Ok(match there {
            Ok(Some(head)) if head.digest == *digest => (Progress::There, job, String::new()),
            Ok(there) => {
                let failure = last.and_then(|job| job.error);
                let message = failure.unwrap_or_else(|| match there {
                    Some(other) => format!("the target has {}", other.digest),
                    None => "the target does not have it, and no job is about to bring it".into(),
                });
                (Progress::Missing, job, message)
            }
            Err(error) => (Progress::Unknown, job, error.to_string()),
        })
    }
}

type Told = (Progress, Option<JobId>, String);

fn under_way(job: &Job) -> Told {
    let progress = match job.state {
        State::Running => Progress::Running,
        State::Retry => Progress::Retrying,
        _ready => Progress::Waiting,
    };
    let message = job.error.clone().unwrap_or_default();
    (progress, Some(job.id), message)
}

/// Each holds a connection of the listener and asks the database once a second.
pub(super) const MAX_WAITING: usize = 256;
/// A copy with nothing but a manifest to bring takes about as long.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
