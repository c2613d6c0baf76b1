//! Webhooks are told of replications that have ended: one event for each execution and project.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{SharedClock, Timestamp},
    replication::{self, Execution, Policy, Registry, Replication, Status, Task},
    store::Listing,
    webhook::{self, Event, EventType, Webhooks},
};

/// Looks again and again for executions that have ended, until told to stop. Nothing is asked of
/// the database while no policy wants to hear of them.
pub(super) async fn tell(
    (replication, webhooks): (Replication, Webhooks),
    clock: SharedClock,
    stop: CancellationToken,
) {
    let mut told = Told::default();
    loop {
        let now = clock.now();
        if webhooks.is_wanted_anywhere(EventType::Replication) {
            if let Err(error) = round((&replication, &webhooks), &mut told, now).await {
                tracing::debug!("ended replications wait to be told: {error}");
            }
        } else {
            // What ended while nobody wanted to hear of it is no news.
            told.until = Some(now);
        }
        let wait = stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY));
        if wait.await.is_none() {
            return;
        }
    }
}

/// What this process has told.
#[derive(Debug, Default)]
struct Told {
    until: Option<Timestamp>,
    /// Ends and numbers of the executions of the last rounds.
    executions: BTreeSet<(Timestamp, i64)>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Replication(#[from] replication::Error),
    #[error(transparent)]
    Webhook(#[from] webhook::Error),
}

/// Tells of what has ended since the last time.
///
/// The spans of two rounds overlap, and all instances look: an event is delivered once all the
/// same, as its id says which execution ended when.
async fn round(
    (replication, webhooks): (&Replication, &Webhooks),
    told: &mut Told,
    now: Timestamp,
) -> Result<(), Error> {
    let until = match told.until {
        Some(until) => until,
        None => webhooks.replications_told().await?,
    };
    let since = until.max(now.minus(LONGEST_SILENCE)).minus(OVERLAP);
    told.executions = told.executions.split_off(&(since, 0));
    for execution in replication.executions_ended((since, now)).await? {
        let ended = execution.ended.unwrap_or(execution.started);
        if !told.executions.insert((ended, execution.id.0)) {
            continue;
        }
        for event in events(replication, &execution).await? {
            webhooks.fire(event);
        }
    }
    // What was fired is in the outbox, which outlives the process.
    told.until = Some(now);
    Ok(webhooks.tell_replications_until(now).await?)
}

/// One for each project of this gateway that the execution copied from or to.
async fn events(replication: &Replication, execution: &Execution) -> Result<Vec<Event>, Error> {
    let policy = replication.policy(execution.policy_id).await?;
    let remote = replication.registry(policy.spec.remote()).await?;
    let listing = Listing {
        limit: Some(MOST_TASKS),
        ..Listing::default()
    };
    let tasks = replication.tasks(execution.id, &listing).await?.items;
    let mut projects: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
    for task in &tasks {
        let here = if policy.spec.source.is_local() {
            &task.source
        } else {
            &task.destination
        };
        if let Some((project, _)) = here.split_once('/') {
            projects.entry(project).or_default().push(task);
        }
    }
    let ended = execution.ended.unwrap_or(execution.started);
    let event = |(project, tasks): (&str, Vec<&Task>)| {
        let mut event = Event::new(EventType::Replication, project, &execution.trigger, ended);
        event.id = format!("replication_{}_{}_{project}", execution.id, ended.millis());
        let details = details(execution, (&policy, &remote), &tasks);
        event.details.insert("replication".to_owned(), details);
        event
    };
    Ok(projects.into_iter().map(event).collect())
}

/// Harbor's `event_data.replication`.
fn details(
    execution: &Execution,
    (policy, remote): (&Policy, &Registry),
    tasks: &[&Task],
) -> Value {
    let place = |registry: Option<&Registry>, name: Option<&str>| {
        let namespace = name.and_then(|name| name.rsplit_once('/'));
        json!({
            "registry_name": registry.map_or("Local", |registry| &registry.name),
            "registry_type": registry.map_or("tidegate", |registry| &registry.kind),
            "endpoint": registry.map_or("", |registry| &registry.url),
            "namespace": namespace.map_or("", |(namespace, _)| namespace),
        })
    };
    let first = tasks.first();
    let (from, to) = if policy.spec.source.is_local() {
        (None, Some(remote))
    } else {
        (Some(remote), None)
    };
    let listed = |wanted: fn(Status) -> bool| -> Vec<Value> {
        let those = tasks.iter().filter(|task| wanted(task.status));
        those.map(|task| artifact(task)).collect()
    };
    json!({
        "job_status": execution.status.name(),
        "description": policy.spec.description,
        "artifact_type": "image",
        "override_mode": policy.spec.overwrite,
        "trigger_type": execution.trigger,
        "policy_name": policy.spec.name,
        "execution_id": execution.id,
        "execution_timestamp": execution.started.seconds(),
        "src_resource": place(from, first.map(|task| task.source.as_str())),
        "dest_resource": place(to, first.map(|task| task.destination.as_str())),
        "successful_artifact": listed(|status| status == Status::Succeed),
        "failed_artifact": listed(|status| status != Status::Succeed),
    })
}

fn artifact(task: &Task) -> Value {
    let name = task.source.rsplit('/').next().unwrap_or_default();
    let mut shown = json!({"type": "image", "status": task.status.name(), "name_tag": name});
    if task.status != Status::Succeed
        && !task.status_text.is_empty()
        && let Some(members) = shown.as_object_mut()
    {
        members.insert("fail_reason".to_owned(), json!(task.status_text));
    }
    shown
}

const LOOK_EVERY: Duration = Duration::from_secs(3);
/// The end of a job is written some time after the time that is written.
const OVERLAP: Duration = Duration::from_secs(30);
/// What ended longer ago is no news.
const LONGEST_SILENCE: Duration = Duration::from_hours(24);
/// Listed in one event.
const MOST_TASKS: i64 = 500;
