/// Declares a newtype over a row's number, transparent in JSON.
macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident;)*) => {$(
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

        impl<D: sqlx::Database> sqlx::Type<D> for $name
        where
            i64: sqlx::Type<D>,
        {
            fn type_info() -> D::TypeInfo {
                <i64 as sqlx::Type<D>>::type_info()
            }

            fn compatible(info: &D::TypeInfo) -> bool {
                <i64 as sqlx::Type<D>>::compatible(info)
            }
        }

        impl<'r, D: sqlx::Database> sqlx::Decode<'r, D> for $name
        where
            i64: sqlx::Decode<'r, D>,
        {
            fn decode(value: D::ValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                <i64 as sqlx::Decode<'r, D>>::decode(value).map(Self)
            }
        }
    )*};
}

ids! {
    /// A user, also after deletion; never reused.
    UserId;
    /// A project, also after deletion; never reused.
    ProjectId;
    /// A robot account.
    RobotId;
    /// A membership: one user (or group) in one project.
    MemberId;
}
