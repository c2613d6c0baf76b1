//! Policies as they are kept: reading, making, changing and deleting them, with their schedules.

pub(crate) mod queries;
mod snapshot;
#[cfg(test)]
mod tests;

use serde_json::json;

use super::{
    Error, Policy, PolicyId, PolicySpec, Registry, Replication, Trigger, execute,
    executions::queries as executions,
};
use crate::{
    failpoint,
    jobs::{Cron, Firing, NewSchedule, Overlap},
    store::{self, Listing, Page, Tx},
};

pub(in crate::replication) use snapshot::Snapshot;

impl Replication {
    /// Policies; filtered and sorted by `id`, `name`, `enabled`, `trigger`, `src_registry_id`,
    /// `dest_registry_id`, `creation_time` and `update_time`.
    pub async fn policies(&self, listing: &Listing) -> Result<Page<Policy>, Error> {
        let page = queries::list(&self.shared.db, listing).await?;
        Ok(Page {
            items: page
                .items
                .into_iter()
                .map(Policy::try_from)
                .collect::<Result<_, _>>()?,
            total: page.total,
        })
    }

    pub async fn policy(&self, id: PolicyId) -> Result<Policy, Error> {
        self.shared.policy(id).await?.ok_or(Error::NoPolicy(id))
    }

    pub async fn create_policy(&self, spec: &PolicySpec) -> Result<PolicyId, Error> {
        spec.check()?;
        self.check_circle(None, spec).await?;
        let mut tx = self.shared.db.begin().await?;
        let id = queries::insert(&mut tx, spec, self.shared.clock.now())
            .await
            .map_err(|error| refusal(error, spec))?;
        self.keep_schedule(&mut tx, id, spec).await?;
        queries::bump_revision(&mut tx).await?;
        failpoint::hit("replication.policy_before_commit");
        tx.commit().await?;
        failpoint::hit("replication.policy_committed");
        tracing::info!(policy.id = id.0, policy.name = spec.name, "policy created");
        self.shared.snapshot.refresh(&self.shared.db).await?;
        Ok(id)
    }

    /// Disabling a policy stops its jobs that no worker has.
    pub async fn update_policy(&self, id: PolicyId, spec: &PolicySpec) -> Result<(), Error> {
        spec.check()?;
        self.check_circle(Some(id), spec).await?;
        let mut tx = self.shared.db.begin().await?;
        let found = queries::update(&mut tx, id, spec, self.shared.clock.now())
            .await
            .map_err(|error| refusal(error, spec))?;
        if !found {
            return Err(Error::NoPolicy(id));
        }
        self.keep_schedule(&mut tx, id, spec).await?;
        queries::bump_revision(&mut tx).await?;
        tx.commit().await?;
        tracing::info!(policy.id = id.0, policy.name = spec.name, "policy changed");
        self.shared.snapshot.refresh(&self.shared.db).await?;
        if !spec.enabled {
            for job in executions::waiting_jobs(&self.shared.db, id).await? {
                self.shared.jobs.stop(job).await?;
                failpoint::hit("replication.job_of_policy_stopped");
            }
        }
        Ok(())
    }

    /// The newest slots of the policy's schedule and what became of them, newest first.
    pub async fn firings(&self, id: PolicyId) -> Result<Vec<Firing>, Error> {
        self.policy(id).await?;
        let schedules = &self.shared.schedules;
        Ok(schedules.firings(&schedule_key(id), FIRINGS).await?)
    }

    /// Refused while an execution of the policy is in progress. Its history goes with it.
    pub async fn delete_policy(&self, id: PolicyId) -> Result<(), Error> {
        let mut tx = self.shared.db.begin().await?;
        if let Some(execution) = executions::live_one(&mut tx, id, None).await? {
            return Err(Error::Precondition(format!(
                "execution {execution} of policy {id} is in progress; stop it first"
            )));
        }
        if !queries::delete(&mut tx, id).await? {
            return Err(Error::NoPolicy(id));
        }
        self.shared
            .schedules
            .remove(&mut tx, &schedule_key(id))
            .await?;
        queries::bump_revision(&mut tx).await?;
        tx.commit().await?;
        tracing::info!(policy.id = id.0, "policy deleted");
        self.shared.snapshot.refresh(&self.shared.db).await?;
        Ok(())
    }

    /// Refuses a policy that copies everything onto itself, and one that makes a circle with
    /// another unless one of the two says that it is meant so.
    async fn check_circle(&self, id: Option<PolicyId>, spec: &PolicySpec) -> Result<(), Error> {
        let registries = self.registries(&Listing::default()).await?.items;
        let of = |policy: &PolicySpec| {
            let remote = policy.remote();
            registries
                .iter()
                .find(move |registry| registry.id == remote)
        };
        let Some(remote) = of(spec) else {
            return Err(Error::NoRegistry(spec.remote()));
        };
        if remote.installation.as_deref() == Some(self.installation()) && spec.keeps_names() {
            return Err(Error::Invalid(format!(
                "the registry `{}` is this gateway itself: the policy would copy every image onto \
                 itself",
                remote.name
            )));
        }
        let is_same = |other: &Registry| {
            other.url == remote.url
                || other.installation.is_some() && other.installation == remote.installation
        };
        for row in queries::all(&self.shared.db).await? {
            let Ok(other) = Policy::try_from(row) else {
                continue;
            };
            let is_opposite = Some(other.id) != id
                && of(&other.spec).is_some_and(is_same)
                && spec.circles_with(&other.spec);
            if is_opposite && !spec.bidirectional && !other.spec.bidirectional {
                return Err(Error::Invalid(format!(
                    "the policy `{}` brings back from `{}` what this one sends there, or the other \
                     way round; set `bidirectional` if both are meant to be",
                    other.spec.name, remote.name
                )));
            }
        }
        Ok(())
    }

    /// Makes the schedule what the policy says.
    async fn keep_schedule(
        &self,
        tx: &mut Tx,
        id: PolicyId,
        spec: &PolicySpec,
    ) -> Result<(), Error> {
        let schedules = &self.shared.schedules;
        let key = schedule_key(id);
        match &spec.trigger {
            Trigger::Scheduled { cron } if spec.enabled => {
                let cron = Cron::parse(cron)
                    .map_err(|error| Error::Invalid(format!("the cron expression: {error}")))?;
                let params = json!({"policy": id, "trigger": spec.trigger.name()});
                let schedule = NewSchedule {
                    key: &key,
                    kind: execute::KIND,
                    cron: &cron,
                    params: &params,
                    // A run that were taken into the one before would skip what that one has listed.
                    overlap: Overlap::Skip,
                };
                schedules.put(tx, schedule).await?;
            }
            _ => {
                schedules.remove(tx, &key).await?;
            }
        }
        Ok(())
    }
}

fn refusal(error: store::Error, spec: &PolicySpec) -> Error {
    match error {
        store::Error::Duplicate => {
            let name = &spec.name;
            Error::Duplicate(format!(
                "a replication policy named `{name}` exists already"
            ))
        }
        store::Error::Referenced => Error::NoRegistry(spec.remote()),
        other => other.into(),
    }
}

/// Also the key of the job that a firing enqueues, so that a firing during a run is one more run.
fn schedule_key(id: PolicyId) -> String {
    format!("policy/{id}")
}

/// A day of a schedule that fires every quarter of an hour.
const FIRINGS: u16 = 100;
