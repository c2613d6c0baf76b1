use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::Path,
};

use super::receive::CHUNK_BYTES;
use crate::{
    failpoint,
    oci::{Algorithm, Digest, Hasher},
};

/// An upload's file, and the hash of what is in it.
#[derive(Debug)]
pub(super) struct Sink {
    file: File,
    hasher: Hasher,
    algorithm: Algorithm,
    written: u64,
}

/// A point to return to.
#[derive(Debug)]
pub(super) struct Mark {
    hasher: Hasher,
    written: u64,
}

impl Sink {
    pub(super) fn create(path: &Path, algorithm: Algorithm) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(path)?;
        Ok(Self {
            file,
            hasher: Hasher::new(algorithm),
            algorithm,
            written: 0,
        })
    }

    /// Opens an upload that is not in memory any more and hashes what is in its file.
    pub(super) fn reopen(path: &Path, algorithm: Algorithm) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let written = file.metadata()?.len();
        let mut sink = Self {
            file,
            hasher: Hasher::new(algorithm),
            algorithm,
            written,
        };
        sink.rehash(algorithm)?;
        Ok(sink)
    }

    /// Bytes in the file.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// When it fails, the file is as before.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.written;
        if let Err(error) = self.file.write_all_at(bytes, end) {
            // What is behind the end is cut off again before the content is used.
            let _ = self.file.set_len(end);
            return Err(error);
        }
        failpoint::hit("embedded.chunk_written");
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            hasher: self.hasher.clone(),
            written: self.written,
        }
    }

    pub(super) fn return_to(&mut self, mark: Mark) -> io::Result<()> {
        self.hasher = mark.hasher;
        self.written = mark.written;
        self.file.set_len(self.written)
    }

    /// Goes over to another algorithm; reads the file when there is something in it.
    pub(super) fn hash_with(&mut self, algorithm: Algorithm) -> io::Result<()> {
        if self.algorithm == algorithm {
            return Ok(());
        }
        self.rehash(algorithm)
    }

    /// The digest of the content; the file holds exactly that content afterwards.
    pub(super) fn digest(&self) -> io::Result<Digest> {
        if self.file.metadata()?.len() != self.written {
            self.file.set_len(self.written)?;
        }
        Ok(self.hasher.clone().finish())
    }

    fn rehash(&mut self, algorithm: Algorithm) -> io::Result<()> {
        let mut hasher = Hasher::new(algorithm);
        self.file.seek(SeekFrom::Start(0))?;
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut left = self.written;
        while left > 0 {
            let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            self.file.read_exact(&mut buffer[..wanted])?;
            hasher.update(&buffer[..wanted]);
            left -= wanted as u64;
        }
        self.hasher = hasher;
        self.algorithm = algorithm;
        Ok(())
    }
}
