use super::{ArtifactId, LabelId, RepositoryId};
use crate::{jobs::Failure, registry, store};

/// What can go wrong with the index.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no project {0}")]
    NoProject(String),
    #[error("there is no repository {0}")]
    NoRepository(String),
    #[error("there is no artifact {reference} in {repository}")]
    NoArtifact {
        repository: String,
        reference: String,
    },
    #[error("there is no label {0} here")]
    NoLabel(LabelId),
    /// What exists already; the text names it.
    #[error("{0}")]
    Duplicate(String),
    #[error("the artifact has no addition {0}")]
    NoAddition(String),
    /// A row holds what this program cannot read.
    #[error("repository {repository}, artifact {artifact}: {problem}")]
    Row {
        repository: RepositoryId,
        artifact: ArtifactId,
        problem: String,
    },
    #[error("the journal {path}: {source}")]
    Journal {
        path: String,
        source: std::io::Error,
    },
    #[error(transparent)]
    Registry(#[from] registry::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Who is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    NotFound,
    Conflict,
    /// The client asks for a field or value that lists do not have.
    Invalid,
    /// The registry behind could not be asked.
    Registry,
    /// The database is away; the same call may work a moment later.
    Unavailable,
    Internal,
}

impl From<Error> for Failure {
    /// Of a job that stumbles over it.
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::Registry(error) if error.retryable() => Self::retryable(error.explained()),
            error => Self::permanent(error.to_string()),
        }
    }
}

impl Error {
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoProject(_)
            | Self::NoRepository(_)
            | Self::NoArtifact { .. }
            | Self::NoLabel(_)
            | Self::NoAddition(_) => Kind::NotFound,
            Self::Duplicate(_) => Kind::Conflict,
            Self::Store(store::Error::Listing(_) | store::Error::Nul) => Kind::Invalid,
            Self::Store(error) if error.retryable() => Kind::Unavailable,
            Self::Registry(_) => Kind::Registry,
            Self::Row { .. } | Self::Journal { .. } | Self::Store(_) => Kind::Internal,
        }
    }
}
