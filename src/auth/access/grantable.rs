//! What a robot may be given (Harbor `src/common/rbac/const.go`); `GET /permissions` shows it.

use super::{
    Resource,
    Verb::{self, Create, Delete, List, Operate, Pull, Push, Read, Stop, Update},
};

/// A resource and the verbs that may be granted on it.
pub type Rule = (Resource, &'static [Verb]);

/// Permissions of kind `system`, namespace `/`.
pub const GRANTABLE_IN_SYSTEM: &[Rule] = &[
    (Resource::AuditLog, &[List]),
    (Resource::PreheatInstance, CRUDL),
    (Resource::Project, &[List, Create]),
    (Resource::ReplicationPolicy, CRUDL),
    (Resource::Replication, &[Read, Create, List]),
    (Resource::ReplicationAdapter, &[List]),
    (Resource::Registry, CRUDL),
    (Resource::ScanAll, &[Read, Update, Stop, Create]),
    (Resource::SystemVolumes, &[Read]),
    (
        Resource::GarbageCollection,
        &[Create, Read, List, Update, Stop],
    ),
    (Resource::PurgeAudit, &[Create, Read, List, Update, Stop]),
    (Resource::JobServiceMonitor, &[List, Stop]),
    (Resource::Scanner, CRUDL),
    (Resource::Label, &[Create, Read, Update, Delete]),
    (Resource::SecurityHub, &[Read, List]),
    (Resource::Catalog, &[Read]),
    (Resource::Quota, &[Read, List, Update]),
    (Resource::Robot, &[Create, Read, List, Delete]),
    (Resource::User, CRUDL),
    (Resource::LdapUser, &[Create, List]),
    (Resource::UserGroup, CRUDL),
];

/// Permissions of kind `project`, namespace a project's name or `*`.
pub const GRANTABLE_IN_PROJECT: &[Rule] = &[
    (Resource::Log, &[List]),
    (Resource::Project, &[Read, Delete, Update]),
    (Resource::Metadata, CRUDL),
    (
        Resource::Repository,
        &[Read, Update, Delete, List, Pull, Push],
    ),
    (Resource::Artifact, &[Read, Create, List, Delete]),
    (Resource::Scan, &[Create, Read, Stop]),
    (Resource::Sbom, &[Create, Stop, Read]),
    (Resource::Tag, &[Create, List, Delete]),
    (Resource::Accessory, &[List]),
    (Resource::ArtifactAddition, &[Read]),
    (Resource::ArtifactLabel, &[Create, Delete]),
    (Resource::Scanner, &[Create, Read]),
    (Resource::PreheatPolicy, CRUDL),
    (Resource::ImmutableTag, CRUDL),
    (Resource::NotificationPolicy, CRUDL),
    (
        Resource::TagRetention,
        &[Create, Read, Update, Delete, List, Operate],
    ),
    (Resource::Label, CRUDL),
    (Resource::Quota, &[Read]),
    (Resource::Robot, &[Create, Read, List, Delete]),
    (Resource::ExportCve, &[Create, Read]),
    (Resource::Member, CRUDL),
];

const CRUDL: &[Verb] = &[Create, Read, Update, Delete, List];
