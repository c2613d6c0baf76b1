//! What the proxy sees of changes, told to those who care: replication, webhooks and the audit
//! trail.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio_util::task::TaskTracker;
use url::form_urlencoded;

use crate::{
    audit,
    clock::SharedClock,
    inventory::{self, Inventory, Reach},
    notification,
    oci::{ErrorCode, Reference, RepositoryName},
    proxy::{self, Observer, Proxy, Refusal, Ticket},
    replication::{self, Origin, Replication},
    settings,
    wire::{BoxError, RequestId},
};

use super::events::Events;

/// The observer of the proxy.
#[derive(Debug, Clone)]
pub(super) struct Watcher {
    pub replication: Replication,
    pub inventory: Inventory,
    pub settings: settings::Reader,
    pub audit: audit::Recorder,
    pub events: Events,
    pub clock: SharedClock,
    /// Where what follows an answer runs; waited for at the end.
    pub tasks: TaskTracker,
}

impl Observer for Watcher {
    fn wants(&self, repository: &RepositoryName) -> bool {
        self.replication.wants(repository) || self.events.wants_deletions(repository)
    }

    fn intend(&self, change: Arc<proxy::Change>) -> BoxFuture<'_, Result<Ticket, Refusal>> {
        Box::pin(async move {
            match self.replication.intend(&watched(&change)).await {
                Ok(intent) => Ok(self.ticket(&change, intent)),
                Err(error @ replication::Error::Superseded { .. }) => {
                    Err(Refusal::new(ErrorCode::Superseded, error.to_string()))
                }
                Err(error) => {
                    tracing::error!(
                        repository.name = %change.repository,
                        "cannot write down a change that a policy wants: {error}"
                    );
                    Err(Refusal::unavailable(obstacle(&error), RETRY_AFTER))
                }
            }
        })
    }

    fn begin(&self, change: &Arc<proxy::Change>) {
        self.events.begin(change);
        let (change, reach) = indexed(change);
        self.inventory.begin(&change, reach);
    }

    fn conclude<'a>(
        &'a self,
        change: &'a Arc<proxy::Change>,
        outcome: &'a proxy::Outcome,
    ) -> BoxFuture<'a, ()> {
        self.audit.record(audited(change, outcome));
        self.events.conclude(change, outcome);
        Box::pin(async move {
            let (indexed, reach) = indexed(change);
            let ended = ended(change, outcome);
            self.inventory.conclude(&indexed, reach, ended).await;
        })
    }

    fn pulled(&self, pull: proxy::Pull) {
        self.events.pulled(&pull);
        let settings = self.settings.values();
        if !settings.pull_audit_log_disable {
            self.audit.record(audited_pull(&pull));
        }
        if let Some(digest) = pull.digest {
            self.inventory.pulled(inventory::Pulled {
                is_counted: !settings.pull_count_update_disable,
                is_dated: !settings.pull_time_update_disable,
                repository: pull.repository,
                reference: pull.reference,
                digest,
                at: pull.at,
            });
        }
    }
}

/// The observer of the registry's notifications.
#[derive(Debug)]
pub(super) struct Ears {
    pub watcher: Watcher,
    pub proxy: Proxy,
}

impl notification::Observer for Ears {
    /// distribution tells of a push before it has set the tag: the change counts as one of
    /// unknown outcome, at which the resolver looks until it sees it made.
    fn heard(&self, change: notification::Change) -> BoxFuture<'_, Result<(), BoxError>> {
        let watcher = &self.watcher;
        self.proxy.heard(&change.repository);
        watcher.inventory.heard(indexed_notice(&change));
        Box::pin(async move {
            watcher.events.heard(&change, &watcher.clock);
            match watcher.replication.intend(&heard(change)).await {
                Ok(_) | Err(replication::Error::Superseded { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            }
        })
    }
}

impl Watcher {
    /// Tells replication how the change ends, on a task of its own: the client has its answer.
    fn ticket(&self, change: &proxy::Change, intent: replication::Ticket) -> Ticket {
        let (replication, tasks) = (self.replication.clone(), self.tasks.clone());
        let follow_up = follow_up(change).filter(|_| !intent.is_empty());
        let ticket = Ticket::new(move |outcome| {
            let outcome = outcome.clone();
            tasks.spawn(async move { settle(&replication, intent, &outcome).await });
        });
        match follow_up {
            Some(path) => ticket.followed_up_at(path),
            None => ticket,
        }
    }
}

/// What the index is to hear of a change.
fn indexed(change: &proxy::Change) -> (inventory::Change, Reach) {
    let (reference, reach) = match &change.kind {
        proxy::ChangeKind::Push(push) => (push.reference.clone(), Reach::Reference),
        proxy::ChangeKind::DeleteTag { tag, .. } => (Reference::Tag(tag.clone()), Reach::Reference),
        proxy::ChangeKind::DeleteDigest { digest, .. } => {
            (Reference::Digest(digest.clone()), Reach::Repository)
        }
    };
    let repository = change.repository.clone();
    (
        inventory::Change {
            repository,
            reference,
        },
        reach,
    )
}

fn indexed_notice(change: &notification::Change) -> inventory::Change {
    inventory::Change {
        repository: change.repository.clone(),
        reference: match &change.kind {
            notification::ChangeKind::Push { reference, .. }
            | notification::ChangeKind::Delete(reference) => reference.clone(),
        },
    }
}

fn ended(change: &proxy::Change, outcome: &proxy::Outcome) -> inventory::Ended {
    let set = match outcome {
        proxy::Outcome::Committed { tags } => tags,
        proxy::Outcome::Refused { .. } => return inventory::Ended::Refused,
        proxy::Outcome::Unknown => return inventory::Ended::Unknown,
    };
    let proxy::ChangeKind::Push(push) = &change.kind else {
        return inventory::Ended::Deleted;
    };
    let mut tags = set.clone();
    if let Reference::Tag(tag) = &push.reference {
        tags.push(tag.clone());
    }
    inventory::Ended::Pushed(inventory::Pushed {
        repository: change.repository.clone(),
        digest: push.digest.clone(),
        media_type: push.media_type.clone(),
        size_bytes: push.size_bytes,
        manifest: push.manifest.clone(),
        tags,
    })
}

/// Where the API tells whether a push has arrived at its mirrors.
fn follow_up(change: &proxy::Change) -> Option<String> {
    let proxy::ChangeKind::Push(push) = &change.kind else {
        return None;
    };
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("repository", change.repository.as_str())
        .append_pair("reference", push.reference.as_str())
        .append_pair("digest", push.digest.as_str())
        .finish();
    Some(format!("/api/v1/replication/wait?{query}"))
}

/// What a client is told when a change cannot be written down.
const fn obstacle(error: &replication::Error) -> &'static str {
    match error {
        replication::Error::ChangeListFull { .. } => {
            "the database is away and the list of changes kept for it is full; it must come back \
             before pushes can go on"
        }
        replication::Error::ChangeList { .. } => {
            "the database is away and the gateway cannot write to its disk instead"
        }
        replication::Error::Overloaded => "too many changes at once; try again in a moment",
        _ => "the database is away; try again in a moment",
    }
}

async fn settle(replication: &Replication, intent: replication::Ticket, outcome: &proxy::Outcome) {
    let settled = match outcome {
        proxy::Outcome::Committed { tags } => replication.confirm(intent, tags).await,
        proxy::Outcome::Refused { .. } => replication.withdraw(intent).await,
        // Dropped, the intent stays for the resolver.
        proxy::Outcome::Unknown => Ok(()),
    };
    if let Err(error) = settled {
        tracing::warn!("a change waits for the resolver: {error}");
    }
}

fn watched(change: &proxy::Change) -> replication::Change {
    let kind = match change.kind.clone() {
        proxy::ChangeKind::Push(push) => replication::ChangeKind::Push {
            blob_bytes: Some(push.blob_bytes()),
            reference: push.reference,
            tags: push.tags,
            digest: push.digest,
        },
        proxy::ChangeKind::DeleteTag { tag, digest } => {
            replication::ChangeKind::DeleteTag { tag, digest }
        }
        proxy::ChangeKind::DeleteDigest { digest, tags } => {
            replication::ChangeKind::DeleteDigest { digest, tags }
        }
    };
    replication::Change {
        repository: change.repository.clone(),
        kind,
        actor: change.actor.name.clone(),
        origin: Origin::parse(change.origin.as_deref().unwrap_or_default()).heard(change.at),
    }
}

fn heard(change: notification::Change) -> replication::Change {
    let kind = match change.kind {
        notification::ChangeKind::Push { reference, digest } => replication::ChangeKind::Push {
            reference,
            tags: Vec::new(),
            digest,
            blob_bytes: None,
        },
        notification::ChangeKind::Delete(Reference::Tag(tag)) => {
            replication::ChangeKind::DeleteTag { tag, digest: None }
        }
        notification::ChangeKind::Delete(Reference::Digest(digest)) => {
            replication::ChangeKind::DeleteDigest {
                digest,
                tags: Vec::new(),
            }
        }
    };
    replication::Change {
        repository: change.repository,
        kind,
        actor: change.actor,
        origin: Origin::default(),
    }
}

fn audited(change: &proxy::Change, outcome: &proxy::Outcome) -> audit::Event {
    let (operation, reference) = match &change.kind {
        proxy::ChangeKind::Push(push) => (audit::Operation::Push, push.reference.as_str()),
        proxy::ChangeKind::DeleteTag { tag, .. } => (audit::Operation::Delete, tag.as_str()),
        proxy::ChangeKind::DeleteDigest { digest, .. } => {
            (audit::Operation::Delete, digest.as_str())
        }
    };
    let (succeeded, description) = match outcome {
        proxy::Outcome::Committed { .. } => (audit::Outcome::Succeeded, String::new()),
        proxy::Outcome::Refused { status } => {
            (audit::Outcome::Failed, format!("refused with {status}"))
        }
        proxy::Outcome::Unknown => (
            audit::Outcome::Failed,
            "the registry's answer was lost".to_owned(),
        ),
    };
    audit::Event {
        outcome: succeeded,
        description,
        ..audited_artifact(
            (&change.actor, change.request_id.as_ref()),
            operation,
            (&change.repository, reference),
        )
    }
}

fn audited_pull(pull: &proxy::Pull) -> audit::Event {
    audited_artifact(
        (&pull.actor, pull.request_id.as_ref()),
        audit::Operation::Pull,
        (&pull.repository, pull.reference.as_str()),
    )
}

/// What somebody did well to an artifact.
fn audited_artifact(
    (actor, request_id): (&proxy::Actor, Option<&RequestId>),
    operation: audit::Operation,
    (repository, reference): (&RepositoryName, &str),
) -> audit::Event {
    let separator = if reference.contains(':') { '@' } else { ':' };
    audit::Event {
        user: actor.name.clone(),
        operation,
        resource_type: "artifact",
        resource: format!("{repository}{separator}{reference}"),
        project: repository.project().map(str::to_owned),
        outcome: audit::Outcome::Succeeded,
        description: String::new(),
        source: actor.address,
        request_id: request_id.map(|id| Arc::clone(&id.0)),
    }
}

/// When a client may try again whose change could not be written down.
const RETRY_AFTER: Duration = Duration::from_secs(5);
