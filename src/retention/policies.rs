use serde_json::json;

use super::{Error, Policy, PolicyId, PolicySpec, Retention, queries, run};
use crate::{
    auth::ProjectId,
    jobs::{NewSchedule, Overlap},
    store::{self, Tx},
};

impl Retention {
    pub async fn policy(&self, id: PolicyId) -> Result<Policy, Error> {
        self.shared.policy(id).await
    }

    /// Makes the policy of a project that has none; its setting `retention_id` names it.
    pub async fn create_policy(&self, spec: &PolicySpec) -> Result<PolicyId, Error> {
        spec.check()?;
        let shared = &self.shared;
        let mut tx = shared.db.begin().await?;
        let id = queries::insert(&mut tx, spec, shared.clock.now())
            .await
            .map_err(|error| match error {
                store::Error::Duplicate => Error::Duplicate(spec.project),
                other => other.into(),
            })?;
        let value = id.to_string();
        shared
            .auth
            .put_setting(&mut tx, spec.project, (SETTING, &value))
            .await?;
        self.keep_schedule(&mut tx, id, spec).await?;
        tx.commit().await?;
        tracing::info!(policy.id = id.0, "retention policy created");
        Ok(id)
    }

    /// The policy stays with its project. A run under way goes on by the rules that it began with.
    pub async fn update_policy(&self, id: PolicyId, spec: &PolicySpec) -> Result<(), Error> {
        spec.check()?;
        let shared = &self.shared;
        let mut tx = shared.db.begin().await?;
        if !queries::update(&mut tx, id, spec, shared.clock.now()).await? {
            return Err(Error::NoPolicy(id));
        }
        self.keep_schedule(&mut tx, id, spec).await?;
        tx.commit().await?;
        tracing::info!(policy.id = id.0, "retention policy changed");
        Ok(())
    }

    /// Deletes a policy with its runs; one that is under way is stopped.
    pub async fn delete_policy(&self, id: PolicyId) -> Result<(), Error> {
        let policy = self.policy(id).await?;
        let shared = &self.shared;
        if let Some(live) = queries::live(&shared.db, id).await? {
            self.stop_execution(id, live).await?;
        }
        let mut tx = shared.db.begin().await?;
        shared.schedules.remove(&mut tx, &schedule_key(id)).await?;
        let project = policy.spec.project;
        shared
            .auth
            .remove_setting(&mut tx, project, (SETTING, &id.to_string()))
            .await?;
        if !queries::delete(&mut tx, id).await? {
            return Err(Error::NoPolicy(id));
        }
        tx.commit().await?;
        tracing::info!(policy.id = id.0, "retention policy deleted");
        Ok(())
    }

    /// Deletes the policy of a project, if it has one.
    pub async fn forget_project(&self, project: ProjectId) -> Result<(), Error> {
        match queries::policy_of(&self.shared.db, project).await? {
            Some(id) => self.delete_policy(id).await,
            None => Ok(()),
        }
    }

    async fn keep_schedule(
        &self,
        tx: &mut Tx,
        id: PolicyId,
        spec: &PolicySpec,
    ) -> Result<(), Error> {
        let (schedules, key) = (&self.shared.schedules, schedule_key(id));
        match spec.schedule()? {
            Some(cron) => {
                let params = json!({"policy": id, "trigger": run::SCHEDULED});
                let schedule = NewSchedule {
                    key: &key,
                    kind: run::KIND,
                    cron: &cron,
                    params: &params,
                    overlap: Overlap::Merge,
                };
                schedules.put(tx, schedule).await?;
            }
            None => {
                schedules.remove(tx, &key).await?;
            }
        }
        Ok(())
    }
}

/// Also the key of the job that a firing enqueues.
fn schedule_key(id: PolicyId) -> String {
    format!("retention/{id}")
}

/// Harbor's.
const SETTING: &str = "retention_id";
