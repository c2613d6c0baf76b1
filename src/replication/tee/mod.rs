//! Blobs on their way to the targets of event-based policies while a client still pushes them.
//!
//! [`Teed`] stands beside the push: it never waits. What a target has yet to take is in memory, or
//! on disk when it lags (`overflow.rs`); one that takes nothing is given up. Each target has a
//! task of its own, `relay.rs`, at the other end of a `line.rs`. The blob is
//! committed at the target only when the registry behind has it. Whatever fails here is left to
//! the job of the push, which finds at the target what came there and copies the rest.

mod line;
mod overflow;
mod relay;
mod room;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Config, Origin, RegistryId, Replication, Shared, metrics::TeeOutcome};
use crate::oci::{Digest, RepositoryName};
use line::{Line, Piece};
use overflow::{Disk, Overflow, Stretch};
use relay::Relay;
use room::Room;

/// What all uploads that are teed share.
#[derive(Debug)]
pub(in crate::replication) struct Tee {
    memory: Room,
    disk: Disk,
    /// Targets that take nothing, and until when they are not tried again.
    resting: Mutex<HashMap<RegistryId, Instant>>,
    /// Uploads to targets that may yet begin.
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Where blobs go: a repository of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::replication) struct Target {
    pub registry: RegistryId,
    pub repository: RepositoryName,
}

/// The upload of one blob, as it passes. Nothing waits here. Dropped before [`Teed::commit`],
/// the upload came to nothing, and does so at the targets.
#[derive(Debug)]
pub struct Teed {
    shared: Arc<Shared>,
    lines: Vec<(Target, Line)>,
    /// From the first byte on for which some target had no memory left.
    overflow: Mutex<Option<Overflow>>,
}

impl Tee {
    /// Bytes that wait are kept in a file without a name in `folder` where memory does not
    /// suffice. `stop` ends what is under way.
    pub(in crate::replication) fn new(
        config: &Config,
        folder: PathBuf,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let uploads = if config.tee { config.tee_uploads } else { 0 };
        Self {
            memory: Room::new(config.tee_memory_mib),
            disk: Disk::new(folder, config.tee_disk_mib, tasks.clone()),
            resting: Mutex::default(),
            slots: Arc::new(Semaphore::new(uploads)),
            tasks,
            stop,
        }
    }

    /// Leaves a target that takes nothing to the jobs for a while.
    fn rest(&self, registry: RegistryId) {
        self.resting().insert(registry, Instant::now() + REST);
    }

    fn is_resting(&self, registry: RegistryId) -> bool {
        let mut resting = self.resting();
        let is_resting = resting
            .get(&registry)
            .is_some_and(|end| *end > Instant::now());
        if !is_resting {
            resting.remove(&registry);
        }
        is_resting
    }

    fn resting(&self) -> MutexGuard<'_, HashMap<RegistryId, Instant>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Replication {
    /// Begins to send a blob that a client uploads on to who wants what is pushed to
    /// `repository`; `None`: nobody, or too many uploads are on their way already. Answered from
    /// memory.
    pub fn tee(&self, repository: &RepositoryName, origin: &Origin) -> Option<Teed> {
        let shared = &self.shared;
        if !shared.config.tee {
            return None;
        }
        let targets = shared.snapshot.teed(repository, origin);
        let mut lines = Vec::with_capacity(targets.len());
        for target in targets {
            if shared.tee.is_resting(target.registry) {
                shared.metrics.count_teed(TeeOutcome::Slow);
                continue;
            }
            let Ok(slot) = Arc::clone(&shared.tee.slots).try_acquire_owned() else {
                shared.metrics.count_teed(TeeOutcome::Busy);
                continue;
            };
            let (line, pieces) = line::line();
            let relay = Relay {
                shared: Arc::clone(shared),
                target: target.clone(),
                origin: origin.clone(),
                gauge: Arc::clone(pieces.gauge()),
                slot,
            };
            shared.tee.tasks.spawn(relay.run(pieces));
            lines.push((target, line));
        }
        let shared = Arc::clone(shared);
        let overflow = Mutex::default();
        (!lines.is_empty()).then_some(Teed {
            shared,
            lines,
            overflow,
        })
    }
}

impl Teed {
    /// The next bytes. Once a target lags by more than half of the memory that is left, they go
    /// by disk for all: however many lag, some memory stays for other uploads. Half of all memory
    /// is for bytes on their way to the disk.
    pub fn take(&self, data: &Bytes) {
        let memory = &self.shared.tee.memory;
        let most = memory.free_bytes().saturating_sub(memory.bytes() / 2) / 2;
        let lags = |line: &&Line| line.held_bytes() + data.len() > most;
        let open: Vec<_> = self.lines().filter(|line| line.is_open()).collect();
        if open.is_empty() || data.is_empty() {
            return;
        }
        let Some(held) = memory.hold(data) else {
            return drop_slow(open);
        };
        let (lagging, keeping): (Vec<_>, Vec<_>) = open.into_iter().partition(lags);
        if lagging.is_empty() {
            for line in keeping {
                line.push(Piece::Held(held.clone()));
            }
        } else if let Some(stretch) = self.overflow(&held) {
            for line in lagging.into_iter().chain(keeping) {
                line.push(Piece::Stretch(stretch.clone()));
            }
        } else {
            drop_slow(lagging);
            for line in keeping {
                line.push(Piece::Held(held.clone()));
            }
        }
    }

    fn overflow(&self, data: &Bytes) -> Option<Stretch> {
        let disk = &self.shared.tee.disk;
        let mut overflow = self.overflow.lock().unwrap_or_else(PoisonError::into_inner);
        let stretch = overflow
            .get_or_insert_with(|| disk.open())
            .take(disk, data)?;
        self.shared.metrics.overflow_bytes.inc_by(data.len() as u64);
        Some(stretch)
    }

    /// What the client says the digest is, and the size of the whole if it says so. From now on
    /// the target's other uploads of this digest wait for this one; if there is one under way
    /// already, this one is needless.
    pub fn claim(&self, digest: &Digest, size_bytes: Option<u64>) {
        for (target, line) in &self.lines {
            match self.shared.flights.try_turn(target.registry, digest) {
                Some(turn) => line.claim(digest, size_bytes, turn),
                None => line.drop_as(TeeOutcome::Elsewhere),
            }
        }
    }

    /// That was the last byte.
    pub fn whole(&self) {
        self.lines().for_each(Line::close);
    }

    /// The registry behind has the blob.
    pub fn commit(&self) {
        self.lines().for_each(Line::commit);
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().map(|(_target, line)| line)
    }
}

fn drop_slow(lines: Vec<&Line>) {
    for line in lines {
        line.drop_as(TeeOutcome::Slow);
    }
}

/// As long as the first pause of a target that jobs find down.
const REST: Duration = Duration::from_secs(10);
