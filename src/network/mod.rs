//! Addresses of the Internet Protocol: which of them the whole internet can reach, and sets of
//! them as a configuration names them. No sockets here, and no names: who connects or listens
//! decides what an address means. Read `public.rs` first.

mod networks;
mod public;

pub use networks::{Networks, network};
pub use public::is_public;
