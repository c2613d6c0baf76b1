use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use http::{HeaderName, HeaderValue};
use rustix::io::Errno;

use crate::oci::{ErrorCode, RouteError};

/// Why the registry cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the registry's directory {} cannot be used: {source}", root.display())]
    Directory { root: PathBuf, source: io::Error },
    #[error(
        "the registry's directory {} is in use by another process; stop it or choose another data_dir",
        root.display()
    )]
    InUse { root: PathBuf },
    #[error(
        "{} and {} must be on one file system, for content is moved between them",
        one.display(),
        other.display()
    )]
    SeveralFileSystems { one: PathBuf, other: PathBuf },
}

/// Why a request is not answered with success.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request's own fault.
    Refused(Refusal),
    /// The file system's.
    Storage { doing: String, source: io::Error },
}

/// A refusal as the client will read it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) message: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Failure {
    pub(super) fn refused(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Refused(Refusal {
            code,
            message: message.into(),
            headers: Vec::new(),
        })
    }

    /// `doing` is a verb: "read", "rename".
    pub(super) fn storage(doing: &str, path: &Path, source: io::Error) -> Self {
        Self::Storage {
            doing: format!("{doing} {}", path.display()),
            source,
        }
    }

    /// The same refusal with one more header in its answer; a value that is no header value is
    /// left out.
    pub(super) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let (Self::Refused(refusal), Ok(value)) = (&mut self, HeaderValue::from_str(value)) {
            refusal.headers.push((name, value));
        }
        self
    }

    /// Whether there is no room for more on the disk.
    pub(super) fn is_full_disk(&self) -> bool {
        let Self::Storage { source, .. } = self else {
            return false;
        };
        matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }

    /// Whether no more files can be opened until others are closed.
    pub(super) fn is_out_of_files(&self) -> bool {
        let Self::Storage { source, .. } = self else {
            return false;
        };
        let code = Errno::from_io_error(source);
        matches!(code, Some(Errno::MFILE | Errno::NFILE))
    }

    pub(super) fn is_storage(&self) -> bool {
        matches!(self, Self::Storage { .. })
    }
}

impl From<RouteError> for Failure {
    fn from(error: RouteError) -> Self {
        let allow = error.allow;
        let refused = Self::refused(error.code, error.message);
        match allow {
            Some(allow) => refused.with_header(http::header::ALLOW, allow),
            None => refused,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => f.write_str(&refusal.message),
            Self::Storage { doing, source } => write!(f, "cannot {doing}: {source}"),
        }
    }
}
