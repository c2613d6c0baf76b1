use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::task::JoinHandle;

use super::lease::Lease;
use crate::{
    embedded::{
        error::Failure,
        threads::{Threads, lost},
    },
    oci::ErrorCode,
    wire::{Body, BoxError},
};

/// Content is gathered to this size before a thread hashes and writes it. The way to the thread
/// and back costs 20 µs, hashing this much 160 µs. Twice the size was no faster: the kernel then
/// looks for larger pieces of free memory for its cache, which on a busy machine are rare.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;

/// Adds a request's body to an upload. One chunk is hashed and written while the next comes in,
/// so that an upload takes two chunks of memory.
///
/// With `declared`, exactly so many bytes must come, else the upload is as before. When the
/// client's connection breaks, what came is kept; when the disk fails, the upload is given up.
pub(in crate::embedded) async fn receive(
    lease: Lease,
    mut body: Body,
    declared: Option<u64>,
    threads: &Threads,
) -> Result<Lease, Failure> {
    if body.is_end_stream() && declared.is_none_or(|length| length == 0) {
        return Ok(lease);
    }
    let mark = declared.and_then(|_| lease.mark());
    let expected = body.size_hint().upper().or(declared);
    let mut inflow = Inflow::new(lease, threads, expected);
    let end = inflow.take_all(&mut body, declared).await?;
    let (mut lease, received) = inflow.finish().await?;
    if let End::Broken(error) = end {
        return Err(Failure::refused(
            ErrorCode::SizeInvalid,
            format!("the request's body broke off after {received} bytes: {error}"),
        ));
    }
    if let (Some(mark), Some(declared)) = (mark, declared.filter(|length| *length != received)) {
        let restored = threads.run(move || lease.return_to(mark)).await;
        restored?;
        return Err(Failure::refused(
            ErrorCode::SizeInvalid,
            format!("Content-Range announces {declared} bytes, the body has other than that"),
        ));
    }
    Ok(lease)
}

enum End {
    Complete,
    Broken(BoxError),
}

struct Inflow<'a> {
    threads: &'a Threads,
    writer: Writer,
    /// The chunk that is being gathered.
    chunk: Vec<u8>,
    /// The other chunk's memory, when it is free.
    spare: Vec<u8>,
    /// How much memory a chunk is given at first.
    capacity: usize,
    received: u64,
}

enum Writer {
    Resting(Lease),
    Working(JoinHandle<Result<(Lease, Vec<u8>), Failure>>),
    Failed,
}

impl<'a> Inflow<'a> {
    fn new(lease: Lease, threads: &'a Threads, expected: Option<u64>) -> Self {
        let capacity = expected
            .and_then(|length| usize::try_from(length).ok())
            .map_or(CHUNK_BYTES, |length| length.min(CHUNK_BYTES));
        Self {
            threads,
            writer: Writer::Resting(lease),
            chunk: Vec::new(),
            spare: Vec::new(),
            capacity,
            received: 0,
        }
    }

    /// Stops early when more comes than was declared.
    async fn take_all(&mut self, body: &mut Body, declared: Option<u64>) -> Result<End, Failure> {
        while let Some(frame) = body.frame().await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return Ok(End::Broken(error)),
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            self.received += data.len() as u64;
            if declared.is_some_and(|declared| self.received > declared) {
                break;
            }
            self.gather(data).await?;
        }
        Ok(End::Complete)
    }

    async fn gather(&mut self, mut data: Bytes) -> Result<(), Failure> {
        while !data.is_empty() {
            if self.chunk.capacity() == 0 {
                self.chunk.reserve_exact(self.capacity);
            }
            let room = CHUNK_BYTES - self.chunk.len();
            let part = data.split_to(room.min(data.len()));
            self.chunk.extend_from_slice(&part);
            if self.chunk.len() == CHUNK_BYTES {
                self.write_chunk().await?;
            }
        }
        Ok(())
    }

    /// Hands the gathered chunk to a thread, after the one before is written.
    async fn write_chunk(&mut self) -> Result<(), Failure> {
        let mut lease = self.rest().await?;
        let mut chunk = std::mem::replace(&mut self.chunk, std::mem::take(&mut self.spare));
        let work = move || {
            if let Err(failure) = lease.append(&chunk) {
                lease.discard();
                return Err(failure);
            }
            chunk.clear();
            Ok((lease, chunk))
        };
        self.writer = Writer::Working(self.threads.start(work).await?);
        Ok(())
    }

    /// Waits until nothing is being written.
    async fn rest(&mut self) -> Result<Lease, Failure> {
        match std::mem::replace(&mut self.writer, Writer::Failed) {
            Writer::Resting(lease) => Ok(lease),
            Writer::Working(writing) => {
                let (lease, chunk) = writing.await.map_err(lost)??;
                self.spare = chunk;
                Ok(lease)
            }
            Writer::Failed => Err(Failure::refused(
                ErrorCode::BlobUploadUnknown,
                "the upload failed before",
            )),
        }
    }

    async fn finish(mut self) -> Result<(Lease, u64), Failure> {
        if !self.chunk.is_empty() {
            self.write_chunk().await?;
        }
        Ok((self.rest().await?, self.received))
    }
}
