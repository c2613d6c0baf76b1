//! The bytes of uploads for which there is no memory: a file without a name for each upload.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
};
use tokio_util::task::TaskTracker;

use super::room::{Room, Share};

/// Where the files are, and the room for all of them.
#[derive(Debug)]
pub(super) struct Disk {
    place: Place,
    room: Room,
    tasks: TaskTracker,
}

/// Where a file may be made.
#[derive(Debug, Clone)]
struct Place {
    folder: PathBuf,
    /// Only while so much of the volume is free: the database may be on it.
    free_bytes: u64,
}

/// One upload's file, written in the order of [`Overflow::take`].
#[derive(Debug)]
pub(super) struct Overflow {
    /// Bounded by the memory that the bytes hold their share of until they are written.
    writer: mpsc::UnboundedSender<Bytes>,
    end: u64,
    spool: Arc<Spool>,
}

/// Bytes that are, or will be, in an upload's file. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    spool: Arc<Spool>,
    start: u64,
    end: u64,
}

/// What the writer and the readers share.
#[derive(Debug)]
struct Spool {
    written: watch::Sender<Written>,
    /// Of the disk; grows with the file.
    share: Mutex<Option<Share>>,
}

#[derive(Debug, Clone, Default)]
enum Written {
    #[default]
    Nothing,
    To(Arc<File>, u64),
    Broken,
}

impl Disk {
    pub(super) fn new(folder: PathBuf, mib: u32, tasks: TaskTracker) -> Self {
        let free_bytes = 2 * u64::from(mib) * 1024 * 1024;
        Self {
            place: Place { folder, free_bytes },
            room: Room::new(mib),
            tasks,
        }
    }

    /// A file that is made with its first bytes.
    pub(super) fn open(&self) -> Overflow {
        let (writer, pieces) = mpsc::unbounded_channel();
        let spool = Arc::new(Spool {
            written: watch::Sender::default(),
            share: Mutex::default(),
        });
        let writing = write(self.place.clone(), pieces, Arc::clone(&spool));
        self.tasks.spawn(writing);
        Overflow {
            writer,
            end: 0,
            spool,
        }
    }
}

impl Overflow {
    /// Has the bytes written, without waiting for it; `None` when the disk has no room for them.
    pub(super) fn take(&mut self, disk: &Disk, data: &Bytes) -> Option<Stretch> {
        let share = disk.room.share(data.len())?;
        self.spool.grow(share);
        self.writer.send(data.clone()).ok()?;
        let start = self.end;
        self.end += data.len() as u64;
        Some(Stretch {
            spool: Arc::clone(&self.spool),
            start,
            end: self.end,
        })
    }
}

impl Spool {
    fn grow(&self, by: Share) {
        let mut share = self.share.lock().unwrap_or_else(PoisonError::into_inner);
        match share.as_mut() {
            Some(share) => share.merge(by),
            None => *share = Some(by),
        }
    }
}

impl Stretch {
    /// Makes one of two that follow each other in the same file; the second back if they do not.
    pub(super) fn join(&mut self, next: Self) -> Result<(), Self> {
        if !Arc::ptr_eq(&self.spool, &next.spool) || self.end != next.start {
            return Err(next);
        }
        self.end = next.end;
        Ok(())
    }

    /// Those that were not read.
    pub(super) fn bytes(&self) -> u64 {
        self.end - self.start
    }

    /// The next bytes of those that were not read, once they are written.
    pub(super) async fn read(&mut self) -> io::Result<Bytes> {
        let mut written = self.spool.written.subscribe();
        let is_there = |written: &Written| match written {
            Written::Nothing => false,
            Written::To(_file, end) => *end > self.start,
            Written::Broken => true,
        };
        let written = written.wait_for(is_there).await;
        let written = written.map(|written| written.clone());
        let Ok(Written::To(file, end)) = written else {
            return Err(io::Error::other("the bytes could not be kept"));
        };
        let start = self.start;
        let bytes = (end.min(self.end) - start).min(READ_BYTES);
        self.start += bytes;
        // Allocated here: what each of many threads allocates stays with it.
        let mut data = vec![0; usize::try_from(bytes).unwrap_or_default()];
        let read = move || {
            file.read_exact_at(&mut data, start)?;
            Ok(Bytes::from(data))
        };
        spawn_blocking(read).await.map_err(io::Error::other)?
    }
}

impl Place {
    fn make_file(&self) -> io::Result<File> {
        let volume = rustix::fs::statvfs(&self.folder)?;
        if volume.f_bavail.saturating_mul(volume.f_frsize) < self.free_bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        tempfile::tempfile_in(&self.folder)
    }
}

/// Writes what comes until the upload is over or the disk fails.
async fn write(place: Place, mut pieces: mpsc::UnboundedReceiver<Bytes>, spool: Arc<Spool>) {
    let mut batch = Vec::new();
    while pieces.recv_many(&mut batch, BATCH_PIECES).await > 0 {
        let (place, batch) = (place.clone(), std::mem::take(&mut batch));
        let written = spool.written.borrow().clone();
        let wrote = spawn_blocking(move || append(written, &place, batch)).await;
        let written = wrote.map_err(io::Error::other).and_then(|written| written);
        let written = written.unwrap_or_else(|error| {
            tracing::warn!(%error, "bytes for targets cannot be kept on disk");
            Written::Broken
        });
        let is_broken = matches!(written, Written::Broken);
        spool.written.send_replace(written);
        if is_broken {
            return;
        }
    }
}

fn append(written: Written, place: &Place, batch: Vec<Bytes>) -> io::Result<Written> {
    let (file, mut end) = match written {
        Written::To(file, end) => (file, end),
        Written::Nothing | Written::Broken => (Arc::new(place.make_file()?), 0),
    };
    for piece in batch {
        (&*file).write_all(&piece)?;
        end += piece.len() as u64;
    }
    Ok(Written::To(file, end))
}

/// What is read at once, for each target.
const READ_BYTES: u64 = 64 * 1024;
/// A thread is asked for once per so many pieces, if they are there.
const BATCH_PIECES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(folder: &tempfile::TempDir) -> Disk {
        Disk::new(folder.path().to_owned(), 1, TaskTracker::new())
    }

    #[tokio::test]
    async fn bytes_are_read_as_they_were_given_and_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let disk = disk(&folder);
        let mut overflow = disk.open();
        let content: Vec<u8> = (0..251).cycle().take(1024 * 1024).collect();
        let mut all: Option<Stretch> = None;
        for piece in content.chunks(10 * 1024) {
            let next = overflow.take(&disk, &Bytes::copy_from_slice(piece));
            match (&mut all, next.unwrap()) {
                (Some(all), next) => all.join(next).unwrap(),
                (none, next) => *none = Some(next),
            }
        }
        assert!(overflow.take(&disk, &Bytes::from_static(b"more")).is_none());
        drop(overflow);
        let (mut all, mut read) = (all.unwrap(), Vec::new());
        while all.bytes() > 0 {
            read.extend_from_slice(&all.read().await.unwrap());
        }
        assert!(read == content);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        drop(all);
        assert!(
            disk.open()
                .take(&disk, &Bytes::from_static(b"more"))
                .is_some()
        );
    }

    #[test]
    fn a_volume_that_is_nearly_full_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut place = disk(&folder).place;
        place.make_file().unwrap();
        place.free_bytes = u64::MAX;
        let error = place.make_file().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[tokio::test]
    async fn a_disk_that_fails_is_told_to_the_reader() {
        let folder = tempfile::tempdir().unwrap();
        let disk = disk(&folder);
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
        let mut stretch = disk.open().take(&disk, &Bytes::from_static(b"a")).unwrap();
        stretch.read().await.unwrap_err();
    }
}
