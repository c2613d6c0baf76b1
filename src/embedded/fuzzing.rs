//! What reads the ranges that clients ask for and announce, for `tests/fuzz`.

use http::HeaderMap;

use super::endpoint::{Wanted, chunk_range};
use crate::oci::Digest;

/// The first and the last byte of content of `size` bytes that is wanted: all of them where none
/// is named, none where there are none such.
pub fn wanted(headers: &HeaderMap, digest: &Digest, size: u64) -> Option<(u64, u64)> {
    match Wanted::parse(headers, digest, size) {
        Wanted::Whole => Some((0, size.saturating_sub(1))),
        Wanted::Part { first, last } => Some((first, last)),
        Wanted::Unsatisfiable => None,
    }
}

/// The first and the last byte of a chunk that is announced by `Content-Range`.
pub fn announced(content_range: &str) -> Option<(u64, u64)> {
    chunk_range(content_range)
}
