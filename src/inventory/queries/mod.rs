//! Statements of the index: writing in `writing.rs`, reading in `reading.rs`.

pub(super) mod reading;
pub(super) mod writing;
