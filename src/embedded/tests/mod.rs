//! Everything goes through the exchange, as the gateway uses it.

mod fixture;
mod pushing;

use fixture::Fixture;
