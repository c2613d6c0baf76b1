//! `q=` and `sort=` of lists, a line each: every value that is filtered by stands in the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::{
    api::fuzzing::{filters, sort},
    store::Test,
};

fuzz_target!(|data: &str| {
    let (query, order) = data.split_once('\n').unwrap_or((data, ""));
    for filter in filters(query).unwrap_or_default() {
        is_name(&filter.field);
        let values = match filter.test {
            Test::Equals(value) | Test::Contains(value) => vec![value],
            Test::AnyOf(values) => values,
            Test::Range { min, max } => min.into_iter().chain(max).collect(),
        };
        for value in values {
            assert!(query.contains(&value), "{value} of {query}");
            // Quoted it is one value, whatever is in it.
            let quote = if value.contains('"') { '\'' } else { '"' };
            if !value.contains(quote) {
                let text = format!("field={quote}{value}{quote}");
                let again = filters(&text).expect("one value");
                assert_eq!(again.len(), 1, "{text}");
                assert_eq!(again[0].test, Test::Equals(value), "{text}");
            }
        }
    }
    for key in sort(order).unwrap_or_default() {
        is_name(&key.field);
    }
});

fn is_name(field: &str) {
    assert!(!field.is_empty());
    assert!(!field.contains(|c: char| c.is_ascii_uppercase()), "{field}");
}
