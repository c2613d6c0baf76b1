use std::{
    collections::{HashMap, hash_map::Entry},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{id, lease::Lease, sink::Sink};
use crate::{
    embedded::{disk::Disk, error::Failure},
    oci::{Algorithm, ErrorCode, RepositoryName, UploadId},
};

/// The upload sessions. Those not in memory are files only and are opened when asked for.
#[derive(Debug)]
pub(in crate::embedded) struct Sessions {
    pub(super) disk: Arc<Disk>,
    slots: Mutex<HashMap<UploadId, Slot>>,
    /// Slots kept in memory.
    capacity: usize,
}

#[derive(Debug)]
enum Slot {
    /// A request holds the lease.
    Busy,
    Idle(Sink),
}

/// How far an upload has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::embedded) struct Progress {
    pub(in crate::embedded) id: UploadId,
    /// Bytes received.
    pub(in crate::embedded) written: u64,
}

impl Sessions {
    pub(in crate::embedded) fn new(disk: Arc<Disk>, capacity: usize) -> Self {
        Self {
            disk,
            slots: Mutex::default(),
            capacity,
        }
    }

    /// Begins an upload.
    pub(in crate::embedded) fn start(
        self: &Arc<Self>,
        name: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<Lease, Failure> {
        let id = id::new(name, algorithm);
        let path = self.path(&id);
        let sink = Sink::create(&path, algorithm)
            .map_err(|error| Failure::storage("make", &path, error))?;
        self.slots().insert(id.clone(), Slot::Busy);
        Ok(Lease::new(self, id, Some(sink)))
    }

    /// Takes a session for writing. Refused with `RANGE_INVALID` when another request has it:
    /// the client must ask how far it has come, as after any other out-of-order chunk.
    pub(in crate::embedded) fn lease(
        self: &Arc<Self>,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<Lease, Failure> {
        let algorithm = id::algorithm(name, id).ok_or_else(|| unknown(id))?;
        let sink = match self.slots().entry(id.clone()) {
            Entry::Vacant(slot) => {
                slot.insert(Slot::Busy);
                None
            }
            Entry::Occupied(mut slot) => match slot.insert(Slot::Busy) {
                Slot::Idle(sink) => Some(sink),
                Slot::Busy => return Err(busy()),
            },
        };
        let was_open = sink.is_some();
        // From here on, dropping the lease frees the slot.
        let lease = Lease::new(self, id.clone(), sink);
        if was_open {
            return Ok(lease);
        }
        let path = self.path(id);
        let reopened = Sink::reopen(&path, algorithm);
        Ok(lease.with_sink(reopened.map_err(|error| absent(id, &path, error))?))
    }

    /// How far an upload has come, whoever holds it.
    pub(in crate::embedded) fn progress(
        &self,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<Progress, Failure> {
        id::algorithm(name, id).ok_or_else(|| unknown(id))?;
        let id = id.clone();
        if let Some(Slot::Idle(sink)) = self.slots().get(&id) {
            let written = sink.written();
            return Ok(Progress { id, written });
        }
        let path = self.path(&id);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Progress {
                id,
                written: metadata.len(),
            }),
            Err(error) => Err(absent(&id, &path, error)),
        }
    }

    /// Ends an upload and removes what came. A request that is writing to it finds out when it
    /// is done.
    pub(in crate::embedded) fn cancel(
        &self,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<(), Failure> {
        id::algorithm(name, id).ok_or_else(|| unknown(id))?;
        self.discard(id)
    }

    pub(super) fn discard(&self, id: &UploadId) -> Result<(), Failure> {
        let path = self.path(id);
        let removed = fs::remove_file(&path).map_err(|error| absent(id, &path, error));
        self.slots().remove(id);
        removed
    }

    /// Keeps the sink for the next request, unless there is none, the session was cancelled or
    /// memory holds enough of them.
    pub(super) fn take_back(&self, id: &UploadId, sink: Option<Sink>) {
        let mut slots = self.slots();
        let room = slots.len() <= self.capacity;
        match (slots.get_mut(id), sink) {
            (Some(slot), Some(sink)) if room => *slot = Slot::Idle(sink),
            _ => {
                slots.remove(id);
            }
        }
    }

    pub(super) fn is_busy(&self, id: &UploadId) -> bool {
        matches!(self.slots().get(id), Some(Slot::Busy))
    }

    pub(super) fn path(&self, id: &UploadId) -> PathBuf {
        self.disk.layout.uploads().join(id.as_str())
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<UploadId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn absent(id: &UploadId, path: &Path, error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::NotFound {
        unknown(id)
    } else {
        Failure::storage("open", path, error)
    }
}

pub(super) fn unknown(id: &UploadId) -> Failure {
    Failure::refused(
        ErrorCode::BlobUploadUnknown,
        format!("there is no upload {id} in this repository; begin a new one"),
    )
}

fn busy() -> Failure {
    Failure::refused(
        ErrorCode::RangeInvalid,
        "another request is writing to this upload",
    )
}
