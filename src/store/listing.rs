//! Pages of rows, filtered and sorted by fields that the caller names.
//!
//! The SQL is put together from pieces that are all `'static`: a [`Selection`] names its fields
//! and their expressions, a [`Listing`] says by name what it wants of them, and every value is
//! bound. A name that the selection does not have is refused, so nothing a client sends is ever
//! part of a statement's text.

use sqlx::{
    AssertSqlSafe, FromRow, Postgres, Sqlite, postgres::PgArguments, postgres::PgRow,
    query::QueryAs, query::QueryScalar, sqlite::SqliteArguments, sqlite::SqliteRow,
};

use super::{Db, Error};

/// What to list: all filters must hold; rows before `offset` are left out.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    pub filters: Vec<Filter>,
    /// First key first. Rows are at last ordered by the selection's own key.
    pub sort: Vec<Sort>,
    pub offset: i64,
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
    /// The order that makes the listing stable: `id`.
    pub key: &'static str,
}

/// A field's name in the API, its SQL expression and its type.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub expression: &'static str,
    pub kind: FieldKind,
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
        let (rows, count) = (
            AssertSqlSafe(statement.rows),
            AssertSqlSafe(statement.count),
        );
        let values = statement.values;
        Ok(match self {
            Self::Lite { readers, .. } => Page {
                items: bind_lite(sqlx::query_as(rows), &values)
                    .fetch_all(readers)
                    .await?,
                total: count_lite(sqlx::query_scalar(count), &values)
                    .fetch_one(readers)
                    .await?,
            },
            Self::Pg(pool) => Page {
                items: bind_pg(sqlx::query_as(rows), &values)
                    .fetch_all(pool)
                    .await?,
                total: count_pg(sqlx::query_scalar(count), &values)
                    .fetch_one(pool)
                    .await?,
            },
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

/// The two texts of a listing, and the values of both.
struct Statement {
    rows: String,
    count: String,
    values: Vec<Value>,
}

impl Statement {
    fn new(
        selection: &Selection,
        fixed: Vec<Value>,
        listing: &Listing,
    ) -> Result<Self, ListingError> {
        let mut values = fixed;
        let mut condition = selection.condition.to_owned();
        for filter in &listing.filters {
            let field = selection.field(&filter.field)?;
            condition.push_str(" and ");
            condition.push_str(&field.condition(&filter.test, &mut values)?);
        }
        let mut order = String::new();
        for sort in &listing.sort {
            let direction = if sort.descending { " desc" } else { "" };
            order.push_str(selection.field(&sort.field)?.expression);
            order.push_str(direction);
            order.push_str(", ");
        }
        let Selection {
            columns, from, key, ..
        } = selection;
        // Both numbers are ours to print: they are integers.
        let limit = listing.limit.unwrap_or(i64::MAX).max(0);
        let offset = listing.offset.max(0);
        Ok(Self {
            rows: format!(
                "select {columns} from {from} where {condition} \
                 order by {order}{key} limit {limit} offset {offset}"
            ),
            count: format!("select count(*) from {from} where {condition}"),
            values,
        })
    }
}

impl Selection {
    fn field(&self, name: &str) -> Result<&'static Field, ListingError> {
        self.fields
            .iter()
            .find(|field| field.name == name)
            .ok_or_else(|| ListingError::UnknownField(name.to_owned()))
    }
}

impl Field {
    fn condition(&self, wanted: &Test, values: &mut Vec<Value>) -> Result<String, ListingError> {
        let expression = self.expression;
        let mut place = |value| {
            values.push(value);
            format!("${}", values.len())
        };
        Ok(match wanted {
            Test::Contains(text) if self.kind == FieldKind::Text => {
                let pattern = Value::Text(format!("%{}%", escape_like(&text.to_lowercase())));
                format!("lower({expression}) like {} escape '\\'", place(pattern))
            }
            Test::Equals(text) | Test::Contains(text) => {
                format!("{expression} = {}", place(self.value(text)?))
            }
            Test::AnyOf(texts) if texts.is_empty() => "1 = 0".to_owned(),
            Test::AnyOf(texts) => {
                let places = texts
                    .iter()
                    .map(|text| Ok(place(self.value(text)?)))
                    .collect::<Result<Vec<_>, ListingError>>()?;
                format!("{expression} in ({})", places.join(", "))
            }
            Test::Range { min, max } => {
                let mut parts = vec!["1 = 1".to_owned()];
                for (end, operator) in [(min, ">="), (max, "<=")] {
                    if let Some(text) = end {
                        parts.push(format!(
                            "{expression} {operator} {}",
                            place(self.value(text)?)
                        ));
                    }
                }
                parts.join(" and ")
            }
        })
    }

    fn value(&self, text: &str) -> Result<Value, ListingError> {
        let parsed = match self.kind {
            FieldKind::Text => Some(Value::Text(text.to_owned())),
            FieldKind::Integer => text.parse().ok().map(Value::Integer),
            FieldKind::Boolean => match text {
                "true" | "1" => Some(Value::Boolean(true)),
                "false" | "0" => Some(Value::Boolean(false)),
                _ => None,
            },
            FieldKind::Time => parse_time(text).map(Value::Integer),
        };
        parsed.ok_or_else(|| ListingError::Value {
            field: self.name.to_owned(),
            value: text.to_owned(),
        })
    }
}

/// Milliseconds of an RFC 3339 time, or of Harbor's `2026-11-21 10:00:00` in UTC.
fn parse_time(text: &str) -> Option<i64> {
    let rfc3339 = if text.contains('T') {
        text.to_owned()
    } else {
        format!("{}Z", text.trim().replace(' ', "T"))
    };
    let time =
        time::OffsetDateTime::parse(&rfc3339, &time::format_description::well_known::Rfc3339)
            .ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    /// A few rows without a table, the same in both databases.
    const FRUIT: Selection = Selection {
        columns: "id, name",
        from: "(select 1 as id, 'apple' as name, 10 as weight, true as ripe, 1000 as at_ms \
               union all select 2, 'Pear', 20, false, 2000 \
               union all select 3, '100% pear_juice', 30, true, 3000) fruit",
        condition: "weight >= $1",
        fields: &[
            Field::text("name", "name"),
            Field::integer("weight", "weight"),
            Field::boolean("ripe", "ripe"),
            Field::time("at", "at_ms"),
        ],
        key: "id",
    };

    async fn names(lightest: i64, listing: &Listing) -> Result<Vec<String>, Error> {
        let mut answers = Vec::new();
        for db in testing::databases().await {
            let fixed = vec![Value::Integer(lightest)];
            let page: Page<(i32, String)> = db.page(&FRUIT, fixed, listing).await?;
            let names: Vec<String> = page.items.into_iter().map(|row| row.1).collect();
            answers.push((names, page.total));
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
        Ok(answers.swap_remove(0).0)
    }

    fn by(field: &str, test: Test) -> Listing {
        Listing {
            filters: vec![Filter {
                field: field.to_owned(),
                test,
            }],
            ..Listing::default()
        }
    }

    fn text(text: &str) -> String {
        text.to_owned()
    }

    #[tokio::test]
    async fn filters_mean_the_same_in_both_databases() {
        let range = |min: Option<&str>, max: Option<&str>| Test::Range {
            min: min.map(text),
            max: max.map(text),
        };
        let cases = [
            (by("name", Test::Equals(text("apple"))), vec!["apple"]),
            (by("name", Test::Equals(text("APPLE"))), vec![]),
            (
                by("name", Test::Contains(text("PEAR"))),
                vec!["Pear", "100% pear_juice"],
            ),
            (
                by("name", Test::Contains(text("0%"))),
                vec!["100% pear_juice"],
            ),
            (by("name", Test::Contains(text("r%j"))), vec![]),
            (
                by("name", Test::Contains(text("_"))),
                vec!["100% pear_juice"],
            ),
            (by("name", Test::Contains(text("\\"))), vec![]),
            (by("name", Test::Equals(text("' or 1=1 --"))), vec![]),
            (
                by("weight", Test::AnyOf(vec![text("10"), text("20")])),
                vec!["apple", "Pear"],
            ),
            (by("weight", Test::AnyOf(vec![])), vec![]),
            (
                by("weight", range(Some("20"), None)),
                vec!["Pear", "100% pear_juice"],
            ),
            (by("weight", range(Some("11"), Some("29"))), vec!["Pear"]),
            (by("ripe", Test::Equals(text("false"))), vec!["Pear"]),
            (
                by("at", range(None, Some("1970-01-01T00:00:02Z"))),
                vec!["apple", "Pear"],
            ),
            (
                by("at", range(Some("1970-01-01 00:00:03"), None)),
                vec!["100% pear_juice"],
            ),
        ];
        for (listing, expected) in cases {
            assert_eq!(names(0, &listing).await.unwrap(), expected, "{listing:?}");
        }
        let heavy = by("ripe", Test::Equals(text("true")));
        assert_eq!(names(11, &heavy).await.unwrap(), ["100% pear_juice"]);
    }

    #[tokio::test]
    async fn pages_are_sorted_and_cut_and_know_the_total() {
        let listing = Listing {
            sort: vec![
                Sort {
                    field: text("ripe"),
                    descending: true,
                },
                Sort {
                    field: text("weight"),
                    descending: true,
                },
            ],
            offset: 1,
            limit: Some(1),
            ..Listing::default()
        };
        for db in testing::databases().await {
            let fixed = vec![Value::Integer(0)];
            let page: Page<(i32, String)> = db.page(&FRUIT, fixed, &listing).await.unwrap();
            assert_eq!(page.items, [(1, text("apple"))]);
            assert_eq!(page.total, 3);
        }
    }

    #[tokio::test]
    async fn unknown_fields_and_values_are_refused() {
        let sorted_by = |field: &str| Listing {
            sort: vec![Sort {
                field: text(field),
                descending: false,
            }],
            ..Listing::default()
        };
        for listing in [
            by("colour", Test::Equals(text("red"))),
            by("id; drop table users", Test::Equals(text("1"))),
            sorted_by("colour"),
            sorted_by("name desc"),
            by("weight", Test::Equals(text("ten"))),
            by("ripe", Test::Contains(text("maybe"))),
            by("at", Test::Equals(text("yesterday"))),
        ] {
            let error = names(0, &listing).await.unwrap_err();
            assert!(matches!(error, Error::Listing(_)), "{listing:?}: {error}");
        }
    }
}
