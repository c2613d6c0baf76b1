use std::sync::Arc;

use super::{ProjectId, RobotId, UserId, robots::Grants};

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    Anonymous,
    User {
        id: UserId,
        name: Arc<str>,
        system_admin: bool,
        /// Counts the user's passwords.
        credential_version: i64,
    },
    Robot {
        id: RobotId,
        /// With its prefix: `robot$ci` or `robot$team+ci`.
        name: Arc<str>,
        /// The project a project robot belongs to; `None` for a system robot.
        project: Option<ProjectId>,
        grants: Arc<Grants>,
        /// Counts the robot's secrets.
        credential_version: i64,
    },
}

impl Principal {
    /// The name as tokens (`sub`), logs and audit records carry it; empty when anonymous.
    pub fn name(&self) -> &str {
        match self {
            Self::Anonymous => "",
            Self::User { name, .. } | Self::Robot { name, .. } => name,
        }
    }

    pub const fn is_system_admin(&self) -> bool {
        matches!(
            self,
            Self::User {
                system_admin: true,
                ..
            }
        )
    }

    pub const fn is_anonymous(&self) -> bool {
        matches!(self, Self::Anonymous)
    }

    /// Which of its passwords or secrets the account has; `None` when anonymous.
    pub const fn credential_version(&self) -> Option<i64> {
        match self {
            Self::Anonymous => None,
            Self::User {
                credential_version, ..
            }
            | Self::Robot {
                credential_version, ..
            } => Some(*credential_version),
        }
    }

    pub const fn user_id(&self) -> Option<UserId> {
        match self {
            Self::User { id, .. } => Some(*id),
            _ => None,
        }
    }
}
