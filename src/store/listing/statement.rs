use super::{Field, FieldKind, Listing, ListingError, Selection, Test, Value};
use crate::clock::Timestamp;

/// The two texts of a listing, and the values of both.
pub(super) struct Statement {
    pub rows: String,
    pub count: String,
    pub values: Vec<Value>,
}

impl Statement {
    pub(super) fn new(
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
            order.push_str(selection.sortable(&sort.field)?.expression);
            order.push_str(direction);
            order.push_str(", ");
        }
        let Selection {
            columns, from, key, ..
        } = selection;
        // These numbers are ours to print: they are integers.
        let limit = listing.limit.unwrap_or(i64::MAX).max(0);
        let (begin, offset) = match listing.behind {
            Some(last) if order.is_empty() => (selection.behind(last), 0),
            _ => (String::new(), listing.offset.max(0)),
        };
        let page =
            format!("{condition}{begin} order by {order}{key} limit {limit} offset {offset}");
        let rows = if offset == 0 || !columns.contains("(select") {
            page
        } else {
            // PostgreSQL asks what the columns ask of the rows that it leaves out, too. SQLite does
            // not, and would look at every row for the keys.
            let id = selection.key_column();
            format!("{id} in (select {id} from {from} where {page}) order by {order}{key}")
        };
        Ok(Self {
            rows: format!("select {columns} from {from} where {rows}"),
            count: format!("select count(*) from {from} where {condition}"),
            values,
        })
    }
}

impl Selection {
    /// What holds for the rows that follow the one with this key.
    fn behind(&self, last: i64) -> String {
        let column = self.key_column();
        let follows = if column == self.key { '>' } else { '<' };
        format!(" and {column} {follows} {last}")
    }

    fn key_column(&self) -> &'static str {
        self.key.strip_suffix(" desc").unwrap_or(self.key)
    }

    fn sortable(&self, name: &str) -> Result<&'static Field, ListingError> {
        let field = self.field(name)?;
        match field.any {
            None => Ok(field),
            Some(_) => Err(ListingError::UnknownField(name.to_owned())),
        }
    }

    pub(super) fn field(&self, name: &str) -> Result<&'static Field, ListingError> {
        self.fields
            .iter()
            .find(|field| field.name == name)
            .ok_or_else(|| ListingError::UnknownField(name.to_owned()))
    }
}

impl Field {
    fn condition(&self, wanted: &Test, values: &mut Vec<Value>) -> Result<String, ListingError> {
        let test = self.test(wanted, values)?;
        Ok(match self.any {
            None => test,
            Some(rows) => format!("exists (select 1 from {rows} and {test})"),
        })
    }

    fn test(&self, wanted: &Test, values: &mut Vec<Value>) -> Result<String, ListingError> {
        let expression = self.expression;
        let mut place = |value| {
            values.push(value);
            format!("${}", values.len())
        };
        Ok(match wanted {
            Test::Contains(text) if self.kind == FieldKind::Text => {
                let pattern = format!("%{}%", escape_like(&text.to_lowercase()));
                let pattern = self.value(&pattern)?;
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
            // PostgreSQL has no NUL in a text.
            FieldKind::Text => (!text.contains('\0')).then(|| Value::Text(text.to_owned())),
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
    Timestamp::parse(&rfc3339).map(Timestamp::millis)
}

fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_")
}
