use std::sync::Arc;

use subtle::ConstantTimeEq;

use super::{Principal, ProjectId, RobotId, UserId, robots::Grants};
use crate::{clock::Timestamp, secret::Secret};

/// An account as the database has it: what is needed to sign it in and to say who it is.
#[derive(Debug, Clone)]
pub(super) enum Account {
    User(UserAccount),
    Robot(RobotAccount),
}

#[derive(Debug, Clone)]
pub(super) struct UserAccount {
    pub id: UserId,
    pub name: Arc<str>,
    pub system_admin: bool,
    pub password_hash: String,
    pub credential_version: i64,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone)]
pub(super) struct RobotAccount {
    pub id: RobotId,
    pub name: Arc<str>,
    pub project: Option<ProjectId>,
    pub disabled: bool,
    pub expires_at: Option<Timestamp>,
    pub secret: SecretHash,
    pub credential_version: i64,
    pub grants: Arc<Grants>,
    pub created_at: Timestamp,
}

/// SHA-256 of salt and secret: robots' secrets are long and random, they need no slow hash.
#[derive(Debug, Clone)]
pub(super) struct SecretHash {
    pub salt: Vec<u8>,
    pub hash: Vec<u8>,
}

impl SecretHash {
    /// Hashes with a new salt.
    pub(super) fn of(secret: &Secret) -> Self {
        let salt = crate::secret::random_bytes::<16>().to_vec();
        let hash = digest(&salt, secret);
        Self { salt, hash }
    }

    /// Takes the same time whatever the secret.
    pub(super) fn matches(&self, secret: &Secret) -> bool {
        digest(&self.salt, secret).ct_eq(&self.hash).into()
    }
}

fn digest(salt: &[u8], secret: &Secret) -> Vec<u8> {
    crate::secret::sha256(&[salt, secret.expose().as_bytes()].concat()).to_vec()
}

impl Account {
    /// Who the account is now; `None` for a robot that is disabled or has expired.
    pub(super) fn principal(&self, now: Timestamp) -> Option<Principal> {
        match self {
            Self::User(user) => Some(user.principal()),
            Self::Robot(robot) => robot.is_live(now).then(|| robot.principal()),
        }
    }

    pub(super) const fn id(&self) -> i64 {
        match self {
            Self::User(user) => user.id.0,
            Self::Robot(robot) => robot.id.0,
        }
    }

    pub(super) const fn credential_version(&self) -> i64 {
        match self {
            Self::User(user) => user.credential_version,
            Self::Robot(robot) => robot.credential_version,
        }
    }

    pub(super) const fn created_at(&self) -> Timestamp {
        match self {
            Self::User(user) => user.created_at,
            Self::Robot(robot) => robot.created_at,
        }
    }
}

impl UserAccount {
    pub(super) fn principal(&self) -> Principal {
        Principal::User {
            id: self.id,
            name: Arc::clone(&self.name),
            system_admin: self.system_admin,
            credential_version: self.credential_version,
        }
    }
}

impl RobotAccount {
    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    fn is_live(&self, now: Timestamp) -> bool {
        !self.disabled && !self.is_expired(now)
    }

    pub(super) fn principal(&self) -> Principal {
        Principal::Robot {
            id: self.id,
            name: Arc::clone(&self.name),
            project: self.project,
            grants: Arc::clone(&self.grants),
            credential_version: self.credential_version,
        }
    }
}
