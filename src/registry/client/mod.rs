//! Typed operations of the distribution API over any exchange.
//!
//! One file for each kind of thing: manifests, blobs, uploads, listings, referrers. `call.rs`
//! holds what all of them share: how a request is made, how an answer is judged. This folder
//! must not know whether the registry is remote.

mod blob;
mod call;
mod listing;
mod manifest;
mod referrers;
mod upload;
mod verified;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::Error;
use crate::{
    oci::Route,
    wire::{Exchange, INSTALLATION_HEADER},
};
use call::Call;

pub use blob::{Blob, BlobRange};
#[cfg(feature = "fuzzing")]
pub(super) use listing::next;
pub use listing::{Cursor, Listing, Onward, PageOf, onward};
pub use manifest::{Deletion, ManifestHead, PutManifest, RemoteManifest};
pub use referrers::Referrers;
pub use upload::{Mounted, Upload};
pub use verified::verified;

/// A client of one registry. Cheap to clone.
///
/// Errors answer [`Error::kind`]; a missing thing is [`super::Kind::NotFound`], except where a
/// method returns an `Option` because absence is one of the answers that it asks for.
#[derive(Debug, Clone)]
pub struct Client {
    exchange: Exchange,
    /// Sent with every request.
    headers: HeaderMap,
}

/// What a registry says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pong {
    /// The Tidegate installation that answers, if it is one.
    pub installation: Option<String>,
}

impl Client {
    pub fn new(exchange: Exchange) -> Self {
        Self {
            exchange,
            headers: HeaderMap::new(),
        }
    }

    /// A client that sends this header with every request, to say where they come from.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// `GET /v2/`: whether a registry is there and lets us in (end-1).
    pub async fn ping(&self) -> Result<Pong, Error> {
        let answer = self.send(Call::get(&Route::Ping)).await?;
        let answer = answer.expect(&[StatusCode::OK]).await?;
        let installation = answer.header(INSTALLATION_HEADER).map(str::to_owned);
        Ok(Pong { installation })
    }
}
