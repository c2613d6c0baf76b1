use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use serde::Deserialize;

use super::{
    by_hand,
    making::{Making, Progress},
    sight::Sight,
    survey::Survey,
    walk::{Stage, Walk},
};
use crate::{
    jobs::{ByHand, Failure, Handler, Running},
    oci::{RepositoryName, Tag},
    replication::{
        Error, Operation, Policy, PolicyId, Shared, executions::artifact_name, metrics::AuditSight,
        transfer::from_inner,
    },
};

/// The kind of these jobs.
pub(in crate::replication) const KIND: &str = "replication.audit";

/// How executions that an audit has made say why they were.
const TRIGGER: &str = "audit";

/// Runs the jobs that compare both sides of a policy and make tasks for what differs.
///
/// An audit believes nothing that is remembered of the destination, deletes nothing, and takes its
/// time: each run of the job asks some questions and leaves the rest to a later run, so that no
/// more than [`Config::audit_requests_per_second`] are asked and no worker waits.
///
/// [`Config::audit_requests_per_second`]: crate::replication::Config::audit_requests_per_second
#[derive(Debug)]
pub(in crate::replication) struct Auditor {
    shared: Arc<Shared>,
}

#[derive(Debug, Deserialize)]
struct Parameters {
    policy: PolicyId,
}

/// A part of an audit: what one run of the job does.
struct Audit<'a> {
    shared: &'a Shared,
    policy: &'a Policy,
    job: &'a Running,
    making: Making<'a>,
    progress: Progress,
    budget: Budget,
}

/// What a run has asked, and may.
struct Budget {
    began: Instant,
    requests: u32,
    per_second: u32,
}

impl Auditor {
    pub(in crate::replication) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn audit(&self, job: &Running) -> Result<(), Failure> {
        let parameters = Parameters::deserialize(&job.params)
            .map_err(|error| Failure::permanent(format!("the job's parameters: {error}")))?;
        let policy = self.shared.policy(parameters.policy).await;
        let policy = policy.map_err(|error: Error| from_inner(&error))?;
        let Some(policy) = policy.filter(|policy| policy.spec.enabled) else {
            job.log.line("the policy is gone or disabled");
            return Ok(());
        };
        let making = Making::begin(&self.shared, &policy, job, TRIGGER).await?;
        let Some(making) = making else {
            return Ok(());
        };
        let mut audit = Audit {
            shared: &self.shared,
            policy: &policy,
            job,
            progress: making.progress().await?,
            making,
            budget: Budget::new(self.shared.config.audit_requests_per_second),
        };
        tokio::select! {
            done = audit.go_on() => done,
            () = job.stop.cancelled() => Err(Failure::Stopped),
        }
    }
}

impl Audit<'_> {
    async fn go_on(&mut self) -> Result<(), Failure> {
        let survey = Survey::open(self.shared, &self.policy.spec).await?;
        let mut walk = Walk::new(&survey, self.progress.position.clone());
        while let Some(stage) = walk.next().await? {
            self.budget.spend_on_list(stage.tags.len());
            if self.compare(&survey, &mut walk, &stage).await? {
                walk.pass(&stage.repository);
            }
            self.progress.position = walk.position();
            if self.budget.is_spent() {
                self.job.leave_rest(self.budget.pause());
                return self.making.save(&self.progress).await;
            }
        }
        self.report();
        self.making.finish().await
    }

    /// Compares a repository until the budget is spent; whether all of it is done.
    async fn compare(
        &mut self,
        survey: &Survey<'_>,
        walk: &mut Walk<'_>,
        stage: &Stage,
    ) -> Result<bool, Failure> {
        let repository = &stage.repository;
        let there = match self.policy.spec.namespace.map(repository) {
            Ok(there) => there,
            Err(unmappable) => {
                self.job.log.line(unmappable.to_string());
                return Ok(true);
            }
        };
        if !stage.is_resumed {
            self.count_extra(survey, stage, &there).await?;
        }
        let made = self.making.made(repository).await?;
        let mut batches = stage.tags.chunks(BATCH).peekable();
        while let Some(some) = batches.next() {
            self.budget.spend(2 * some.len());
            let sights = survey.sights((repository, &there), some).await?;
            let under_way = self.making.under_way(repository, some).await?;
            let mut wanted = Vec::new();
            for (tag, sight) in sights {
                if under_way.contains(&tag) {
                    continue;
                }
                if self.count(repository, &tag, sight) && !made.contains(tag.as_str()) {
                    wanted.push(tag);
                }
            }
            if let Some(last) = some.last() {
                walk.reach(repository, last);
            }
            self.progress.position = walk.position();
            self.repair(repository, &wanted).await?;
            if self.budget.is_spent() && batches.peek().is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn repair(&mut self, repository: &RepositoryName, tags: &[Tag]) -> Result<(), Failure> {
        if tags.is_empty() {
            return Ok(());
        }
        self.progress.tally.tasks += tags.len() as u64;
        self.making
            .tasks((repository, tags), Operation::Copy, &self.progress)
            .await
    }

    /// What the destination has more, of a repository that is alone there.
    async fn count_extra(
        &mut self,
        survey: &Survey<'_>,
        stage: &Stage,
        there: &RepositoryName,
    ) -> Result<(), Failure> {
        if !self.policy.spec.namespace.keeps_apart() {
            return Ok(());
        }
        let held = survey.held(there).await?;
        self.budget.spend_on_list(held.len());
        let is_extra = |tag: &&Tag| stage.tags.binary_search(tag).is_err();
        let extra = held.iter().filter(is_extra).count() as u64;
        self.progress.tally.extra += extra;
        self.shared.metrics.count_audited(AuditSight::Extra, extra);
        Ok(())
    }

    /// Whether the tag is to be copied.
    fn count(&mut self, repository: &RepositoryName, tag: &Tag, sight: Sight) -> bool {
        let tally = &mut self.progress.tally;
        let (number, label, words) = match sight {
            Sight::Gone => return false,
            Sight::Equal => (&mut tally.equal, AuditSight::Equal, None),
            Sight::Missing => (
                &mut tally.missing,
                AuditSight::Missing,
                Some("is missing at the destination"),
            ),
            Sight::Different => (
                &mut tally.different,
                AuditSight::Different,
                Some("is different at the destination"),
            ),
        };
        *number += 1;
        self.shared.metrics.count_audited(label, 1);
        if let Some(words) = words {
            let artifact = artifact_name(repository.as_str(), tag.as_str());
            self.job.log.line(format!("{artifact} {words}"));
        }
        match sight {
            Sight::Missing => true,
            Sight::Different => self.policy.spec.overwrite && !self.is_mutual(),
            Sight::Equal | Sight::Gone => false,
        }
    }

    /// Whether the destination has pushes of its own, of which some may not have come here yet:
    /// nobody can tell by the digests which side is the newer one.
    fn is_mutual(&self) -> bool {
        let spec = &self.policy.spec;
        spec.bidirectional || self.shared.snapshot.is_gateway(spec.destination)
    }

    fn report(&self) {
        let tally = self.progress.tally;
        self.job.log.line(format!(
            "finished: {} tags are equal, {} were missing at the destination, {} different; the \
             destination has {} more; {} tasks made",
            tally.equal, tally.missing, tally.different, tally.extra, tally.tasks
        ));
        self.shared.metrics.audits.inc();
        if tally.missing + tally.different > 0 {
            tracing::warn!(
                policy.id = self.policy.id.0,
                missing = tally.missing,
                different = tally.different,
                tasks = tally.tasks,
                "an audit found a destination that was not equal to its source"
            );
        }
    }
}

impl Budget {
    fn new(per_second: u32) -> Self {
        Self {
            began: Instant::now(),
            requests: 0,
            per_second: per_second.max(1),
        }
    }

    fn spend(&mut self, requests: usize) {
        let requests = u32::try_from(requests).unwrap_or(u32::MAX);
        self.requests = self.requests.saturating_add(requests);
    }

    /// A list of tags, page by page.
    fn spend_on_list(&mut self, tags: usize) {
        self.spend(1 + tags / 1000);
    }

    fn is_spent(&self) -> bool {
        self.requests >= self.per_second.saturating_mul(PART_SECONDS)
    }

    /// Until so many requests were allowed.
    fn pause(&self) -> Duration {
        let allowed = Duration::from_secs(u64::from(self.requests)) / self.per_second;
        allowed.saturating_sub(self.began.elapsed())
    }
}

impl Handler for Auditor {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn by_hand(&self) -> Option<ByHand> {
        Some(by_hand)
    }

    fn run<'a>(&'a self, job: &'a Running) -> BoxFuture<'a, Result<(), Failure>> {
        self.audit(job).boxed()
    }
}

/// Tags compared, and tasks made in one transaction, at most.
const BATCH: usize = 50;
/// The budget of so many seconds is spent at once, so that few parts are written down.
const PART_SECONDS: u32 = 2;
