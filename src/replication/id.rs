//! Row ids, one type each.

macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord,
            serde::Serialize, serde::Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A replication endpoint; [`RegistryId::LOCAL`] is the registry behind this gateway.
    RegistryId
}
id! {
    /// A replication policy.
    PolicyId
}
id! {
    /// One run of a policy.
    ExecutionId
}
id! {
    /// The copying or deletion of one artifact.
    TaskId
}
id! {
    /// A change that was written down before the registry committed it.
    IntentId
}

impl RegistryId {
    /// The registry behind this gateway, which has no row (Harbor's id 0).
    pub const LOCAL: Self = Self(0);

    pub const fn is_local(self) -> bool {
        self.0 == 0
    }
}
