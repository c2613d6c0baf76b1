use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::{Error, Event, EventType, Policy, queries};
use crate::{settings, store::Db};

/// The enabled policies in memory, so that a push asks no database whether anybody cares.
///
/// Changes made by this process are seen at once, those of other instances within
/// [`POLL_INTERVAL`].
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// By the names of their projects.
    known: ArcSwap<HashMap<String, Vec<Arc<Policy>>>>,
    revision: AtomicI64,
    /// Have the switch that keeps all events from all policies.
    settings: settings::Reader,
}

impl Snapshot {
    pub(super) fn new(settings: settings::Reader) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// Whether any policy of the project, given by its name, wants such events.
    pub(super) fn wants(&self, project: &str, kind: EventType) -> bool {
        if !self.settings.values().notification_enable {
            return false;
        }
        let known = self.known.load();
        let wants = |policy: &Arc<Policy>| policy.event_types.contains(&kind);
        known
            .get(project)
            .is_some_and(|policies| policies.iter().any(wants))
    }

    /// Whether any policy of any project wants such events.
    pub(super) fn is_wanted_anywhere(&self, kind: EventType) -> bool {
        let known = self.known.load();
        known.keys().any(|project| self.wants(project, kind))
    }

    /// The policies that want an event.
    pub(super) fn concerned(&self, event: &Event) -> Vec<Arc<Policy>> {
        let known = self.known.load();
        let policies = known.get(&event.project).into_iter().flatten();
        let wanting = policies.filter(|policy| policy.event_types.contains(&event.kind));
        wanting.cloned().collect()
    }

    /// Reads the policies anew. A row that cannot be read is reported and left out: it must not
    /// keep the others from working.
    pub(super) async fn refresh(&self, db: &Db) -> Result<(), Error> {
        let revision = queries::mark(db, queries::POLICIES_MARK).await?;
        let mut known: HashMap<String, Vec<Arc<Policy>>> = HashMap::new();
        for row in queries::enabled(db).await? {
            let project = row.project_name.clone();
            match Policy::try_from(row) {
                Ok(policy) => known.entry(project).or_default().push(Arc::new(policy)),
                Err(error) => tracing::error!(%error, "a webhook policy is unreadable"),
            }
        }
        self.known.store(Arc::new(known));
        self.revision.store(revision, Ordering::Release);
        Ok(())
    }

    /// Follows the changes of other instances until told to stop.
    pub(super) async fn follow(&self, db: &Db, stop: &CancellationToken) {
        let mut away = false;
        while stop
            .run_until_cancelled(tokio::time::sleep(POLL_INTERVAL))
            .await
            .is_some()
        {
            let followed = self.refresh_if_changed(db).await;
            if let Err(error) = &followed
                && !away
            {
                tracing::warn!(%error, "webhook policies cannot be read; the last known stay");
            }
            away = followed.is_err();
        }
    }

    async fn refresh_if_changed(&self, db: &Db) -> Result<(), Error> {
        let revision = queries::mark(db, queries::POLICIES_MARK).await?;
        if revision == self.revision.load(Ordering::Acquire) {
            return Ok(());
        }
        self.refresh(db).await
    }
}

/// DESIGN.md section 3: what an administrator changes takes effect within a second.
const POLL_INTERVAL: Duration = Duration::from_millis(900);
