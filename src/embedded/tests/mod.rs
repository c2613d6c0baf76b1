//! Everything goes through the exchange, as the gateway uses it.

mod blobs;
mod collecting;
#[cfg(feature = "failpoints")]
mod crash;
mod fixture;
mod listing;
mod manifests;
mod mounting;
mod pushing;
mod referrers;
mod refusals;
mod resuming;
mod safety;

use fixture::{Fixture, Reply};
