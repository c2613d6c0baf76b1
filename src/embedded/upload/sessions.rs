use std::{
    collections::{HashMap, hash_map::Entry},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    id,
    sink::{Mark, Sink},
};
use crate::{
    embedded::{disk::Disk, error::Failure},
    oci::{Algorithm, Digest, ErrorCode, RepositoryName, UploadId},
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
        Ok(Lease {
            sessions: Arc::clone(self),
            id,
            sink: Some(sink),
        })
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
        let mut lease = Lease {
            sessions: Arc::clone(self),
            id: id.clone(),
            sink,
        };
        if lease.sink.is_none() {
            let path = self.path(id);
            let reopened = Sink::reopen(&path, algorithm);
            lease.sink = Some(reopened.map_err(|error| absent(id, &path, error))?);
        }
        Ok(lease)
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
    fn take_back(&self, id: &UploadId, sink: Option<Sink>) {
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

    fn path(&self, id: &UploadId) -> PathBuf {
        self.disk.layout.uploads().join(id.as_str())
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<UploadId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session taken out for one request; when dropped, wherever that happens, it goes back as
/// far as it has come.
#[derive(Debug)]
pub(in crate::embedded) struct Lease {
    sessions: Arc<Sessions>,
    id: UploadId,
    /// `None` once the content is used or the session is given up.
    sink: Option<Sink>,
}

impl Lease {
    pub(in crate::embedded) fn progress(&self) -> Progress {
        Progress {
            id: self.id.clone(),
            written: self.sink.as_ref().map_or(0, Sink::written),
        }
    }

    /// Puts the session back; an error when it was cancelled meanwhile.
    pub(in crate::embedded) fn rest(self) -> Result<Progress, Failure> {
        if self.sessions.is_busy(&self.id) {
            Ok(self.progress())
        } else {
            Err(unknown(&self.id))
        }
    }

    /// Gives the session up and removes what came.
    pub(in crate::embedded) fn discard(mut self) {
        self.sink = None;
        match self.sessions.discard(&self.id) {
            Err(failure) if failure.is_storage() => {
                tracing::warn!("an upload given up stays until it is swept: {failure}");
            }
            _ => {}
        }
    }

    pub(in crate::embedded) fn hash_with(&mut self, algorithm: Algorithm) -> Result<(), Failure> {
        self.with(|sink| sink.hash_with(algorithm))
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.with(|sink| sink.append(bytes))
    }

    pub(super) fn mark(&self) -> Option<Mark> {
        self.sink.as_ref().map(Sink::mark)
    }

    pub(super) fn return_to(&mut self, mark: Mark) -> Result<(), Failure> {
        self.with(|sink| sink.return_to(mark))
    }

    /// Makes the content a blob of the repository. The session ends either way.
    pub(in crate::embedded) fn commit(
        mut self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), Failure> {
        let committed = self.try_commit(name, digest);
        if committed.is_err() {
            self.discard();
        }
        committed
    }

    fn try_commit(&mut self, name: &RepositoryName, digest: &Digest) -> Result<(), Failure> {
        let path = self.sessions.path(&self.id);
        let sink = self.sink.take().ok_or_else(|| unknown(&self.id))?;
        let found = sink
            .digest()
            .map_err(|error| Failure::storage("finish", &path, error))?;
        if found != *digest {
            return Err(Failure::refused(
                ErrorCode::DigestInvalid,
                format!("the uploaded content has the digest {found}, not {digest}"),
            ));
        }
        let disk = &self.sessions.disk;
        disk.adopt_blob(name, digest, &path, sink.file())
            .map_err(|failure| match failure {
                // Cancelled by another request.
                Failure::Storage { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                    unknown(&self.id)
                }
                failure => failure,
            })
    }

    fn with<T>(&mut self, work: impl FnOnce(&mut Sink) -> io::Result<T>) -> Result<T, Failure> {
        let path = self.sessions.path(&self.id);
        let sink = self.sink.as_mut().ok_or_else(|| unknown(&self.id))?;
        work(sink).map_err(|error| Failure::storage("write", &path, error))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.sessions.take_back(&self.id, self.sink.take());
    }
}

fn absent(id: &UploadId, path: &Path, error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::NotFound {
        unknown(id)
    } else {
        Failure::storage("open", path, error)
    }
}

fn unknown(id: &UploadId) -> Failure {
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
