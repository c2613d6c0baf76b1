//! What the room promises, driven through [`super::Proxy::handle`] over a stub registry that
//! notes what reached it, and over the embedded one. `world.rs` is the stage.

mod caching;
mod catalog;
mod challenges;
mod changes;
mod embedded;
mod following;
mod forwarding;
mod immutable;
mod listener;
mod manifests;
mod paths;
mod quotas;
mod uploads;
mod world;
