//! Addresses of the Internet Protocol: which of them the whole internet can reach, at which a cloud
//! hands out credentials, and sets of them as a configuration names them. No sockets here, and no
//! names: who connects or listens decides what an address means. Read `public.rs` first.

mod metadata;
mod networks;
mod public;

pub use metadata::is_metadata;
pub use networks::{Networks, network};
pub use public::{destination, is_public};
