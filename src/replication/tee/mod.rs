//! Blobs on their way to the targets of event-based policies while a client still pushes them.
//!
//! [`Teed`] stands beside the push: it never waits, and gives up a target that does not keep up.
//! Each target has a task of its own, `relay.rs`, at the other end of a `line.rs`. The blob is
//! committed at the target only when the registry behind has it. Whatever fails here is left to
//! the job of the push, which finds at the target what came there and copies the rest.

mod line;
mod memory;
mod relay;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Config, Origin, RegistryId, Replication, Shared, metrics::TeeOutcome};
use crate::oci::{Digest, RepositoryName};
use line::Line;
use memory::Memory;
use relay::Relay;

/// What all uploads that are teed share.
#[derive(Debug)]
pub(in crate::replication) struct Tee {
    memory: Memory,
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
}

impl Tee {
    /// `stop` ends what is under way.
    pub(in crate::replication) fn new(
        config: &Config,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let uploads = if config.tee { config.tee_uploads } else { 0 };
        Self {
            memory: Memory::new(config.tee_memory_mib),
            slots: Arc::new(Semaphore::new(uploads)),
            tasks,
            stop,
        }
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
        (!lines.is_empty()).then_some(Teed { shared, lines })
    }
}

impl Teed {
    /// The next bytes. A target that lags by more than half of the memory that is left gets no
    /// more of this blob: however many lag, some memory stays for those that do not.
    pub fn take(&self, data: &Bytes) {
        let memory = &self.shared.tee.memory;
        let most = memory.free_bytes() / 2;
        let lags = |line: &&Line| line.queued_bytes() + data.len() > most;
        let open = self.lines().filter(|line| line.is_open());
        let (lagging, open): (Vec<_>, Vec<_>) = open.partition(lags);
        for line in lagging {
            line.drop_as(TeeOutcome::Slow);
        }
        if open.is_empty() || data.is_empty() {
            return;
        }
        let Some(piece) = memory.hold(data) else {
            for line in open {
                line.drop_as(TeeOutcome::Slow);
            }
            return;
        };
        for line in open {
            line.push(piece.clone());
        }
    }

    /// What the client says the digest is. From now on the target's other uploads of this digest
    /// wait for this one; if there is one under way already, this one is needless.
    pub fn claim(&self, digest: &Digest) {
        for (target, line) in &self.lines {
            match self.shared.flights.try_turn(target.registry, digest) {
                Some(turn) => line.claim(digest, turn),
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
