//! The few macros that let one function serve both databases.

/// A statement in both dialects; the same text where they agree.
#[derive(Debug, Clone, Copy)]
pub struct Sql {
    pub lite: &'static str,
    pub pg: &'static str,
}

/// Declares statements as constants, and `ALL` of them by name for the test that prepares each.
///
/// ```ignore
/// sqls! {
///     USER_BY_NAME = "select id, name from users where name = $1";
///     JOB_CLAIM = "… limit $2" | "… limit $2 for update skip locked";
///     TAG = ("select ", tag_columns!(), " from tags where name = $1");
/// }
/// ```
macro_rules! sqls {
    ($($name:ident = $lite:tt $(| $pg:tt)?;)*) => {
        $(pub(super) const $name: $crate::store::Sql = $crate::store::Sql {
            lite: $crate::store::sqls!(@text $lite),
            pg: $crate::store::sqls!(@pg $lite $(, $pg)?),
        };)*
        #[cfg(test)]
        pub(crate) const ALL: &[(&str, $crate::store::Sql)] = &[$((stringify!($name), $name)),*];
    };
    (@pg $both:tt) => { $crate::store::sqls!(@text $both) };
    (@pg $lite:tt, $pg:tt) => { $crate::store::sqls!(@text $pg) };
    (@text ($($part:tt)*)) => { concat!($($part)*) };
    (@text $text:literal) => { $text };
}

/// Declares a struct whose fields are read from the columns of the same names.
macro_rules! row {
    ($(#[$meta:meta])* $visibility:vis $name:ident {
        $($(#[$of_field:meta])* $field:ident : $type:ty),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        $visibility struct $name { $($(#[$of_field])* pub $field: $type),* }
        impl<'r, R: sqlx::Row> sqlx::FromRow<'r, R> for $name
        where
            &'static str: sqlx::ColumnIndex<R>,
            $($type: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>),*
        {
            fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
                Ok(Self { $($field: row.try_get(stringify!($field))?),* })
            }
        }
    };
}

/// Declares newtypes over a row's number, transparent in JSON: `ids! { /// A user. UserId; }`.
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

/// Runs one reading statement: `read!(db, |pool, sql = USER_BY_NAME| sqlx::query_as(sql)…)`.
/// The body is expanded once for each database.
macro_rules! read {
    ($db:expr, |$pool:ident, $text:ident = $sql:ident| $body:expr) => {
        match $db {
            $crate::store::Db::Lite { readers: $pool, .. } => {
                let $text = $sql.lite;
                $body
            }
            $crate::store::Db::Pg($pool) => {
                let $text = $sql.pg;
                $body
            }
        }
    };
}

/// Runs one writing statement; like [`read!`], on the writer.
macro_rules! write {
    ($db:expr, |$pool:ident, $text:ident = $sql:ident| $body:expr) => {
        match $db {
            $crate::store::Db::Lite { writer: $pool, .. } => {
                let $text = $sql.lite;
                $body
            }
            $crate::store::Db::Pg($pool) => {
                let $text = $sql.pg;
                $body
            }
        }
    };
}

/// Runs one statement in a transaction: `run!(tx, |connection, sql = JOB_DONE| …)`.
macro_rules! run {
    ($tx:expr, |$connection:ident, $text:ident = $sql:ident| $body:expr) => {
        match &mut *$tx {
            $crate::store::Tx::Lite(transaction) => {
                let ($connection, $text) = (&mut **transaction, $sql.lite);
                $body
            }
            $crate::store::Tx::Pg(transaction) => {
                let ($connection, $text) = (&mut **transaction, $sql.pg);
                $body
            }
        }
    };
}

pub(crate) use {ids, read, row, run, sqls, write};
