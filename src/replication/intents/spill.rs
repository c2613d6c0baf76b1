use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tokio::{
    fs::{self, OpenOptions},
    io::AsyncWriteExt,
    sync::Mutex,
};

use super::Wish;
use crate::{clock::Timestamp, failpoint, replication::Error};

/// The file that keeps changes while the database is away, one JSON object a line, synced to
/// the disk before a change goes upstream.
#[derive(Debug)]
pub(in crate::replication) struct Spill {
    path: PathBuf,
    max_bytes: u64,
    /// Held while the file is used.
    file: Mutex<Known>,
    /// Shared with the [`Kept`] of each request under way.
    under_way: Arc<()>,
}

/// What this process knows of the file.
#[derive(Debug, Default)]
struct Known {
    /// The length of what was last read.
    read_bytes: u64,
    /// Whether the file's name is on the disk.
    is_named: bool,
}

/// That the file has the change of a request under way; until it is dropped the file is not
/// settled.
#[derive(Debug)]
pub(super) struct Kept(#[expect(dead_code, reason = "counted, not read")] Arc<()>);

#[derive(Serialize, Deserialize)]
struct Line {
    at_ms: i64,
    wish: Wish,
}

impl Spill {
    pub(in crate::replication) fn new(path: PathBuf, max_bytes: u64) -> Self {
        Self {
            path,
            max_bytes,
            file: Mutex::default(),
            under_way: Arc::default(),
        }
    }

    pub(super) async fn append(&self, wishes: &[Wish], now: Timestamp) -> Result<Kept, Error> {
        // A line break first: the death of a process may have left half a line.
        let mut text = String::from("\n");
        for wish in wishes {
            let line = Line {
                at_ms: now.millis(),
                wish: wish.clone(),
            };
            let json = serde_json::to_string(&line).map_err(|error| self.failed(error.into()))?;
            text.push_str(&json);
            text.push('\n');
        }
        let mut known = self.file.lock().await;
        match self.write(text.as_bytes(), &mut known).await {
            Ok(()) => Ok(Kept(Arc::clone(&self.under_way))),
            Err(error) if error.kind() == io::ErrorKind::QuotaExceeded => {
                Err(Error::ChangeListFull {
                    path: self.path.display().to_string(),
                    source: error,
                })
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn write(&self, bytes: &[u8], known: &mut Known) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .await?;
        if file.metadata().await?.len() + bytes.len() as u64 > self.max_bytes {
            let problem = format!("max_spill_bytes = {} is reached", self.max_bytes);
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, problem));
        }
        file.write_all(bytes).await?;
        // Tells how the writing ended, which the two others do not.
        file.flush().await?;
        failpoint::hit("replication.spill_written");
        file.sync_all().await?;
        failpoint::hit("replication.spill_synced");
        if !known.is_named {
            let folder = self.path.parent().unwrap_or(Path::new("."));
            fs::File::open(folder).await?.sync_all().await?;
            known.is_named = true;
        }
        Ok(())
    }

    /// The wishes in the file, once its last change came before `before` and no request of this
    /// process that it has is under way. `None` when there is nothing to do. A change from after
    /// `now` is as old as the clock was ahead before it was set back.
    pub(super) async fn settled_before(
        &self,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Vec<Wish>>, Error> {
        let mut known = self.file.lock().await;
        if Arc::strong_count(&self.under_way) > 1 {
            return Ok(None);
        }
        let bytes = match fs::read(&self.path).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(error)),
        };
        let text = String::from_utf8_lossy(&bytes);
        // A line that was cut by the death of the process was never answered for.
        let lines: Vec<Line> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let times = lines.iter().map(|line| line.at_ms);
        let newest = times.filter(|at_ms| *at_ms <= now.millis()).max();
        if bytes.is_empty() || newest.is_some_and(|at_ms| at_ms >= before.millis()) {
            return Ok(None);
        }
        known.read_bytes = bytes.len() as u64;
        Ok(Some(lines.into_iter().map(|line| line.wish).collect()))
    }

    /// Empties the file unless it has grown since it was read; then all is read again.
    pub(super) async fn clear(&self) -> Result<(), Error> {
        let known = self.file.lock().await;
        let emptied = async {
            let file = OpenOptions::new().write(true).open(&self.path).await?;
            if file.metadata().await?.len() == known.read_bytes {
                file.set_len(0).await?;
                failpoint::hit("replication.spill_emptied");
                file.sync_all().await?;
            }
            Ok(())
        };
        emptied.await.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::ChangeList {
            path: self.path.display().to_string(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::{Operation, Origin, PolicyId, RegistryId};

    #[tokio::test]
    async fn a_change_from_before_the_clock_was_set_back_does_not_wait_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let spill = Spill::new(directory.path().join("changes"), 1024);
        let at = Timestamp::from_seconds;
        let wish = Wish {
            policy: PolicyId(1),
            remote: RegistryId::LOCAL,
            repository: "a/b".to_owned(),
            reference: "v1".parse().unwrap(),
            destination: "a/b".to_owned(),
            operation: Operation::Copy,
            expected: None,
            blob_bytes: None,
            origin: Origin::default(),
        };
        let keep = async |seconds| {
            let kept = spill.append(std::slice::from_ref(&wish), at(seconds)).await;
            drop(kept.unwrap());
        };
        keep(90_000).await;
        let settled = spill.settled_before(at(985), at(1_000)).await.unwrap();
        assert_eq!(settled.map(|wishes| wishes.len()), Some(1));
        keep(990).await;
        let settled = spill.settled_before(at(985), at(1_000)).await.unwrap();
        assert!(settled.is_none(), "one is young");
    }

    #[tokio::test]
    async fn what_the_disk_does_not_take_is_not_kept() {
        let spill = Spill::new("/dev/full".into(), 1024);
        let error = spill.append(&[], Timestamp::from_millis(1)).await;
        let Err(Error::ChangeList { source, .. }) = error else {
            panic!("{error:?}");
        };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    }
}
