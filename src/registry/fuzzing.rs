//! What reads the answers of registries, for `tests/fuzz`.

use http::{HeaderMap, Uri};

use super::{
    EndpointUrl,
    client::{self, Cursor},
    credential::Challenge,
    guard,
};

/// What an answer asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

/// Reads the challenges of an answer; `None` where it has none that can be met.
pub fn challenge(headers: &HeaderMap) -> Option<Asked> {
    Some(match Challenge::read(headers)? {
        Challenge::Basic => Asked::Basic,
        Challenge::Bearer {
            realm,
            service,
            scope,
        } => Asked::Bearer {
            realm,
            service,
            scope,
        },
    })
}

/// Whether `registry` may have its credential sent to `other`, and send us on to it.
pub fn may_lead_to(registry: &EndpointUrl, other: &Uri) -> bool {
    guard::may_lead_to(registry, other).is_ok()
}

/// What a `Location` in the answer to `request` means: a path of this registry, or a URL.
pub fn localize(registry: &EndpointUrl, request: &Uri, target: &str) -> Option<String> {
    registry.localize(request, target)
}

/// Where a listing goes on.
pub fn next_page(headers: &HeaderMap) -> Option<Cursor> {
    client::next(headers)
}
