//! What the registry holds: repositories, artifacts, tags, as they were last seen.
//!
//! The registry behind is the truth; this index answers lists that a registry cannot answer
//! quickly or at all. It is kept by the changes that pass the gateway ([`Inventory::begin`],
//! [`Inventory::conclude`]) and, whenever something is not certain, by looking
//! ([`Inventory::look`]): *make the index equal to what the registry has now*. A change that was
//! begun and not concluded stands in a file ([`Journal`]) and is looked at after a restart.
//! [`Inventory::walk`] looks at everything. The room does not know HTTP, people or policies.
//! Read `look.rs` first, then `record.rs`.

mod additions;
mod attributes;
mod describe;
mod edit;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod garbage;
mod journal;
mod labels;
mod lists;
mod look;
mod looks;
mod pulls;
mod queries;
mod record;
mod shown;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod usage;
mod walk;

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::SharedClock,
    registry::Client,
    store::Db,
    wire::{Exchange, looking},
};

pub use additions::{Addition, AdditionKind};
pub use edit::{Author, Editor, Registry};
pub use error::{Error, Kind};
pub use journal::{Change, Journal, Reach};
use labels::LabelOf;
pub use labels::{Label, LabelId, LabelScope, NewLabel};
pub use lists::{
    Artifact, ArtifactId, ChildReference, Repository, RepositoryId, Scope, Tag, TagId,
};
pub use pulls::Pulled;
pub use record::{Ended, Pushed};
pub use usage::Usage;
pub use walk::{Found, SYNC, Step, SyncHandler, Walk};

/// The index. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Inventory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    clock: SharedClock,
    /// Asks the registry behind, as the gateway itself.
    registry: Client,
    journal: Journal,
    looks: looks::Looks,
    pulls: pulls::Counters,
    /// Charts that may be unpacked.
    charts: Semaphore,
    /// A change could not be written down, and no look has succeeded since.
    is_away: AtomicBool,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What an [`Inventory`] stands on.
#[derive(Debug)]
pub struct Parts {
    pub db: Db,
    pub clock: SharedClock,
    pub registry: Exchange,
}

impl Inventory {
    /// Opens the index, whose journal lies in `data_dir`, and begins on `tasks` to look at what
    /// the last process left uncertain and to write down what is pulled, until `stop`.
    pub fn start(
        parts: Parts,
        data_dir: &Path,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let (journal, left) = Journal::open(&data_dir.join("inventory.journal"))?;
        let inventory = Self(Arc::new(Inner {
            db: parts.db,
            clock: parts.clock,
            registry: Client::new(looking(parts.registry)),
            journal,
            looks: looks::Looks::default(),
            pulls: pulls::Counters::default(),
            charts: Semaphore::new(CHARTS_AT_ONCE),
            is_away: AtomicBool::new(false),
            tasks: tasks.clone(),
            stop,
        }));
        for change in left {
            inventory.look_later(change);
        }
        tasks.spawn(inventory.clone().write_pulls());
        Ok(inventory)
    }
}

/// Each takes some tens of MiB.
const CHARTS_AT_ONCE: usize = 4;
