use crate::store;

/// Why settings could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no setting `{0}` here")]
    Unknown(String),
    /// The name, and what its value must be.
    #[error("the setting `{0}` {1}")]
    Invalid(&'static str, String),
    #[error("the setting `{0}` is fixed by the gateway's configuration and cannot be changed")]
    Configured(&'static str),
    #[error("the setting `{0}` cannot be changed here")]
    Constant(&'static str),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Who is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Invalid,
    /// The value is not to be changed, by anybody.
    Locked,
    /// The database.
    Store,
}

impl Error {
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Unknown(_) | Self::Invalid(..) => Kind::Invalid,
            Self::Configured(_) | Self::Constant(_) => Kind::Locked,
            Self::Store(_) => Kind::Store,
        }
    }

    pub fn retryable(&self) -> bool {
        matches!(self, Self::Store(error) if error.retryable())
    }
}
