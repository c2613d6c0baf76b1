//! Who is who, and who may do what.
//!
//! Users, groups, projects, members, robots and refresh tokens in the database; logins; the decisions
//! that the registry and the API ask for. `access/` is the pure matrix of roles. The room does
//! not know HTTP or how tokens are signed. Start with `authority.rs`: [`Auth`] is the door.
//!
//! Lists are asked with [`crate::store::Listing`]: its filters and sort keys name the fields
//! each list function documents (Harbor's JSON names); a name it does not have is
//! [`Kind::Invalid`], and values are always bound.

pub mod access;
mod account;
mod authority;
pub mod bearer;
mod bootstrap;
mod config;
mod error;
mod foreign;
mod fresh;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod groups;
mod id;
pub mod immutable;
mod limiter;
mod login;
pub mod members;
mod metrics;
mod password;
mod principal;
pub mod projects;
pub(crate) mod refresh;
mod remembered;
pub mod robots;
#[cfg(test)]
mod tests;
pub mod users;

pub use access::{Resource, Role, RoleSet, Verb};
pub use authority::Auth;
pub use config::Config;
pub use error::{Error, Kind};
pub use id::{GroupId, MemberId, ProjectId, RobotId, UserId};
pub use metrics::Metrics;
pub use principal::Principal;
