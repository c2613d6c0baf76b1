//! Who may use an operation, read from the document, and whether an answer says the same.

use super::{super::Answer, Asked, PRIVATE, PUBLIC};
use crate::auth::{
    Resource, Role, RoleSet, Verb,
    access::{self, GRANTABLE_IN_PROJECT, GRANTABLE_IN_SYSTEM, Rule},
};

/// What the document says about who may.
pub(super) enum Permission {
    Open,
    SignedIn,
    Administrator,
    System(Resource, Verb),
    Project(Resource, Verb),
    /// What the walk asks for is at home in the private project.
    Home(Resource, Verb),
    ByCase(&'static Case),
}

impl Permission {
    pub(super) fn of(asked: &Asked<'_>) -> Option<Self> {
        let said = &asked.operation["x-permission"];
        let pair = || {
            let resource = Resource::parse(said["resource"].as_str()?)?;
            Some((resource, Verb::parse(said["action"].as_str()?)?))
        };
        Some(match said["scope"].as_str()? {
            "anybody" => Self::Open,
            "signed-in" => Self::SignedIn,
            "administrator" => Self::Administrator,
            // The walk asks for a user that is nobody of those who ask.
            "system" | "oneself" => pair().map(|(resource, verb)| Self::System(resource, verb))?,
            "project" => pair().map(|(resource, verb)| Self::Project(resource, verb))?,
            "home" => pair().map(|(resource, verb)| Self::Home(resource, verb))?,
            "case" => {
                let name = asked.name();
                let case = CASES.iter().find(|case| case.operation == name);
                let case = case.unwrap_or_else(|| panic!("{name} needs a row in CASES"));
                Self::ByCase(case)
            }
            other => panic!("{other} is not a scope"),
        })
    }

    /// What a robot with one permission in a project needs for this.
    pub(super) fn in_project(&self) -> Option<(Resource, Verb)> {
        let pair = match self {
            Self::Project(resource, verb)
            | Self::Home(resource, verb)
            | Self::ByCase(Case {
                robots: Robots::InProject(resource, verb),
                ..
            }) => (*resource, *verb),
            _ => return None,
        };
        is_grantable(GRANTABLE_IN_PROJECT, pair).then_some(pair)
    }

    /// What a robot with one permission in the system needs for this.
    pub(super) fn in_system(&self) -> Option<(Resource, Verb)> {
        let pair = match self {
            Self::System(resource, verb)
            | Self::ByCase(Case {
                robots: Robots::InSystem(resource, verb),
                ..
            }) => (*resource, *verb),
            _ => return None,
        };
        is_grantable(GRANTABLE_IN_SYSTEM, pair).then_some(pair)
    }

    pub(super) fn useless(&self) -> (Resource, Verb) {
        let usual = (Resource::Accessory, Verb::List);
        match self {
            Self::Project(resource, verb) if (*resource, *verb) == usual => {
                (Resource::ExportCve, Verb::Read)
            }
            _ => usual,
        }
    }

    pub(super) fn outcome(&self, caller: Caller, project: &str) -> Outcome {
        if self.allows(caller, project) {
            Outcome::Allowed
        } else if matches!(caller, Caller::Anonymous) {
            Outcome::LoginNeeded
        } else {
            Outcome::Forbidden
        }
    }

    fn allows(&self, caller: Caller, project: &str) -> bool {
        if matches!(caller, Caller::Administrator) {
            return true;
        }
        match (self, caller) {
            // The robots are made with just what is needed, or not at all.
            (Self::Open, _)
            | (_, Caller::SystemRobot)
            | (Self::Project(..) | Self::Home(..) | Self::ByCase(_), Caller::ProjectRobot) => true,
            (Self::SignedIn, _) => !matches!(caller, Caller::Anonymous),
            (Self::Project(resource, verb), _) => {
                let by_role = match caller {
                    Caller::Member(role) if project == PRIVATE => {
                        access::allowed(RoleSet::NONE.with(role)).contains(*resource, *verb)
                    }
                    _ => false,
                };
                by_role || project == PUBLIC && access::public().contains(*resource, *verb)
            }
            (Self::Home(resource, verb), Caller::Member(role)) => {
                access::allowed(RoleSet::NONE.with(role)).contains(*resource, *verb)
            }
            (Self::ByCase(case), Caller::Member(role)) => case.members.contains(&role),
            (Self::ByCase(case), Caller::Stranger) => case.stranger,
            (Self::Administrator | Self::System(..) | Self::Home(..) | Self::ByCase(_), _) => false,
        }
    }
}

fn is_grantable(rules: &[Rule], (resource, verb): (Resource, Verb)) -> bool {
    let mut rules = rules.iter();
    rules.any(|(known, verbs)| *known == resource && verbs.contains(&verb))
}

/// Somebody who asks.
#[derive(Clone, Copy)]
pub(super) enum Caller {
    Administrator,
    Member(Role),
    /// A user who is a member of nothing.
    Stranger,
    Anonymous,
    /// A robot with what is asked for as its only permission, in the project.
    ProjectRobot,
    /// The same in another project.
    RobotOfAnother,
    SystemRobot,
    /// A robot of the project with one permission that does not help.
    OtherRobot,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Not refused for who asks; that what is asked for may be missing is another matter.
    Allowed,
    LoginNeeded,
    Forbidden,
}

impl Caller {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Administrator => "a system administrator",
            Self::Member(role) => role.as_str(),
            Self::Stranger => "a non-member",
            Self::Anonymous => "nobody",
            Self::ProjectRobot => "a robot of the project with just this permission",
            Self::RobotOfAnother => "a robot of another project with just this permission",
            Self::SystemRobot => "a system robot with just this permission",
            Self::OtherRobot => "a robot of the project with another permission",
        }
    }
}

pub(super) fn outcome(answer: &Answer) -> Outcome {
    match answer.status {
        401 => Outcome::LoginNeeded,
        403 => Outcome::Forbidden,
        _ => Outcome::Allowed,
    }
}

/// Who else may use operations that are decided by case, beside system administrators.
pub(super) struct Case {
    operation: &'static str,
    members: &'static [Role],
    stranger: bool,
    robots: Robots,
}

/// The permission by which a robot may use an operation that is decided by case.
enum Robots {
    No,
    InProject(Resource, Verb),
    InSystem(Resource, Verb),
}

const CASES: &[Case] = &[
    Case {
        operation: "POST /api/v2.0/projects",
        members: &Role::ALL,
        stranger: true,
        robots: Robots::InSystem(Resource::Project, Verb::Create),
    },
    Case {
        operation: "GET /api/v2.0/permissions",
        members: &[Role::ProjectAdmin],
        stranger: false,
        robots: Robots::No,
    },
    Case {
        operation: "PUT /api/v2.0/users/{user_id}/password",
        members: &[],
        stranger: false,
        robots: Robots::No,
    },
    Case {
        operation: "POST /api/v2.0/retentions",
        members: &[Role::ProjectAdmin, Role::Maintainer, Role::Developer],
        stranger: false,
        robots: Robots::InProject(Resource::TagRetention, Verb::Create),
    },
    Case {
        operation: "GET /api/v1/replication/wait",
        members: &Role::ALL,
        stranger: false,
        robots: Robots::InProject(Resource::Repository, Verb::Pull),
    },
];
