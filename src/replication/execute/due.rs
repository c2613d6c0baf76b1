use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{audit, queries};
use crate::{
    jobs::NewJob,
    replication::{Error, PolicyId, Shared},
};

/// Enqueues the audit of each enabled event-based policy once in
/// [`Config::audit_interval_hours`](crate::replication::Config::audit_interval_hours), over all
/// instances, until told to stop.
pub(in crate::replication) async fn keep_auditing(shared: Arc<Shared>, stop: CancellationToken) {
    let interval = shared.config.audit_interval();
    if interval.is_zero() {
        return;
    }
    loop {
        if let Err(error) = enqueue_due(&shared, interval).await {
            tracing::debug!(%error, "which audits are due is not known");
        }
        let wait = stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY));
        if wait.await.is_none() {
            return;
        }
    }
}

pub(super) async fn enqueue_due(shared: &Shared, interval: Duration) -> Result<(), Error> {
    let mut tx = shared.db.begin().await?;
    let due = queries::take_audits(&mut tx, shared.clock.now(), interval).await?;
    let jobs: Vec<NewJob> = due.into_iter().map(job).collect();
    shared.jobs.enqueue_all(&mut tx, &jobs).await?;
    tx.commit().await?;
    if !jobs.is_empty() {
        shared.jobs.wake();
    }
    Ok(())
}

/// One at a time for each policy: a wish joins the audit that has not ended.
fn job(policy: PolicyId) -> NewJob {
    let params = json!({"policy": policy});
    NewJob::new(audit::KIND, format!("policy/{policy}"), params)
}

/// Often enough for intervals of hours.
const LOOK_EVERY: Duration = Duration::from_mins(1);
