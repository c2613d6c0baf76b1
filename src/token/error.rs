use std::path::{Path, PathBuf};

/// Why the signing keys cannot be used, or a token not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read or write {path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} does not hold a usable token key: {reason}")]
    Key { path: PathBuf, reason: String },
    #[error("cannot make a token key: {0}")]
    Generate(String),
    #[error("cannot sign a token")]
    Sign,
}

impl Error {
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io {
            path: path.into(),
            source,
        }
    }

    pub(super) fn key(path: &Path, reason: &impl ToString) -> Self {
        Self::Key {
            path: path.into(),
            reason: reason.to_string(),
        }
    }
}
