//! What passes the proxy, as webhooks tell it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    clock::SharedClock,
    notification,
    oci::{Reference, RepositoryName},
    proxy,
    webhook::{Begun, Event, EventType, Resource, Webhooks},
};

/// Tells webhooks of changes and pulls. Clones share what is under way.
#[derive(Debug, Clone)]
pub(super) struct Events {
    webhooks: Webhooks,
    /// Changes that began, by where they lie in memory: they do until they are concluded.
    under_way: Arc<Mutex<HashMap<usize, Begun>>>,
}

impl Events {
    pub(super) fn new(webhooks: Webhooks) -> Self {
        Self {
            webhooks,
            under_way: Arc::default(),
        }
    }

    /// Whether the details of a deletion in the repository are of interest.
    pub(super) fn wants_deletions(&self, repository: &RepositoryName) -> bool {
        let project = repository.project();
        project.is_some_and(|project| self.webhooks.wants(project, EventType::DeleteArtifact))
    }

    pub(super) fn begin(&self, change: &Arc<proxy::Change>) {
        let Some(event) = self.event(change) else {
            return;
        };
        if let Some(begun) = self.webhooks.begin(event) {
            self.under_way().insert(key(change), begun);
        }
    }

    pub(super) fn conclude(&self, change: &Arc<proxy::Change>, outcome: &proxy::Outcome) {
        let Some(begun) = self.under_way().remove(&key(change)) else {
            return;
        };
        match outcome {
            proxy::Outcome::Committed { tags } => match &change.kind {
                // The registry may not have set the tags beside the reference.
                proxy::ChangeKind::Push(push) if push.tags != *tags => {
                    let set = proxy::Push {
                        tags: tags.clone(),
                        ..push.clone()
                    };
                    begun.happened_to(resources(&proxy::ChangeKind::Push(set)));
                }
                _ => begun.happened(),
            },
            proxy::Outcome::Refused { .. } => begun.refused(),
            proxy::Outcome::Unknown => begun.unknown(),
        }
    }

    pub(super) fn pulled(&self, pull: &proxy::Pull) {
        let kind = EventType::PullArtifact;
        let Some(project) = pull.repository.project() else {
            return;
        };
        if !self.webhooks.wants(project, kind) {
            return;
        }
        let mut event = Event::new(kind, project, &pull.actor.name, pull.at);
        event.request_id = text_of(pull.request_id.as_ref());
        event.resources.push(Resource {
            digest: pull.digest.as_ref().map(ToString::to_string),
            tag: tag_of(&pull.reference),
        });
        event.repository = Some(pull.repository.clone());
        self.webhooks.fire_fleeting(event);
    }

    /// What the registry tells of changes that have not passed the gateway.
    pub(super) fn heard(&self, change: &notification::Change, clock: &SharedClock) {
        let Some(project) = change.repository.project() else {
            return;
        };
        let (kind, resource) = match &change.kind {
            notification::ChangeKind::Push { reference, digest } => {
                let resource = Resource {
                    digest: Some(digest.to_string()),
                    tag: tag_of(reference),
                };
                (EventType::PushArtifact, resource)
            }
            notification::ChangeKind::Delete(Reference::Tag(tag)) => {
                let tag = Some(tag.to_string());
                (EventType::DeleteArtifact, Resource { digest: None, tag })
            }
            notification::ChangeKind::Delete(Reference::Digest(digest)) => {
                let digest = Some(digest.to_string());
                (EventType::DeleteArtifact, Resource { digest, tag: None })
            }
        };
        if !self.webhooks.wants(project, kind) {
            return;
        }
        let mut event = Event::new(kind, project, &change.actor, clock.now());
        event.resources.push(resource);
        event.repository = Some(change.repository.clone());
        self.webhooks.fire(event);
    }

    /// `None` where no policy wants it.
    fn event(&self, change: &proxy::Change) -> Option<Event> {
        let project = change.repository.project()?;
        let kind = match &change.kind {
            proxy::ChangeKind::Push(_) => EventType::PushArtifact,
            _ => EventType::DeleteArtifact,
        };
        if !self.webhooks.wants(project, kind) {
            return None;
        }
        let mut event = Event::new(kind, project, &change.actor.name, change.at);
        event.request_id = text_of(change.request_id.as_ref());
        event.resources = resources(&change.kind);
        event.repository = Some(change.repository.clone());
        Some(event)
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<usize, Begun>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(change: &Arc<proxy::Change>) -> usize {
    Arc::as_ptr(change).addr()
}

fn resources(kind: &proxy::ChangeKind) -> Vec<Resource> {
    let resource = |digest: Option<String>, tag: Option<String>| Resource { digest, tag };
    match kind {
        proxy::ChangeKind::Push(push) => {
            let digest = Some(push.digest.to_string());
            let extra = push.tags.iter().map(|tag| Some(tag.to_string()));
            let tags = extra.chain(tag_of(&push.reference).map(Some));
            let mut all: Vec<Resource> = tags.map(|tag| resource(digest.clone(), tag)).collect();
            if all.is_empty() {
                all.push(resource(digest, None));
            }
            all
        }
        proxy::ChangeKind::DeleteTag { tag, digest } => {
            vec![resource(
                digest.as_ref().map(ToString::to_string),
                Some(tag.to_string()),
            )]
        }
        proxy::ChangeKind::DeleteDigest { digest, tags } => {
            let digest = Some(digest.to_string());
            if tags.is_empty() {
                return vec![resource(digest, None)];
            }
            // They come in the order in which the registry answered for each.
            let mut tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
            tags.sort();
            let tags = tags.into_iter();
            tags.map(|tag| resource(digest.clone(), Some(tag)))
                .collect()
        }
    }
}

fn tag_of(reference: &Reference) -> Option<String> {
    match reference {
        Reference::Tag(tag) => Some(tag.to_string()),
        Reference::Digest(_) => None,
    }
}

fn text_of(id: Option<&crate::wire::RequestId>) -> String {
    id.map(|id| id.0.to_string()).unwrap_or_default()
}
