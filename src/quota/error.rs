use std::fmt;

use crate::{auth, inventory, store};

/// Why something cannot be reserved, or quotas not be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    /// So much is held in memory that no more can be.
    #[error("too many blobs wait for their manifests; push again in a moment")]
    Full,
    /// The database is away, and nothing is known yet of what the project uses.
    #[error("what the project uses cannot be read at the moment")]
    Unknown,
    #[error("there is no quota {0}")]
    NoQuota(auth::ProjectId),
    #[error(transparent)]
    Auth(#[from] auth::Error),
    #[error(transparent)]
    Inventory(#[from] inventory::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A project would hold more than it may. Displays as Harbor's sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "adding {} of storage resource, which when updated to current usage of {} will exceed the \
     configured upper limit of {}.",
    Bytes(*adding),
    Bytes(*used),
    Bytes(*limit)
)]
pub struct Exceeded {
    pub adding: u64,
    /// With what is held.
    pub used: u64,
    pub limit: u64,
}

/// Who is at fault, for the status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The project's limit forbids it.
    Exceeded,
    NotFound,
    /// The client asks for a field or value that lists do not have.
    Invalid,
    /// The same call may work a moment later.
    Unavailable,
    Internal,
}

impl Error {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Exceeded(_) => Kind::Exceeded,
            Self::NoQuota(_) => Kind::NotFound,
            Self::Full | Self::Unknown => Kind::Unavailable,
            Self::Store(store::Error::Listing(_) | store::Error::Nul) => Kind::Invalid,
            Self::Auth(error) if error.retryable() => Kind::Unavailable,
            Self::Inventory(error) if error.kind() == inventory::Kind::Unavailable => {
                Kind::Unavailable
            }
            Self::Store(error) if error.retryable() => Kind::Unavailable,
            Self::Auth(_) | Self::Inventory(_) | Self::Store(_) => Kind::Internal,
        }
    }
}

/// An amount as people read it: `1.5 MiB`.
pub(super) struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut whole, mut unit) = (u128::from(self.0) * 10, "B");
        for larger in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
            if whole < 10_240 {
                break;
            }
            (whole, unit) = ((whole + 512) / 1024, larger);
        }
        if unit == "B" {
            return write!(f, "{} B", self.0);
        }
        write!(f, "{}.{} {unit}", whole / 10, whole % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_is_harbors() {
        let exceeded = Exceeded {
            adding: 12 << 20,
            used: 1023,
            limit: (10 << 30) + (512 << 20),
        };
        assert_eq!(
            exceeded.to_string(),
            "adding 12.0 MiB of storage resource, which when updated to current usage of 1023 B \
             will exceed the configured upper limit of 10.5 GiB."
        );
    }

    #[test]
    fn amounts_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1024, "1.0 KiB"),
            (1500, "1.5 KiB"),
            (1_048_575, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
