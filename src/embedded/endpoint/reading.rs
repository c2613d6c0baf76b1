use std::{
    fmt,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;
use tokio::task::JoinHandle;
use tokio_util::sync::PollSemaphore;

use crate::{
    embedded::threads::{Threads, start_with},
    wire::BoxError,
};

/// Part of a file as a body. One chunk is read ahead while the one before is sent.
pub(super) struct FileBody {
    state: State,
    permits: PollSemaphore,
    read_bytes: Counter,
    /// Bytes not yet asked from the file.
    unread: u64,
    /// Bytes not yet given to the reader.
    unsent: u64,
}

enum State {
    Idle(File),
    Reading(JoinHandle<io::Result<(File, Bytes)>>),
    Ended,
}

impl FileBody {
    /// `length` bytes of `file` from the offset `first`, counted in `read_bytes`.
    pub(super) fn new(
        file: File,
        first: u64,
        length: u64,
        threads: &Threads,
        read_bytes: Counter,
    ) -> io::Result<Self> {
        if first > 0 {
            (&file).seek(SeekFrom::Start(first))?;
        }
        Ok(Self {
            state: State::Idle(file),
            permits: PollSemaphore::new(threads.permits()),
            read_bytes,
            unread: length,
            unsent: length,
        })
    }

    /// Starts reading the next chunk when there is one and a thread is free.
    fn poll_start(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.unread == 0 || !matches!(self.state, State::Idle(_)) {
            return Poll::Ready(());
        }
        let Some(permit) = ready!(self.permits.poll_acquire(context)) else {
            return Poll::Ready(());
        };
        if let State::Idle(file) = std::mem::replace(&mut self.state, State::Ended) {
            let wanted = self.unread.min(CHUNK_BYTES);
            self.unread -= wanted;
            self.state = State::Reading(start_with(permit, move || read(file, wanted)));
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
        ready!(self.poll_start(context));
        let State::Reading(reading) = &mut self.state else {
            return Poll::Ready(None);
        };
        let read = ready!(Pin::new(reading).poll(context));
        match read.map_err(io::Error::other).flatten() {
            Ok((file, chunk)) => {
                self.state = State::Idle(file);
                self.unsent -= chunk.len() as u64;
                self.read_bytes.inc_by(chunk.len() as u64);
                // Whether it could start does not matter: the next poll tries again.
                let _ = self.poll_start(context);
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            Err(error) => {
                self.state = State::Ended;
                tracing::error!(error.kind = "storage", "a blob cannot be read: {error}");
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.unsent == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.unsent)
    }
}

impl fmt::Debug for FileBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBody")
            .field("unsent", &self.unsent)
            .finish_non_exhaustive()
    }
}

fn read(file: File, wanted: u64) -> io::Result<(File, Bytes)> {
    let mut chunk = Vec::with_capacity(usize::try_from(wanted).map_err(io::Error::other)?);
    let mut part = file.take(wanted);
    part.read_to_end(&mut chunk)?;
    if chunk.len() as u64 != wanted {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((part.into_inner(), chunk.into()))
}

/// Two of these are in memory for each reader: one being sent, one being read ahead.
const CHUNK_BYTES: u64 = 256 * 1024;
