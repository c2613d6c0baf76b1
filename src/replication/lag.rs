//! How far targets are behind.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    Error, Policy, PolicyId, RegistryId, Replication, Shared, metrics::LagLabels, policies,
    transfer,
};
use crate::{
    jobs::{Backlog, ParkedTarget},
    store::Listing,
};

/// What policies and targets have yet to do.
#[derive(Debug, Clone, Default)]
pub struct Lag {
    pub policies: Vec<PolicyLag>,
    /// The registries that policies copy to, or from; by their numbers.
    pub targets: Vec<TargetLag>,
}

#[derive(Debug, Clone)]
pub struct PolicyLag {
    pub id: PolicyId,
    pub name: String,
    pub enabled: bool,
    /// The registry that is not this one.
    pub registry: RegistryId,
    pub backlog: Backlog,
}

#[derive(Debug, Clone)]
pub struct TargetLag {
    pub registry: RegistryId,
    pub name: String,
    /// Of all policies with it.
    pub backlog: Backlog,
    /// Why it is left alone for a while, if it is.
    pub parked: Option<ParkedTarget>,
}

impl Replication {
    /// What is to be done now. Failures are those of the last day.
    pub async fn lag(&self) -> Result<Lag, Error> {
        let shared = &self.shared;
        let since = shared.clock.now().minus(FAILURES_OF);
        let mut backlogs = shared.jobs.backlogs(transfer::KIND, since).await?;
        let parked = shared.jobs.parked_targets().await?;
        let mut policies = Vec::new();
        let mut of_targets: BTreeMap<RegistryId, Backlog> = BTreeMap::new();
        for row in policies::queries::all(&shared.db).await? {
            let policy = Policy::try_from(row)?;
            let backlog = backlogs.remove(&policy.id.to_string()).unwrap_or_default();
            let registry = policy.spec.remote();
            of_targets.entry(registry).or_default().add(&backlog);
            policies.push(PolicyLag {
                id: policy.id,
                name: policy.spec.name,
                enabled: policy.spec.enabled,
                registry,
                backlog,
            });
        }
        let registries = self.registries(&Listing::default()).await?.items;
        let targets = registries.into_iter().filter_map(|registry| {
            let target = super::job_target(registry.id);
            Some(TargetLag {
                registry: registry.id,
                name: registry.name,
                backlog: of_targets.remove(&registry.id)?,
                parked: parked
                    .iter()
                    .find(|parked| parked.target == target)
                    .cloned(),
            })
        });
        let mut targets: Vec<_> = targets.collect();
        targets.sort_by_key(|target| target.registry);
        Ok(Lag { policies, targets })
    }
}

/// Keeps the metrics of the lag up to date until told to stop.
pub(super) async fn watch(shared: Arc<Shared>, stop: CancellationToken) {
    let replication = Replication { shared };
    let mut shown = HashSet::new();
    while stop
        .run_until_cancelled(tokio::time::sleep(INTERVAL))
        .await
        .is_some()
    {
        match replication.lag().await {
            Ok(lag) => {
                let now = replication.shared.show(&lag);
                for gone in shown.difference(&now) {
                    replication.shared.metrics.forget_lag(gone);
                }
                shown = now;
            }
            Err(error) => tracing::debug!(%error, "the lag of the targets is not known"),
        }
    }
}

impl Shared {
    /// Sets the metrics, and says which.
    fn show(&self, lag: &Lag) -> HashSet<LagLabels> {
        let (now, metrics) = (self.clock.now(), &self.metrics);
        let mut shown = HashSet::new();
        for policy in &lag.policies {
            let labels = LagLabels {
                policy: policy.id.0,
                registry: policy.registry.0,
            };
            let open = i64::try_from(policy.backlog.open()).unwrap_or(i64::MAX);
            metrics.behind.get_or_create(&labels).set(open);
            let seconds = policy.backlog.lag(now).as_secs();
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            metrics.lag_seconds.get_or_create(&labels).set(seconds);
            shown.insert(labels);
        }
        shown
    }
}

/// A failure that nobody has looked at for so long is history.
const FAILURES_OF: Duration = Duration::from_hours(24);
/// As often as metrics are read, usually.
const INTERVAL: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        replication::testing::{Reply, Rig, push, push_image},
        store::testing::databases,
        wire::Body,
    };

    #[tokio::test]
    async fn what_waits_is_counted_until_it_is_there() {
        for db in databases().await {
            let rig = Rig::new(db).await;
            let policy = rig.policy(|_| {}).await;
            for tag in ["v1", "v2"] {
                push_image(&rig.local, "library/app", tag, &["layer"]).await;
                rig.happen(&push("library/app", tag)).await;
            }
            let lag = rig.replication.lag().await.unwrap();
            let (of_policy, of_target) = (&lag.policies[0], &lag.targets[0]);
            assert_eq!((of_policy.id, of_policy.backlog.waiting), (policy, 2));
            assert_eq!(of_target.registry, of_policy.registry);
            assert_eq!(of_target.backlog, of_policy.backlog);
            assert_eq!(of_target.parked, None);
            let oldest = of_policy.backlog.oldest.unwrap();
            let minute_later = oldest.plus(Duration::from_mins(1));
            let lag_then = of_policy.backlog.lag(minute_later);
            assert_eq!(lag_then, Duration::from_mins(1));
            rig.replication.shared.show(&lag);
            let labels = LagLabels {
                policy: policy.0,
                registry: of_policy.registry.0,
            };
            let metrics = rig.replication.metrics();
            assert_eq!(metrics.behind.get_or_create(&labels).get(), 2);

            rig.work();
            rig.settled().await;
            let lag = rig.replication.lag().await.unwrap();
            assert_eq!(lag.policies[0].backlog, Backlog::default());
        }
    }

    #[tokio::test]
    async fn failures_of_the_last_day_are_counted() {
        for db in databases().await {
            let rig = Rig::new(db).await;
            rig.policy(|_| {}).await;
            rig.remote.script(|ask| {
                let no = http::Response::builder().status(403).body(Body::Empty);
                ask.is_upload_of_data().then(|| Reply::Answer(no.unwrap()))
            });
            push_image(&rig.local, "library/app", "v1", &["layer"]).await;
            rig.happen(&push("library/app", "v1")).await;
            rig.work();
            rig.settled().await;
            let lag = rig.replication.lag().await.unwrap();
            assert_eq!(lag.policies[0].backlog.failed, 1, "{lag:?}");
            assert_eq!(lag.policies[0].backlog.open(), 0);
        }
    }
}
