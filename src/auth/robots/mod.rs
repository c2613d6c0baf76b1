//! Robot accounts: machines with a secret, an expiry and a list of permissions.
//!
//! A system robot may be granted things in the system, in named projects and in every project;
//! a project robot in its own project only. `grants.rs` holds permissions in their three forms:
//! as written, as kept, as asked.

mod grants;
mod permissions;
pub(crate) mod queries;
#[cfg(test)]
mod tests;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Auth, Error, Principal, ProjectId, RobotId, UserId, account::SecretHash, password, projects,
    refresh, users,
};
use crate::{
    clock::Timestamp,
    secret::Secret,
    store::{self, Listing, Page, Value},
};

use grants::Grant;
pub use grants::{Grants, Permission, PermissionAccess, PermissionKind};

/// A robot account.
#[derive(Debug, Clone)]
pub struct Robot {
    pub id: RobotId,
    /// The name machines sign in with: `robot$ci` or `robot$team+ci`.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Level {
    System,
    Project,
}

/// Who made a robot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creator {
    User(UserId),
    Robot(RobotId),
}

/// What a new robot is made of.
#[derive(Debug, Clone)]
pub struct NewRobot {
    /// Without prefix and project; the rule is that of project names.
    pub name: String,
    pub description: String,
    pub level: Level,
    pub disabled: bool,
    /// Days; -1: never expires; `None` or 0: what the settings say.
    pub duration_days: Option<i64>,
    /// `None`: a generated one.
    pub secret: Option<Secret>,
    pub permissions: Vec<Permission>,
}

/// What of a robot can be changed; name and level cannot.
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
        creator: &Principal,
        robot: NewRobot,
    ) -> Result<CreatedRobot, Error> {
        check_name(&robot.name)?;
        let placed = self
            .place_permissions(creator, robot.level, &robot.permissions)
            .await?;
        let days = robot
            .duration_days
            .filter(|days| *days != 0)
            .unwrap_or(self.settings().robot_token_duration);
        let now = self.now();
        let expires_at = expiry(now, days)?;
        let secret = given_or_generated(robot.secret)?;
        let prefix = &self.settings().robot_name_prefix;
        let name = match &placed.project {
            Some(project) => format!("{prefix}{}+{}", project.name, robot.name),
            None => format!("{prefix}{}", robot.name),
        };
        let row = queries::Insert {
            name: &name,
            project: placed.project.as_ref().map(|project| project.id),
            change: queries::Change {
                description: &robot.description,
                duration_days: days,
                expires_at,
                disabled: robot.disabled,
                grants: &placed.grants,
            },
            secret: &SecretHash::of(&secret),
            creator: creator_of(creator)?,
        };
        let id = self.insert_robot(&row, now).await?;
        let robot = self.robot(id).await?;
        Ok(CreatedRobot { robot, secret })
    }

    async fn insert_robot(
        &self,
        row: &queries::Insert<'_>,
        now: Timestamp,
    ) -> Result<RobotId, Error> {
        // With a prefix of letters a person may have the name.
        if users::queries::account(self.db(), row.name)
            .await?
            .is_some()
        {
            return Err(Error::Conflict(format!("user {}", row.name)));
        }
        let mut tx = self.db().begin().await?;
        if let Some(project) = row.project
            && !projects::queries::lock(&mut tx, project).await?
        {
            return Err(projects::no_project(project));
        }
        let id = queries::insert(&mut tx, row, now)
            .await
            .map_err(|error| match error {
                store::Error::Duplicate => Error::Conflict(format!("robot account {}", row.name)),
                other => other.into(),
            })?;
        tx.commit().await?;
        self.outdate();
        Ok(id)
    }

    pub async fn robot(&self, id: RobotId) -> Result<Robot, Error> {
        let robot = queries::robot(self.db(), id).await?;
        robot.ok_or_else(|| no_robot(id))
    }

    /// Robots of the system (`None`) or of a project, by fields `id`, `name`, `description`,
    /// `disable`, `level`, `project_id`, `duration`, `creation_time`, `update_time`.
    pub async fn robots(
        &self,
        project: Option<ProjectId>,
        listing: &Listing,
    ) -> Result<Page<Robot>, Error> {
        let (selection, fixed) = match project {
            Some(id) => (queries::PROJECT_ROBOTS, vec![Value::Integer(id.0)]),
            None => (queries::SYSTEM_ROBOTS, Vec::new()),
        };
        let page: Page<queries::RobotRow> = self.db().page(&selection, fixed, listing).await?;
        let items = page.items.into_iter().map(queries::RobotRow::read);
        Ok(Page {
            items: items.collect::<Result<_, _>>()?,
            total: page.total,
        })
    }

    /// Changes a robot; the rules are those of [`Auth::create_robot`].
    pub async fn update_robot(
        &self,
        granter: &Principal,
        id: RobotId,
        change: RobotChange,
    ) -> Result<(), Error> {
        let robot = self.robot(id).await?;
        let placed = self
            .place_permissions(granter, robot.level, &change.permissions)
            .await?;
        if placed.project.map(|project| project.id) != robot.project_id {
            return Err(Error::Invalid(format!(
                "robot account {} belongs to its project and cannot be moved to another",
                robot.name
            )));
        }
        let change = queries::Change {
            description: &change.description,
            duration_days: change.duration_days,
            expires_at: expiry(robot.created_at, change.duration_days)?,
            disabled: change.disabled,
            grants: &placed.grants,
        };
        let mut tx = self.db().begin().await?;
        let changed = queries::update(&mut tx, id, &change, self.now()).await?;
        tx.commit().await?;
        self.outdate();
        found(changed, id)
    }

    /// Sets the robot's secret, or makes a new one, and returns it; the old one and refresh
    /// tokens end at once.
    pub async fn refresh_robot_secret(
        &self,
        id: RobotId,
        secret: Option<Secret>,
    ) -> Result<Secret, Error> {
        let name = self.robot(id).await?.name;
        let secret = given_or_generated(secret)?;
        let mut tx = self.db().begin().await?;
        let hash = SecretHash::of(&secret);
        let changed = queries::set_secret(&mut tx, id, &hash, self.now()).await?;
        refresh::queries::revoke_all(&mut tx, &name).await?;
        tx.commit().await?;
        self.outdate();
        found(changed, id)?;
        Ok(secret)
    }

    pub async fn delete_robot(&self, id: RobotId) -> Result<(), Error> {
        let name = self.robot(id).await?.name;
        let mut tx = self.db().begin().await?;
        let changed = queries::delete(&mut tx, id).await?;
        refresh::queries::revoke_all(&mut tx, &name).await?;
        tx.commit().await?;
        self.outdate();
        found(changed, id)
    }
}

fn found(changed: u64, id: RobotId) -> Result<(), Error> {
    if changed == 0 {
        Err(no_robot(id))
    } else {
        Ok(())
    }
}

fn no_robot(id: RobotId) -> Error {
    Error::NotFound(format!("robot account {id}"))
}

fn creator_of(principal: &Principal) -> Result<Creator, Error> {
    match principal {
        Principal::User { id, .. } => Ok(Creator::User(*id)),
        Principal::Robot { id, .. } => Ok(Creator::Robot(*id)),
        Principal::Anonymous => Err(Error::Forbidden(
            "sign in to create robot accounts".to_owned(),
        )),
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    if projects::is_plain_name(name) {
        return Ok(());
    }
    Err(Error::Invalid(
        "a robot name has 1 to 255 lower-case letters and digits, with single . _ or - between \
         them"
            .to_owned(),
    ))
}

fn given_or_generated(secret: Option<Secret>) -> Result<Secret, Error> {
    match secret.filter(|secret| !secret.is_empty()) {
        Some(secret) => password::check_rules("secret", &secret).map(|()| secret),
        None => Ok(password::generate(SECRET_CHARACTERS)),
    }
}

/// When a robot that lives so many days from `start` expires; `None`: never.
fn expiry(start: Timestamp, days: i64) -> Result<Option<Timestamp>, Error> {
    match u64::try_from(days) {
        Ok(days @ 1..=MAX_DAYS) => Ok(Some(start.plus(Duration::from_secs(days * 86_400)))),
        Err(_) if days == -1 => Ok(None),
        _ => Err(Error::Invalid(format!(
            "the duration of a robot account is -1 (never expires) or 1 to {MAX_DAYS} days"
        ))),
    }
}

/// A hundred years.
const MAX_DAYS: u64 = 36_500;

const SECRET_CHARACTERS: usize = 32;
