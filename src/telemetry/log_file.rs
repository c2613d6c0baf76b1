use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use tokio::task::{JoinHandle, spawn_blocking};

/// A file that lines are added to; begun anew when it was moved away, as logrotate does.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: Option<File>,
}

/// The file to go on with, and how it went.
pub type Appended = (LogFile, io::Result<()>);

impl LogFile {
    /// It is opened, or made, when something is added.
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds whole lines; on an error, which names the file, none of them.
    pub async fn append(&mut self, lines: Vec<u8>) -> io::Result<()> {
        let (file, written) = self.begin(lines).await.map_err(io::Error::other)?;
        *self = file;
        written
    }

    /// As [`Self::append`], on a thread: who stops waiting for it has not undone it. The open file
    /// goes along; the one that comes back is to take this one's place.
    pub fn begin(&mut self, lines: Vec<u8>) -> JoinHandle<Appended> {
        let mut file = Self {
            path: self.path.clone(),
            file: self.file.take(),
        };
        spawn_blocking(move || {
            let written = file.write(&lines).map_err(|error| {
                io::Error::other(format!("cannot write {}: {error}", file.path.display()))
            });
            (file, written)
        })
    }

    /// Lets go of the file; what comes next goes to the one that is at the path then.
    pub fn close(&mut self) {
        self.file = None;
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let file = self.file()?;
        let before = file.metadata()?.len();
        let written = file.write_all(lines);
        if written.is_err() {
            // Half a line would spoil the next one.
            let _ = file.set_len(before);
        }
        written
    }

    /// The file at the path, also when another one lies there than a moment ago.
    fn file(&mut self) -> io::Result<&mut File> {
        let held = match self.file.take() {
            Some(file) if self.is_at_path(&file)? => file,
            _ => {
                let mut options = OpenOptions::new();
                options.create(true).append(true).mode(MODE);
                options.open(&self.path)?
            }
        };
        Ok(self.file.insert(held))
    }

    fn is_at_path(&self, file: &File) -> io::Result<bool> {
        let held = file.metadata()?;
        Ok(fs::metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (held.dev(), held.ino())))
    }
}

/// Readable for the group, as log shippers need it.
const MODE: u32 = 0o640;
