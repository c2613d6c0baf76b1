//! The `sort=` grammar: `f,-g`, `-` for descending.

use super::{error::Error, filter::field_name};
use crate::store::Sort;

pub(super) fn parse(text: &str) -> Result<Vec<Sort>, Error> {
    let parts = text.split(',').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(|part| {
            let descending = part.strip_prefix('-');
            let field = descending.unwrap_or(part).trim();
            if field.is_empty() {
                return Err(Error::BadRequest("sort: `-` needs a field".into()));
            }
            Ok(Sort {
                field: field_name(field),
                descending: descending.is_some(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_separated_by_commas_and_a_minus_turns_one_round() {
        let parsed = parse("name,-creation_time,").unwrap();
        let read: Vec<_> = parsed
            .iter()
            .map(|o| (o.field.as_str(), o.descending))
            .collect();
        assert_eq!(read, [("name", false), ("creation_time", true)]);
        assert!(parse("-").is_err());
    }
}
