use std::{io, os::unix::fs::MetadataExt, path::PathBuf, sync::Arc};

use tokio::{
    fs::{self, File, OpenOptions},
    io::AsyncWriteExt,
};

use super::{Sink, message};
use crate::audit::recorder::Noted;

/// A file with a line of JSON for each event.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    file: Option<File>,
}

impl Lines {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// The file at the path, also when another one lies there than a moment ago.
    async fn file(&mut self) -> io::Result<&mut File> {
        let held = match self.file.take() {
            Some(file) if self.is_at_path(&file).await? => file,
            _ => {
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .mode(MODE)
                    .open(&self.path)
                    .await?
            }
        };
        Ok(self.file.insert(held))
    }

    async fn is_at_path(&self, file: &File) -> io::Result<bool> {
        let held = file.metadata().await?;
        Ok(fs::metadata(&self.path)
            .await
            .is_ok_and(|found| (found.dev(), found.ino()) == (held.dev(), held.ino())))
    }
}

impl Sink for Lines {
    async fn send(&mut self, events: &mut Vec<Arc<Noted>>) -> io::Result<bool> {
        let named = |path: &PathBuf, error: &io::Error| {
            io::Error::other(format!("cannot write {}: {error}", path.display()))
        };
        let path = self.path.clone();
        let lines: Vec<u8> = events
            .iter()
            .flat_map(|noted| message::line(noted))
            .collect();
        let written = async {
            let file = self.file().await?;
            let before = file.metadata().await?.len();
            let written = match file.write_all(&lines).await {
                Ok(()) => file.flush().await,
                Err(error) => Err(error),
            };
            if written.is_err() {
                // Half a line would spoil the next one.
                let _ = file.set_len(before).await;
            }
            written
        };
        written.await.map_err(|error| named(&path, &error))?;
        events.clear();
        Ok(true)
    }

    fn has_moved(&self) -> bool {
        false
    }
}

/// Readable for the group, as log shippers need it.
const MODE: u32 = 0o640;
