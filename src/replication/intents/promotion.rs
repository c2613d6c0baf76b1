use super::{Wish, tombstone};
use crate::{
    clock::Timestamp,
    failpoint,
    jobs::{JobId, Jobs, NewJob},
    replication::{
        Error, PolicyId, Trigger,
        executions::queries::{self as executions, NewExecution, NewTask},
        policies,
    },
    store::Tx,
};

/// Enqueues the jobs of `wishes` and, for each policy, one execution with their tasks.
///
/// A wish whose job waits or runs already joins it: that job's task shows what becomes of it.
/// Wishes of policies that are gone are forgotten.
pub(super) async fn promote(
    tx: &mut Tx,
    jobs: &Jobs,
    wishes: &[Wish],
    now: Timestamp,
) -> Result<(), Error> {
    let mut policies: Vec<PolicyId> = wishes.iter().map(|wish| wish.policy).collect();
    policies.sort();
    policies.dedup();
    for policy in policies {
        if !policies::queries::exists(tx, policy).await? {
            continue;
        }
        let of_policy: Vec<&Wish> = wishes.iter().filter(|wish| wish.policy == policy).collect();
        tombstone::bury(tx, &of_policy, now).await?;
        let new_jobs: Vec<NewJob> = of_policy.iter().map(|wish| wish.job()).collect();
        let enqueued = jobs.enqueue_all(tx, &new_jobs).await?;
        failpoint::hit("replication.jobs_of_push_enqueued");
        let fresh: Vec<(&Wish, JobId)> = of_policy
            .into_iter()
            .zip(enqueued)
            .filter_map(|(wish, enqueued)| (!enqueued.coalesced).then_some((wish, enqueued.id)))
            .collect();
        execute(tx, policy, &fresh, now).await?;
    }
    Ok(())
}

async fn execute(
    tx: &mut Tx,
    policy: PolicyId,
    fresh: &[(&Wish, JobId)],
    now: Timestamp,
) -> Result<(), Error> {
    if fresh.is_empty() {
        return Ok(());
    }
    let execution = NewExecution {
        policy,
        trigger: Trigger::EventBased.name(),
        job: None,
        skipped: None,
        now,
    };
    let Some(execution) = executions::insert(tx, execution).await? else {
        return Ok(());
    };
    failpoint::hit("replication.execution_of_push_made");
    for (wish, job) in fresh {
        let task = NewTask {
            execution,
            job: *job,
            operation: wish.operation,
            repository: &wish.repository,
            reference: wish.reference.as_str(),
            destination: &wish.destination,
            now,
        };
        executions::insert_task(tx, task).await?;
    }
    Ok(())
}
