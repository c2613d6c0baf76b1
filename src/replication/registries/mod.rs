//! The registries that policies copy from and to: their rows, secrets and health.

mod administration;
mod clients;
mod health;
pub(crate) mod queries;
#[cfg(test)]
mod tests;

use crate::{clock::Timestamp, secret::Secret};

use super::RegistryId;

pub(in crate::replication) use clients::Clients;
pub(in crate::replication) use health::watch as watch_health;

/// A replication endpoint as it is kept. Its secret stays in the database, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    pub id: RegistryId,
    pub name: String,
    pub description: String,
    /// Harbor's adapter type, the name of a [`crate::registry::Provider`].
    pub kind: String,
    pub url: String,
    /// `basic`; empty without a credential.
    pub credential_type: String,
    pub access_key: String,
    pub has_secret: bool,
    /// Whether the certificate is not verified.
    pub insecure: bool,
    /// PEM; trusted beside the system's roots.
    pub ca_certificate: Option<String>,
    pub health: Health,
    /// The Tidegate installation that answers there, if it is one.
    pub installation: Option<String>,
    /// Kilobits (1024 bits) a second for all copying to or from it by one process; `None` for no
    /// limit.
    pub speed_kbps: Option<u32>,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// Whether a registry answered when it was last asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Healthy,
    Unhealthy,
}

impl Health {
    /// Harbor's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// A registry to be made, or to be tried without being kept.
#[derive(Debug, Clone, Default)]
pub struct NewRegistry {
    pub name: String,
    pub description: String,
    pub kind: String,
    pub url: String,
    pub credential: NewCredential,
    pub insecure: bool,
    pub ca_certificate: Option<String>,
    pub speed_kbps: Option<u32>,
}

/// What a registry is asked with; an empty `access_key` means anonymously.
#[derive(Debug, Clone, Default)]
pub struct NewCredential {
    pub kind: String,
    pub access_key: String,
    pub access_secret: Secret,
}

/// What shall become different about a registry; `None` leaves as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegistryChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub url: Option<String>,
    pub credential_type: Option<String>,
    pub access_key: Option<String>,
    pub access_secret: Option<Secret>,
    pub insecure: Option<bool>,
    pub ca_certificate: Option<String>,
    /// 0 for no limit.
    pub speed_kbps: Option<u32>,
}

impl RegistryChange {
    /// Whether the registry may answer otherwise than before.
    fn reconnects(&self) -> bool {
        let kept = Self {
            name: None,
            description: None,
            speed_kbps: None,
            ..self.clone()
        };
        kept != Self::default()
    }
}
