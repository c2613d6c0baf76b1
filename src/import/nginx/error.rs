use std::{io, path::PathBuf};

use super::tree::Place;

/// Why a configuration cannot be imported; each names the file, and the line where there is one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}:{line}: {text}")]
    Syntax {
        path: PathBuf,
        line: u32,
        text: String,
    },
    /// The configuration has no site to import, several, or one that leads nowhere.
    #[error("{0}")]
    Site(String),
}

impl Error {
    pub(super) fn on(place: &Place, text: String) -> Self {
        Self::Syntax {
            path: place.file.to_path_buf(),
            line: place.line,
            text,
        }
    }
}

/// What is wrong on a line of the file being read.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) line: u32,
    pub(super) text: String,
}

impl Problem {
    pub(super) fn at(line: u32, text: impl Into<String>) -> Self {
        Self {
            line,
            text: text.into(),
        }
    }
}
