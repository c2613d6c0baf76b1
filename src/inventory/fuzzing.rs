//! What reads the archives of charts, for `tests/fuzz`.

use std::io;

use bytes::Bytes;

use super::additions;

/// The file of that name at the root of a chart's archive, if it has one.
pub fn chart_file(archive: &[u8], name: &str) -> io::Result<Option<Bytes>> {
    additions::root_file(archive, name)
}
