//! The `q=` grammar: `k=v` exact, `k=~v` fuzzy, `k=[min~max]` range, `k={a b}` any of,
//! `k=(a b)` all of; comma-separated, all must hold (`harbor.md` 7.1).

use super::error::Error;
use crate::store::{Filter, Test};

/// Parses the value of `q=`, percent-decoded already. All filters must hold.
pub(super) fn parse(text: &str) -> Result<Vec<Filter>, Error> {
    let mut filters = Vec::new();
    for part in split(text, ',')? {
        if part.trim().is_empty() {
            continue;
        }
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| malformed(part, "it has no `=`"))?;
        let field = field_name(key.trim());
        if field.is_empty() {
            return Err(malformed(part, "it has no key before `=`"));
        }
        let tests = parse_tests(part, value.trim())?;
        filters.extend(tests.into_iter().map(|test| Filter {
            field: field.clone(),
            test,
        }));
    }
    Ok(filters)
}

fn parse_tests(part: &str, value: &str) -> Result<Vec<Test>, Error> {
    if let Some(fuzzy) = value.strip_prefix('~') {
        return Ok(vec![Test::Contains(unquote(fuzzy))]);
    }
    if let Some(range) = enclosed(part, value, '[', ']')? {
        let ends = split(range, '~')?;
        let [min, max] = ends.as_slice() else {
            return Err(malformed(part, "a range is written [min~max]"));
        };
        let end = |text: &str| (!text.trim().is_empty()).then(|| unquote(text));
        return Ok(vec![Test::Range {
            min: end(min),
            max: end(max),
        }]);
    }
    if let Some(list) = enclosed(part, value, '{', '}')? {
        return Ok(vec![Test::AnyOf(list_of(list)?)]);
    }
    if let Some(list) = enclosed(part, value, '(', ')')? {
        return Ok(list_of(list)?.into_iter().map(Test::Equals).collect());
    }
    Ok(vec![Test::Equals(unquote(value))])
}

/// What stands between `open` and `close`; none when `value` does not begin with `open`.
fn enclosed<'a>(
    part: &str,
    value: &'a str,
    open: char,
    close: char,
) -> Result<Option<&'a str>, Error> {
    let Some(rest) = value.strip_prefix(open) else {
        return Ok(None);
    };
    let inner = rest.strip_suffix(close);
    let missing = || malformed(part, &format!("`{open}` has no `{close}`"));
    inner.map(Some).ok_or_else(missing)
}

fn list_of(text: &str) -> Result<Vec<String>, Error> {
    let words = split(text, ' ')?.into_iter();
    Ok(words.filter(|word| !word.is_empty()).map(unquote).collect())
}

/// Splits at `separator` outside quotes and brackets.
fn split(text: &str, separator: char) -> Result<Vec<&str>, Error> {
    let mut parts = Vec::new();
    let (mut start, mut quote, mut depth) = (0, None, 0_u32);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) => quote = Some(open).filter(|open| *open != c),
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{' | '(') => depth += 1,
            (None, ']' | '}' | ')') => depth = depth.saturating_sub(1),
            (None, c) if c == separator && depth == 0 => {
                parts.push(text.get(start..at).unwrap_or_default());
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    if quote.is_some() {
        return Err(malformed(text, "a quote is not closed"));
    }
    parts.push(text.get(start..).unwrap_or_default());
    Ok(parts)
}

fn unquote(text: &str) -> String {
    let text = text.trim();
    for quote in ['"', '\''] {
        let inner = text.strip_prefix(quote);
        if let Some(inner) = inner.and_then(|rest| rest.strip_suffix(quote)) {
            return inner.to_owned();
        }
    }
    text.to_owned()
}

fn malformed(part: &str, why: &str) -> Error {
    Error::BadRequest(format!("q: `{part}` does not parse: {why}"))
}

/// The field a key names: Harbor's clients write `project_id`, `ProjectID` and `Level`.
pub(super) fn field_name(key: &str) -> String {
    let mut name = String::with_capacity(key.len() + 2);
    let mut after_lower = false;
    for c in key.chars() {
        if c.is_ascii_uppercase() && after_lower {
            name.push('_');
        }
        after_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        name.push(c.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests_of(text: &str) -> Vec<(String, Test)> {
        let filters = parse(text).unwrap().into_iter();
        filters.map(|filter| (filter.field, filter.test)).collect()
    }

    #[test]
    fn every_form_of_condition_parses() {
        let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let range = |min: Option<&str>, max: Option<&str>| Test::Range {
            min: min.map(Into::into),
            max: max.map(Into::into),
        };
        let cases = [
            ("name=a", Test::Equals("a".into())),
            ("name='a,b'", Test::Equals("a,b".into())),
            ("name=a=b", Test::Equals("a=b".into())),
            ("name=(a)", Test::Equals("a".into())),
            ("name=~lib", Test::Contains("lib".into())),
            ("name=[1~5]", range(Some("1"), Some("5"))),
            ("name=[~5]", range(None, Some("5"))),
            (
                "name=[\"2020-04-09 02:36:00\"~]",
                range(Some("2020-04-09 02:36:00"), None),
            ),
            ("name={a 'b c' d}", Test::AnyOf(owned(&["a", "b c", "d"]))),
        ];
        for (text, test) in cases {
            assert_eq!(tests_of(text), [("name".to_owned(), test)], "{text}");
        }
    }

    #[test]
    fn several_conditions_are_separated_by_commas_and_all_hold() {
        let parsed = tests_of("Level=project,ProjectID=1, name={a,x b}");
        let fields: Vec<_> = parsed.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["level", "project_id", "name"]);
        assert_eq!(tests_of("name=(a b)").len(), 2);
        assert!(tests_of("").is_empty());
    }

    #[test]
    fn malformed_queries_are_refused() {
        for bad in [
            "name",
            "=a",
            "name=[1]",
            "name=[1~2",
            "name={a",
            "name=(a",
            "name='a",
            "name=[1~2~3]",
        ] {
            assert!(matches!(parse(bad), Err(Error::BadRequest(_))), "{bad}");
        }
    }
}
