//! Pages of rows, filtered and sorted by fields that the caller names.
//!
//! The SQL is put together from pieces that are all `'static`: a [`Selection`] names its fields
//! and their expressions, a [`Listing`] says by name what it wants of them, and every value is
//! bound. A name that the selection does not have is refused, so nothing a client sends is ever
//! part of a statement's text. `statement.rs` puts the text together.
//!
//! PostgreSQL is to plan each of them with its values (they are not `persistent`): a plan for any
//! repository takes the large one for one of average size.

mod statement;
#[cfg(test)]
mod tests;

use sqlx::{
    AssertSqlSafe, FromRow, Postgres, Sqlite, postgres::PgArguments, postgres::PgRow,
    query::QueryAs, query::QueryScalar, sqlite::SqliteArguments, sqlite::SqliteRow,
};

use super::{Db, Error};
use statement::Statement;

/// What to list: all filters must hold; rows before `offset` are left out.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    pub filters: Vec<Filter>,
    /// First key first. Rows are at last ordered by the selection's own key.
    pub sort: Vec<Sort>,
    pub offset: i64,
    /// Begin behind the row with this key instead of at `offset`, which costs the same on every
    /// page; for selections whose key is a number, and without `sort`.
    pub behind: Option<i64>,
    /// Rows to return; `None`: all of them.
    pub limit: Option<i64>,
}

/// A test of one field (Harbor's `q=`: `k=v`, `k=~v`, `k={a b}`, `k=[min~max]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    pub field: String,
    pub test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    Equals(String),
    /// The field holds the text, in whatever case.
    Contains(String),
    AnyOf(Vec<String>),
    /// Both ends belong to the range; an end that is missing is open.
    Range {
        min: Option<String>,
        max: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    pub field: String,
    pub descending: bool,
}

/// One page, and how many rows there are on all pages together.
#[derive(Debug, Clone)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub total: i64,
}

/// Why a listing cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListingError {
    #[error("`{0}` is not a field that can be filtered or sorted by")]
    UnknownField(String),
    #[error("`{value}` is not a value of field `{field}`")]
    Value { field: String, value: String },
}

/// What can be listed: `select {columns} from {from} where {condition}`.
#[derive(Debug, Clone, Copy)]
pub struct Selection {
    pub columns: &'static str,
    pub from: &'static str,
    /// May use `$1` … for the `fixed` values of [`Db::page`].
    pub condition: &'static str,
    pub fields: &'static [Field],
    /// The order that makes the listing stable, by a column whose values are unique: `id`,
    /// `id desc`.
    pub key: &'static str,
}

impl Selection {
    /// Whether it has every field that the listing filters or sorts by.
    pub fn covers(&self, listing: &Listing) -> bool {
        let filtered = listing.filters.iter().map(|filter| &filter.field);
        let sorted = listing.sort.iter().map(|sort| &sort.field);
        filtered.chain(sorted).all(|name| self.field(name).is_ok())
    }
}

/// A field's name in the API, its SQL expression and its type.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub expression: &'static str,
    pub kind: FieldKind,
    /// Rows of another table of which any must pass the test: `{from} where {condition}`.
    pub any: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    Text,
    Integer,
    Boolean,
    /// Milliseconds in the database; RFC 3339, or `2026-11-21 10:00:00` in UTC, in the API.
    Time,
}

impl Field {
    pub const fn text(name: &'static str, expression: &'static str) -> Self {
        Self::new(name, expression, FieldKind::Text)
    }

    pub const fn integer(name: &'static str, expression: &'static str) -> Self {
        Self::new(name, expression, FieldKind::Integer)
    }

    pub const fn boolean(name: &'static str, expression: &'static str) -> Self {
        Self::new(name, expression, FieldKind::Boolean)
    }

    pub const fn time(name: &'static str, expression: &'static str) -> Self {
        Self::new(name, expression, FieldKind::Time)
    }

    const fn new(name: &'static str, expression: &'static str, kind: FieldKind) -> Self {
        Self {
            name,
            expression,
            kind,
            any: None,
        }
    }

    /// A field with several values, one in each row of `rows` (`tags t where t.artifact_id =
    /// a.id`): the test holds when it holds for any of them. Nothing is sorted by it.
    #[must_use]
    pub const fn of_any(self, rows: &'static str) -> Self {
        Self {
            any: Some(rows),
            ..self
        }
    }
}

/// A bound value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
}

impl Db {
    /// Reads one page of a selection.
    pub async fn page<T>(
        &self,
        selection: &Selection,
        fixed: Vec<Value>,
        listing: &Listing,
    ) -> Result<Page<T>, Error>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let statement = Statement::new(selection, fixed, listing)?;
        let count = AssertSqlSafe(statement.count.clone());
        let values = &statement.values;
        let total = match self {
            Self::Lite { readers, .. } => {
                count_lite(sqlx::query_scalar(count), values)
                    .fetch_one(readers)
                    .await?
            }
            Self::Pg(pool) => {
                count_pg(sqlx::query_scalar(count).persistent(false), values)
                    .fetch_one(pool)
                    .await?
            }
        };
        Ok(Page {
            items: self.fetch(statement).await?,
            total,
        })
    }

    /// Reads the rows of one page, where somebody else knows how many there are.
    pub async fn rows<T>(
        &self,
        selection: &Selection,
        fixed: Vec<Value>,
        listing: &Listing,
    ) -> Result<Vec<T>, Error>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.fetch(Statement::new(selection, fixed, listing)?).await
    }

    async fn fetch<T>(&self, statement: Statement) -> Result<Vec<T>, Error>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let (rows, values) = (AssertSqlSafe(statement.rows), statement.values);
        Ok(match self {
            Self::Lite { readers, .. } => {
                bind_lite(sqlx::query_as(rows), &values)
                    .fetch_all(readers)
                    .await?
            }
            Self::Pg(pool) => {
                bind_pg(sqlx::query_as(rows).persistent(false), &values)
                    .fetch_all(pool)
                    .await?
            }
        })
    }
}

/// Makes a function that binds every [`Value`] to a query.
macro_rules! binder {
    ($name:ident, $query:ident, $database:ty, $arguments:ty) => {
        fn $name<'q, T>(
            query: $query<'q, $database, T, $arguments>,
            values: &[Value],
        ) -> $query<'q, $database, T, $arguments> {
            values.iter().fold(query, |query, value| match value {
                Value::Text(text) => query.bind(text.clone()),
                Value::Integer(number) => query.bind(*number),
                Value::Boolean(truth) => query.bind(*truth),
            })
        }
    };
}

binder!(bind_lite, QueryAs, Sqlite, SqliteArguments);
binder!(count_lite, QueryScalar, Sqlite, SqliteArguments);
binder!(bind_pg, QueryAs, Postgres, PgArguments);
binder!(count_pg, QueryScalar, Postgres, PgArguments);
