//! Where a registry may lead the gateway: by redirects, upload locations and the token services
//! that it names.
//!
//! [`may_lead_to`] looks at the text of an address before anything is sent; [`Guard`] at what its
//! host means when it is connected to. Through a proxy that goes for addresses in numbers only, for
//! the proxy looks names up. Must not know what is sent. Read `addresses.rs` first.

mod addresses;
mod place;
mod text;

#[cfg(test)]
pub(super) use addresses::Names;
pub(super) use addresses::{Forbidden, Guard, SystemNames};
pub(super) use place::is_local;
pub(super) use text::may_lead_to;
