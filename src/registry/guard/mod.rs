//! Where a registry may lead the gateway: by redirects, upload locations, links and the token
//! services that it names. Must not know what is sent there.

mod text;

pub(super) use text::{is_local, may_lead_to};
