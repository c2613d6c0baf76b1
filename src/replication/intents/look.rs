use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::queries::IntentRow;
use crate::{
    clock::Timestamp,
    oci::{Digest, Reference, RepositoryName},
    registry::Client,
    replication::{Config, Operation},
};

/// The looks at the registry of one round of the resolver.
#[derive(Debug)]
pub(super) struct Lookout {
    client: Client,
    /// Whether the registry has failed to answer; it is not asked again in this round.
    is_away: AtomicBool,
}

/// What a look at the registry says of an intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sight {
    /// The change is made.
    Made,
    /// The reference has this digest, or none: the change may still come.
    Open(Option<Digest>),
    /// The registry did not say.
    Nothing,
}

impl Lookout {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            is_away: AtomicBool::new(false),
        }
    }

    pub(super) async fn look(
        &self,
        row: &IntentRow,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Sight {
        if self.is_away.load(Ordering::Relaxed) {
            return Sight::Nothing;
        }
        match self.client.head_manifest(repository, reference).await {
            Ok(head) => sight(row, head.map(|head| head.digest)),
            Err(error) => {
                tracing::debug!(%error, "the registry does not say what became of a change");
                self.is_away.store(true, Ordering::Relaxed);
                Sight::Nothing
            }
        }
    }
}

fn sight(row: &IntentRow, found: Option<Digest>) -> Sight {
    let is_made = match (&found, Operation::parse(&row.operation)) {
        (None, Some(Operation::Deletion)) => true,
        (Some(found), Some(Operation::Copy)) => row.digest.as_deref() == Some(found.as_str()),
        _ => false,
    };
    if is_made {
        Sight::Made
    } else {
        Sight::Open(found)
    }
}

impl Sight {
    /// As the row keeps it.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Made => "made",
            Self::Open(Some(digest)) => digest.as_str(),
            Self::Open(None) => "none",
            Self::Nothing => "unknown",
        }
    }

    /// When to look again at an intent written down at `created`: after as long as it is old,
    /// and at the end of the time for looking. `None`: never.
    pub(super) fn next(
        &self,
        created: Timestamp,
        now: Timestamp,
        config: &Config,
    ) -> Option<Timestamp> {
        let (age, end) = (now.since(created), config.unknown_for());
        let pause = age.max(config.unknown_after()).max(SHORTEST_PAUSE);
        match self {
            Self::Made => None,
            Self::Open(_) if age >= end => None,
            Self::Open(_) => Some(now.plus(pause).min(created.plus(end))),
            // Who was not asked has not had a last look.
            Self::Nothing => Some(now.plus(pause.min(end.max(SHORTEST_PAUSE)))),
        }
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_grow_apart_and_end() {
        let created = Timestamp::from_seconds(1000);
        let mut now = created.plus(Duration::from_secs(15));
        let mut ages = vec![15];
        while let Some(next) = Sight::Open(None).next(created, now, &Config::default()) {
            now = next;
            ages.push(now.since(created).as_secs());
        }
        assert_eq!(ages, [15, 30, 60, 120, 240, 480, 900]);
    }

    #[test]
    fn a_silent_registry_is_asked_until_it_speaks() {
        let created = Timestamp::from_seconds(1000);
        let late = created.plus(Duration::from_hours(5));
        let config = Config::default();
        let next = Sight::Nothing.next(created, late, &config);
        assert_eq!(next, Some(late.plus(config.unknown_for())));
    }
}
