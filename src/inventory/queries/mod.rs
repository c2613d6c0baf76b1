//! Statements of the index: writing in `writing.rs`, reading in `reading.rs`, labels in
//! `labels.rs`.

pub(super) mod labels;
pub(super) mod reading;
pub(super) mod writing;
