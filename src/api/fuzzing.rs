//! What reads the parameters of lists, for `tests/fuzz`.

use super::{filter, sort};
use crate::store::{Filter, Sort};

/// Reads `q=`; the error is what the caller is told.
pub fn filters(text: &str) -> Result<Vec<Filter>, String> {
    filter::parse(text).map_err(|error| error.to_string())
}

/// Reads `sort=`; the error is what the caller is told.
pub fn sort(text: &str) -> Result<Vec<Sort>, String> {
    sort::parse(text).map_err(|error| error.to_string())
}
