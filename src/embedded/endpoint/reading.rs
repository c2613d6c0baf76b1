use std::{
    fmt,
    fs::File,
    io::{self, IoSliceMut},
    os::unix::fs::FileExt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::task::JoinHandle;
use tokio_util::sync::PollSemaphore;

use crate::{
    embedded::threads::{Threads, start_with},
    wire::BoxError,
};

/// Part of a file as a body. What the kernel has in memory is read at once; for the rest a thread
/// waits for the disk.
pub(super) struct FileBody {
    state: State,
    permits: PollSemaphore,
    read_bytes: Counter,
    position: u64,
    end: u64,
}

enum State {
    Idle(File),
    Reading(JoinHandle<io::Result<(File, Bytes)>>),
    Failed,
}

impl FileBody {
    /// `length` bytes of `file` from the offset `first`, counted in `read_bytes`.
    pub(super) fn new(
        file: File,
        first: u64,
        length: u64,
        threads: &Threads,
        read_bytes: Counter,
    ) -> Self {
        Self {
            state: State::Idle(file),
            permits: PollSemaphore::new(threads.permits()),
            read_bytes,
            position: first,
            end: first + length,
        }
    }

    fn left(&self) -> u64 {
        self.end - self.position
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if let State::Idle(file) = &self.state {
            let wanted = self.left().min(CACHED_BYTES);
            match read_cached(file, self.position, wanted) {
                Ok(Some(chunk)) => return Poll::Ready(Ok(chunk)),
                Ok(None) => ready!(self.poll_start(context)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let State::Reading(reading) = &mut self.state else {
            let error = io::Error::other("the file could not be read before");
            return Poll::Ready(Err(error));
        };
        let read = ready!(Pin::new(reading).poll(context));
        let read = read.map_err(io::Error::other).flatten();
        Poll::Ready(read.map(|(file, chunk)| {
            self.state = State::Idle(file);
            chunk
        }))
    }

    /// Has a thread read the next chunk, when one is free.
    fn poll_start(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(permit) = ready!(self.permits.poll_acquire(context)) else {
            return Poll::Ready(());
        };
        if let State::Idle(file) = std::mem::replace(&mut self.state, State::Failed) {
            let (position, wanted) = (self.position, self.left().min(CHUNK_BYTES));
            let work = move || read(&file, position, wanted).map(|chunk| (file, chunk));
            self.state = State::Reading(start_with(permit, work));
        }
        Poll::Ready(())
    }
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        let chunk = ready!(self.poll_chunk(context));
        Poll::Ready(Some(match chunk {
            Ok(chunk) => {
                self.position += chunk.len() as u64;
                self.read_bytes.inc_by(chunk.len() as u64);
                Ok(Frame::data(chunk))
            }
            Err(error) => {
                self.state = State::Failed;
                tracing::error!(error.kind = "storage", "a blob cannot be read: {error}");
                Err(error.into())
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

impl fmt::Debug for FileBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBody")
            .field("left", &self.left())
            .finish_non_exhaustive()
    }
}

/// What can be had without waiting for the disk, at most `wanted` bytes; `None`: nothing, or the
/// file system cannot say (preadv2(2), `RWF_NOWAIT`).
fn read_cached(file: &File, position: u64, wanted: u64) -> io::Result<Option<Bytes>> {
    let mut chunk = vec![0; usize::try_from(wanted).map_err(io::Error::other)?];
    let mut parts = [IoSliceMut::new(&mut chunk)];
    match preadv2(file, &mut parts, position, ReadWriteFlags::NOWAIT) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => {
            chunk.truncate(count);
            Ok(Some(chunk.into()))
        }
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn read(file: &File, position: u64, wanted: u64) -> io::Result<Bytes> {
    let mut chunk = vec![0; usize::try_from(wanted).map_err(io::Error::other)?];
    file.read_exact_at(&mut chunk, position)?;
    Ok(chunk.into())
}

/// Read from memory at once: stays in the processor's cache until it is encrypted.
const CACHED_BYTES: u64 = 128 * 1024;

/// Read by a thread at once.
const CHUNK_BYTES: u64 = 256 * 1024;
