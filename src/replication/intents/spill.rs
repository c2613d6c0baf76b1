use std::{io, path::PathBuf};

use serde::{Deserialize, Serialize};
use tokio::{
    fs::{self, OpenOptions},
    io::AsyncWriteExt,
    sync::Mutex,
};

use super::Wish;
use crate::{clock::Timestamp, replication::Error};

/// The file that keeps changes while the database is away, one JSON object a line, synced to
/// the disk before a change goes upstream.
#[derive(Debug)]
pub(in crate::replication) struct Spill {
    path: PathBuf,
    max_bytes: u64,
    /// Held while the file is used; what is guarded is the length of what was last read.
    read_bytes: Mutex<u64>,
}

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
            read_bytes: Mutex::new(0),
        }
    }

    pub(super) async fn append(&self, wishes: &[Wish], now: Timestamp) -> Result<(), Error> {
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
        let _one_at_a_time = self.read_bytes.lock().await;
        self.write(text.as_bytes())
            .await
            .map_err(|source| self.failed(source))
    }

    async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .await?;
        if file.metadata().await?.len() + bytes.len() as u64 > self.max_bytes {
            return Err(io::Error::from(io::ErrorKind::QuotaExceeded));
        }
        file.write_all(bytes).await?;
        file.sync_all().await
    }

    /// The wishes in the file, once its last change came before `before`: until then their
    /// requests may be under way. `None` when there is nothing to do.
    pub(super) async fn settled_before(
        &self,
        before: Timestamp,
    ) -> Result<Option<Vec<Wish>>, Error> {
        let mut read_bytes = self.read_bytes.lock().await;
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
        let newest = lines.iter().map(|line| line.at_ms).max().unwrap_or(0);
        if bytes.is_empty() || newest >= before.millis() {
            return Ok(None);
        }
        *read_bytes = bytes.len() as u64;
        Ok(Some(lines.into_iter().map(|line| line.wish).collect()))
    }

    /// Empties the file unless it has grown since it was read; then all is read again.
    pub(super) async fn clear(&self) -> Result<(), Error> {
        let read_bytes = self.read_bytes.lock().await;
        let emptied = async {
            let file = OpenOptions::new().write(true).open(&self.path).await?;
            if file.metadata().await?.len() == *read_bytes {
                file.set_len(0).await?;
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
