//! Robot accounts: machines with a secret, an expiry and a list of permissions.

mod grants;

use super::{Auth, Error, Principal, ProjectId, RobotId};
use crate::{
    clock::Timestamp,
    secret::Secret,
    store::{Listing, Page},
};

pub use grants::{Grants, Permission, PermissionAccess, PermissionKind};

/// What every robot's name begins with.
pub const ROBOT_PREFIX: &str = "robot$";

/// A robot account.
#[derive(Debug, Clone)]
pub struct Robot {
    pub id: RobotId,
    /// The name people sign in with: `robot$ci` or `robot$team+ci`.
    pub name: String,
    pub description: String,
    pub level: Level,
    /// `None` for a system robot.
    pub project_id: Option<ProjectId>,
    /// Days; -1: never expires.
    pub duration_days: i64,
    /// `None`: never.
    pub expires_at: Option<Timestamp>,
    pub disabled: bool,
    pub permissions: Vec<Permission>,
    pub creator: Creator,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Where a robot belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    System,
    Project,
}

/// Who made a robot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creator {
    User(super::UserId),
    Robot(RobotId),
}

/// What a new robot is made of.
#[derive(Debug, Clone)]
pub struct NewRobot {
    /// Without prefix and project.
    pub name: String,
    pub description: String,
    pub level: Level,
    pub disabled: bool,
    /// Days; -1: never expires; `None`: `auth.robot_duration_days`.
    pub duration_days: Option<i64>,
    /// `None`: a generated one.
    pub secret: Option<Secret>,
    pub permissions: Vec<Permission>,
}

/// What of a robot can be changed; the name cannot.
#[derive(Debug, Clone)]
pub struct RobotChange {
    pub description: String,
    pub disabled: bool,
    /// Days from its creation; -1: never expires.
    pub duration_days: i64,
    pub permissions: Vec<Permission>,
}

/// A robot that was just made: the only time its secret can be read.
#[derive(Debug, Clone)]
pub struct CreatedRobot {
    pub robot: Robot,
    pub secret: Secret,
}

impl Auth {
    /// Creates a robot. Whether `creator` may create robots there is the caller's to ask
    /// ([`Auth::permits`]); that a robot grants no more than it has itself is checked here.
    pub async fn create_robot(
        &self,
        _creator: &Principal,
        _robot: NewRobot,
    ) -> Result<CreatedRobot, Error> {
        Err(Error::Busy)
    }

    pub async fn robot(&self, _id: RobotId) -> Result<Robot, Error> {
        Err(Error::Busy)
    }

    /// Robots of the system (`None`) or of a project, by fields `id`, `name`, `disable`, `level`, `creation_time`,
    /// `update_time`.
    pub async fn robots(
        &self,
        _project: Option<ProjectId>,
        _listing: &Listing,
    ) -> Result<Page<Robot>, Error> {
        Err(Error::Busy)
    }

    pub async fn update_robot(
        &self,
        _changer: &Principal,
        _id: RobotId,
        _change: RobotChange,
    ) -> Result<(), Error> {
        Err(Error::Busy)
    }

    /// Sets the robot's secret, or makes a new one, and returns it.
    pub async fn refresh_robot_secret(
        &self,
        _id: RobotId,
        _secret: Option<Secret>,
    ) -> Result<Secret, Error> {
        Err(Error::Busy)
    }

    pub async fn delete_robot(&self, _id: RobotId) -> Result<(), Error> {
        Err(Error::Busy)
    }
}
