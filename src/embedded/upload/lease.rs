use std::{io, sync::Arc};

use tokio::runtime::Handle;

use super::{
    sessions::{Progress, Sessions, unknown},
    sink::{Mark, Sink},
};
use crate::{
    embedded::error::Failure,
    oci::{Algorithm, Digest, ErrorCode, RepositoryName, UploadId},
};

/// A session taken out for one request; when dropped, wherever that happens, it goes back as
/// far as it has come.
#[derive(Debug)]
pub(in crate::embedded) struct Lease {
    sessions: Arc<Sessions>,
    id: UploadId,
    /// `None` once the content is used or the session is given up.
    sink: Option<Sink>,
    /// What becomes of the session when this is dropped.
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Removed,
}

impl Lease {
    pub(super) fn new(sessions: &Arc<Sessions>, id: UploadId, sink: Option<Sink>) -> Self {
        Self {
            sessions: Arc::clone(sessions),
            id,
            sink,
            fate: Fate::Kept,
        }
    }

    pub(super) fn with_sink(mut self, sink: Sink) -> Self {
        self.sink = Some(sink);
        self
    }

    /// The same session, removed when it is dropped: for a client that was not told its id.
    pub(in crate::embedded) fn for_one_request(mut self) -> Self {
        self.fate = Fate::Removed;
        self
    }

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
        give_up(&self.sessions, &self.id);
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
        let sink = self.sink.take();
        if self.fate == Fate::Kept || sink.is_none() {
            self.sessions.take_back(&self.id, sink);
            return;
        }
        // The request went away; removing a large file takes its time.
        let (sessions, id) = (Arc::clone(&self.sessions), self.id.clone());
        let remove = move || give_up(&sessions, &id);
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_no_runtime) => remove(),
        }
    }
}

fn give_up(sessions: &Sessions, id: &UploadId) {
    match sessions.discard(id) {
        Err(failure) if failure.is_storage() => {
            tracing::warn!("an upload given up stays until it is swept: {failure}");
        }
        _ => {}
    }
}
