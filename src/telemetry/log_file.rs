use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use tokio::{
    fs::{self, File, OpenOptions},
    io::AsyncWriteExt,
};

/// A file that lines are added to; begun anew when it was moved away, as logrotate does.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: Option<File>,
}

impl LogFile {
    /// It is opened, or made, when something is added.
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds whole lines; on an error, which names the file, none of them.
    pub async fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = self.try_append(lines).await;
        written.map_err(|error| {
            io::Error::other(format!("cannot write {}: {error}", self.path.display()))
        })
    }

    /// Lets go of the file; what comes next goes to the one that is at the path then.
    pub fn close(&mut self) {
        self.file = None;
    }

    async fn try_append(&mut self, lines: &[u8]) -> io::Result<()> {
        let file = self.file().await?;
        let before = file.metadata().await?.len();
        let written = match file.write_all(lines).await {
            Ok(()) => file.flush().await,
            Err(error) => Err(error),
        };
        if written.is_err() {
            // Half a line would spoil the next one.
            let _ = file.set_len(before).await;
        }
        written
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

/// Readable for the group, as log shippers need it.
const MODE: u32 = 0o640;
