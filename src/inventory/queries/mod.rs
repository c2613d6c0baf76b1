//! Statements of the index: writing in `writing.rs`, reading in `reading.rs`, labels in
//! `labels.rs`, what projects use in `usage.rs`.

pub(super) mod labels;
pub(super) mod reading;
pub(super) mod usage;
pub(super) mod writing;
