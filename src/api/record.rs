//! Records that come whole and are filtered, sorted and paged here.
//!
//! Replication's registries and policies are tens, not thousands, and replication keeps them
//! in memory anyway; users, projects and executions are paged by the database.

use std::cmp::Ordering;

use crate::{
    clock::Timestamp,
    store::{self, Filter, Listing, ListingError, Page, Test},
};

/// One field's value, as `q=` and `sort=` see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    Flag(bool),
    Time(Timestamp),
}

/// A row whose fields can be asked for by name.
pub(super) trait Record {
    /// None when there is no field of that name.
    fn field(&self, name: &str) -> Option<Value>;
}

/// One page of those `records` that `listing` asks for, in its order.
pub(super) fn select<R: Record>(
    records: Vec<R>,
    listing: &Listing,
) -> Result<Page<R>, ListingError> {
    let mut matching = Vec::new();
    for record in records {
        if all_hold(&record, &listing.filters)? {
            matching.push(record);
        }
    }
    if let Some(record) = matching.first() {
        for sort in &listing.sort {
            field(record, &sort.field)?;
        }
    }
    matching.sort_by(|a, b| compare(a, b, &listing.sort));
    let total = i64::try_from(matching.len()).unwrap_or(i64::MAX);
    let count = |rows: i64| usize::try_from(rows).unwrap_or_default();
    let rows = matching.into_iter().skip(count(listing.offset));
    let limit = listing.limit.map_or(usize::MAX, count);
    Ok(Page {
        items: rows.take(limit).collect(),
        total,
    })
}

fn field(record: &impl Record, name: &str) -> Result<Value, ListingError> {
    let value = record.field(name);
    value.ok_or_else(|| ListingError::UnknownField(name.to_owned()))
}

fn all_hold(record: &impl Record, filters: &[Filter]) -> Result<bool, ListingError> {
    for filter in filters {
        if !holds(&field(record, &filter.field)?, filter)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn holds(value: &Value, filter: &Filter) -> Result<bool, ListingError> {
    let against = |text: &str| {
        let order = value.against(text);
        order.ok_or_else(|| ListingError::Value {
            field: filter.field.clone(),
            value: text.to_owned(),
        })
    };
    Ok(match &filter.test {
        Test::Equals(text) => against(text)?.is_eq(),
        Test::Contains(text) => match value {
            Value::Text(own) => own.to_lowercase().contains(&text.to_lowercase()),
            _ => against(text)?.is_eq(),
        },
        Test::AnyOf(texts) => {
            let orders = texts.iter().map(|text| against(text));
            let orders = orders.collect::<Result<Vec<_>, _>>()?;
            orders.into_iter().any(Ordering::is_eq)
        }
        Test::Range { min, max } => {
            let min = min.as_deref().map(against).transpose()?;
            let max = max.as_deref().map(against).transpose()?;
            min.is_none_or(Ordering::is_ge) && max.is_none_or(Ordering::is_le)
        }
    })
}

fn compare(a: &impl Record, b: &impl Record, sorts: &[store::Sort]) -> Ordering {
    let orders = sorts.iter().map(|sort| {
        let order = match (a.field(&sort.field), b.field(&sort.field)) {
            (Some(a), Some(b)) => a.compare(&b),
            _ => Ordering::Equal,
        };
        if sort.descending {
            order.reverse()
        } else {
            order
        }
    });
    orders.fold(Ordering::Equal, Ordering::then)
}

impl Value {
    /// The order of this value and one written as text; none when the text is no such value.
    fn against(&self, text: &str) -> Option<Ordering> {
        let other = match self {
            Self::Text(_) => Self::Text(text.to_owned()),
            Self::Number(_) => Self::Number(text.parse().ok()?),
            Self::Flag(_) => Self::Flag(matches!(text, "true" | "1")),
            Self::Time(_) => Self::Time(Timestamp::from_millis(store::parse_time(text)?)),
        };
        Some(self.compare(&other))
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => a.cmp(b),
            (Self::Flag(a), Self::Flag(b)) => a.cmp(b),
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{error::Error, filter, sort};

    struct Fruit(&'static str, i64);

    impl Record for Fruit {
        fn field(&self, name: &str) -> Option<Value> {
            match name {
                "name" => Some(Value::Text(self.0.into())),
                "weight" => Some(Value::Number(self.1)),
                "picked_time" => Some(Value::Time(Timestamp::from_seconds(self.1))),
                _ => None,
            }
        }
    }

    fn names(q: &str, order: &str, offset: i64) -> Result<(Vec<&'static str>, i64), Error> {
        let fruits = vec![
            Fruit("apple", 3),
            Fruit("Banana", 10),
            Fruit("cherry", 3),
            Fruit("date", 1),
        ];
        let listing = Listing {
            filters: filter::parse(q)?,
            sort: sort::parse(order)?,
            offset,
            limit: Some(10),
        };
        let page = select(fruits, &listing)?;
        Ok((page.items.iter().map(|fruit| fruit.0).collect(), page.total))
    }

    #[test]
    fn records_are_filtered_sorted_and_paged() {
        let cases: [(&str, &str, &[&str]); 8] = [
            ("", "", &["apple", "Banana", "cherry", "date"]),
            ("name=~AN", "", &["Banana"]),
            ("name={apple date}", "-name", &["date", "apple"]),
            ("name=(apple date)", "", &[]),
            ("weight=[2~3]", "", &["apple", "cherry"]),
            ("weight=[4~]", "", &["Banana"]),
            ("", "-weight,name", &["Banana", "apple", "cherry", "date"]),
            (
                "picked_time=['1970-01-01 00:00:02'~1970-01-01T00:00:03Z]",
                "",
                &["apple", "cherry"],
            ),
        ];
        for (q, order, wanted) in cases {
            let (rows, total) = names(q, order, 0).unwrap();
            assert_eq!(rows, wanted, "{q} {order}");
            assert_eq!(usize::try_from(total), Ok(wanted.len()));
        }
        assert_eq!(names("", "", 3).unwrap(), (vec!["date"], 4));
    }

    #[test]
    fn unknown_fields_and_impossible_values_are_refused() {
        for (q, order) in [("colour=red", ""), ("", "-colour"), ("weight=heavy", "")] {
            let refused = names(q, order, 0);
            assert!(matches!(refused, Err(Error::BadRequest(_))), "{q} {order}");
        }
    }
}
