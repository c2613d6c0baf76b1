//! Policies: reading, making, changing and deleting them; their secrets.

mod secrets;

use super::{
    Error, EventType, Policy, PolicyId, PolicySpec, Target, Webhooks,
    queries::{self, Columns},
};
use crate::{
    auth::ProjectId,
    clock::Timestamp,
    jobs,
    store::{self, Listing, Page},
};

pub(super) use secrets::{Secrets, open_secrets};

/// When a policy last had an event of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastTrigger {
    pub policy_name: String,
    pub event_type: EventType,
    pub enabled: bool,
    pub created: Timestamp,
    pub last: Option<Timestamp>,
}

impl Webhooks {
    /// The policies of a project; filtered and sorted by `id`, `name`, `description`, `creator`,
    /// `enabled`, `creation_time` and `update_time`.
    pub async fn policies(
        &self,
        project: ProjectId,
        listing: &Listing,
    ) -> Result<Page<Policy>, Error> {
        let page = queries::policies(&self.shared.db, project, listing).await?;
        Ok(Page {
            items: page
                .items
                .into_iter()
                .map(Policy::try_from)
                .collect::<Result<_, _>>()?,
            total: page.total,
        })
    }

    pub async fn policy(&self, project: ProjectId, id: PolicyId) -> Result<Policy, Error> {
        let row = queries::policy(&self.shared.db, project, id).await?;
        row.ok_or(Error::NoPolicy(id))?.try_into()
    }

    /// Makes a policy of a project in the name of `creator`.
    pub async fn create_policy(
        &self,
        project: ProjectId,
        creator: &str,
        spec: &PolicySpec,
    ) -> Result<PolicyId, Error> {
        let shared = &self.shared;
        spec.check()?;
        let (event_types, targets) = (spec.kinds()?, self.targets(project, spec, &[])?);
        let columns = columns(project, spec, (&event_types, &targets), shared.clock.now());
        let mut tx = shared.db.begin().await?;
        let inserted = queries::insert_policy(&mut tx, &columns, creator).await;
        let id = inserted.map_err(|error| name_taken(error, &spec.name))?;
        queries::bump_mark(&mut tx, queries::POLICIES_MARK).await?;
        tx.commit().await?;
        tracing::info!(
            policy.id = id.0,
            policy.name = spec.name,
            "webhook policy created"
        );
        shared.snapshot.refresh(&shared.db).await?;
        Ok(id)
    }

    /// Changes a policy; what waits to be delivered to a target that it no longer has fails.
    pub async fn update_policy(
        &self,
        project: ProjectId,
        id: PolicyId,
        spec: &PolicySpec,
    ) -> Result<(), Error> {
        let shared = &self.shared;
        let before = self.policy(project, id).await?;
        spec.check()?;
        let targets = self.targets(project, spec, &before.targets)?;
        let event_types = spec.kinds()?;
        let columns = columns(project, spec, (&event_types, &targets), shared.clock.now());
        let mut tx = shared.db.begin().await?;
        let updated = queries::update_policy(&mut tx, &columns, id).await;
        if !updated.map_err(|error| name_taken(error, &spec.name))? {
            return Err(Error::NoPolicy(id));
        }
        queries::bump_mark(&mut tx, queries::POLICIES_MARK).await?;
        tx.commit().await?;
        tracing::info!(
            policy.id = id.0,
            policy.name = spec.name,
            "webhook policy changed"
        );
        shared.snapshot.refresh(&shared.db).await
    }

    /// Deletes a policy with its history; what waits to be delivered is not.
    pub async fn delete_policy(&self, project: ProjectId, id: PolicyId) -> Result<(), Error> {
        let shared = &self.shared;
        self.policy(project, id).await?;
        let waiting = queries::live_jobs(&shared.db, id).await?;
        let mut tx = shared.db.begin().await?;
        if !queries::delete_policy(&mut tx, project, id).await? {
            return Err(Error::NoPolicy(id));
        }
        queries::bump_mark(&mut tx, queries::POLICIES_MARK).await?;
        tx.commit().await?;
        tracing::info!(policy.id = id.0, "webhook policy deleted");
        shared.snapshot.refresh(&shared.db).await?;
        for job in waiting {
            match shared.jobs.stop(job).await {
                Ok(_) | Err(jobs::Error::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// For each policy of a project and each type of its events, when the last one came.
    pub async fn last_triggers(&self, project: ProjectId) -> Result<Vec<LastTrigger>, Error> {
        let mut all = Vec::new();
        for policy in self.policies(project, &Listing::default()).await?.items {
            let rows = queries::last_triggers(&self.shared.db, policy.id).await?;
            for event_type in policy.event_types {
                let last = rows.iter().find(|row| row.event_type == event_type.name());
                all.push(LastTrigger {
                    policy_name: policy.name.clone(),
                    event_type,
                    enabled: policy.enabled,
                    created: policy.created,
                    last: last.map(|row| Timestamp::from_millis(row.last_ms)),
                });
            }
        }
        Ok(all)
    }

    /// The targets with their secrets sealed; those left out are taken from `before`.
    fn targets(
        &self,
        project: ProjectId,
        spec: &PolicySpec,
        before: &[Target],
    ) -> Result<Vec<Target>, Error> {
        let shared = &self.shared;
        let mut targets = Vec::with_capacity(spec.targets.len());
        for new in &spec.targets {
            let notify_type = new.kind()?;
            let address = new.checked_address(&shared.config)?;
            new.check_secrets()?;
            let kept = before
                .iter()
                .find(|old| old.address == address && old.notify_type == notify_type);
            let secrets = Secrets {
                key: &shared.sealing,
                project,
                address: &address,
            };
            targets.push(Target {
                notify_type,
                format: new.payload_format(notify_type)?,
                skip_cert_verify: new.skip_cert_verify,
                auth_header: match &new.auth_header {
                    Some(header) => secrets.seal("auth_header", header)?,
                    None => kept.and_then(|old| old.auth_header.clone()),
                },
                secret: match &new.secret {
                    Some(secret) => secrets.seal("secret", secret)?,
                    None => kept.and_then(|old| old.secret.clone()),
                },
                address,
            });
        }
        Ok(targets)
    }
}

fn columns<'a>(
    project: ProjectId,
    spec: &'a PolicySpec,
    (event_types, targets): (&'a [EventType], &'a [Target]),
    now: Timestamp,
) -> Columns<'a> {
    Columns {
        name: &spec.name,
        description: &spec.description,
        enabled: spec.enabled,
        event_types,
        targets,
        now,
        project,
    }
}

fn name_taken(error: store::Error, name: &str) -> Error {
    match error {
        store::Error::Duplicate => Error::Duplicate(format!(
            "a webhook policy named `{name}` exists already in this project"
        )),
        other => other.into(),
    }
}
