//! Who may do what, as data: resources, verbs, the five project roles and Harbor's matrix.
//!
//! Pure: no I/O, no clock, no knowledge of where roles and robots are stored. `matrix.rs` holds
//! the roles' rules and what is public, `grantable.rs` what a robot may be given.

mod grantable;
mod matrix;
mod role;
#[cfg(test)]
mod tests;

pub use grantable::{GRANTABLE_IN_PROJECT, GRANTABLE_IN_SYSTEM, Rule};
pub use matrix::{allowed, public};
pub use role::{Role, RoleSet};

/// Declares an enum whose variants have fixed words, as Harbor's API writes them.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$note:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$note])* $variant,)* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word the API uses.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The variant of an API word.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "enum": Self::ALL})
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::parse(&word).ok_or_else(|| {
                    serde::de::Error::custom(format_args!(
                        concat!("`{}` is not a known ", stringify!($name)), word
                    ))
                })
            }
        }
    };
}

words! {
    /// What can be acted on, inside a project or in the whole system.
    Resource {
        Accessory = "accessory",
        Artifact = "artifact",
        ArtifactAddition = "artifact-addition",
        ArtifactLabel = "artifact-label",
        AuditLog = "audit-log",
        Catalog = "catalog",
        Configuration = "configuration",
        ExportCve = "export-cve",
        GarbageCollection = "garbage-collection",
        ImmutableTag = "immutable-tag",
        JobServiceMonitor = "jobservice-monitor",
        Label = "label",
        LdapUser = "ldap-user",
        Log = "log",
        Member = "member",
        Metadata = "metadata",
        NotificationPolicy = "notification-policy",
        PreheatInstance = "preheat-instance",
        PreheatPolicy = "preheat-policy",
        /// The project itself (Harbor's `Self`), or in the system: projects as a whole.
        Project = "project",
        PurgeAudit = "purge-audit",
        Quota = "quota",
        Registry = "registry",
        Replication = "replication",
        ReplicationAdapter = "replication-adapter",
        ReplicationPolicy = "replication-policy",
        Repository = "repository",
        Robot = "robot",
        Sbom = "sbom",
        Scan = "scan",
        ScanAll = "scan-all",
        Scanner = "scanner",
        SecurityHub = "security-hub",
        SystemVolumes = "system-volumes",
        Tag = "tag",
        TagRetention = "tag-retention",
        User = "user",
        UserGroup = "user-group",
    }
}

words! {
    /// What is done to a [`Resource`].
    Verb {
        Create = "create",
        Read = "read",
        Update = "update",
        Delete = "delete",
        List = "list",
        Pull = "pull",
        Push = "push",
        Operate = "operate",
        Stop = "stop",
        ScannerPull = "scanner-pull",
    }
}

/// A set of (resource, verb) pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessSet([u16; RESOURCES]);

impl AccessSet {
    pub const NONE: Self = Self([0; RESOURCES]);

    #[must_use]
    pub const fn with(mut self, resource: Resource, verb: Verb) -> Self {
        self.0[resource as usize] |= 1 << verb as u16;
        self
    }

    pub const fn contains(&self, resource: Resource, verb: Verb) -> bool {
        self.0[resource as usize] & (1 << verb as u16) != 0
    }

    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        for (verbs, more) in self.0.iter_mut().zip(other.0) {
            *verbs |= more;
        }
        self
    }

    /// Whether every pair of `other` is in this set.
    pub fn covers(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(other.0)
            .all(|(verbs, needed)| verbs & needed == needed)
    }

    /// The pairs, ordered by resource and verb.
    pub fn iter(&self) -> impl Iterator<Item = (Resource, Verb)> + '_ {
        Resource::ALL.iter().flat_map(move |resource| {
            Verb::ALL
                .iter()
                .filter(move |verb| self.contains(*resource, **verb))
                .map(move |verb| (*resource, *verb))
        })
    }
}

impl FromIterator<(Resource, Verb)> for AccessSet {
    fn from_iter<I: IntoIterator<Item = (Resource, Verb)>>(pairs: I) -> Self {
        pairs
            .into_iter()
            .fold(Self::NONE, |set, (resource, verb)| set.with(resource, verb))
    }
}

const RESOURCES: usize = Resource::ALL.len();
