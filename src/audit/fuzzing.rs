//! What writes the words of clients into other programs' logs, for `tests/fuzz`.

use super::{Event, forward, recorder::Noted};
use crate::clock::Timestamp;

/// The event as syslog gets it, cut at about `limit` bytes.
pub fn message(at: Timestamp, event: Event, limit: usize) -> String {
    forward::Origin::here().message(&Noted { at, event }, limit)
}

/// The event as a line of the file.
pub fn line(at: Timestamp, event: Event) -> Vec<u8> {
    forward::line(&Noted { at, event })
}
