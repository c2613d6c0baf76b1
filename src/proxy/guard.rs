//! Phase 4: rules that hold for everybody, in order.

use http::Method;

use super::{Inner, Refusal, authorise::Admitted};
use crate::oci::ErrorCode;

impl Inner {
    pub(super) fn guard(&self, request: &Admitted) -> Result<(), Refusal> {
        self.refuse_writes_when_read_only(request)
    }

    fn refuse_writes_when_read_only(&self, request: &Admitted) -> Result<(), Refusal> {
        let is_read = matches!(request.asked.method, Method::GET | Method::HEAD);
        if is_read || !self.parts.config.read_only {
            return Ok(());
        }
        Err(Refusal::new(
            ErrorCode::Denied,
            "the registry is in read-only mode: pushes and deletes are refused",
        ))
    }
}
