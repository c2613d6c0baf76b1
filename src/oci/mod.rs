//! The registry's words: names and patterns of names, digests, references, manifests, routes,
//! scopes and error codes.
//!
//! Pure parsing and printing of what the OCI distribution and image specifications and the
//! Docker token documents define. No I/O, no clock. Values are parsed once, at the edge; a
//! [`RepositoryName`] or [`Digest`] that exists is valid. Start with `route.rs`: it is the one
//! place that knows the paths under `/v2/`.

mod companion;
mod digest;
mod error;
mod manifest;
mod name;
mod pattern;
mod reference;
mod route;
mod scope;

pub use companion::{companion_subject, companion_tags};
pub use digest::{Algorithm, Digest, Hasher, InvalidDigest};
pub use error::{ErrorBody, ErrorCode, OneError};
pub use manifest::{
    Descriptor, InvalidManifest, MANIFEST_MEDIA_TYPES, Manifest, Platform, media_type,
};
pub use name::{InvalidName, RepositoryName};
pub use pattern::{Decoration, InvalidPattern, Pattern, Selector};
pub use reference::{InvalidReference, InvalidTag, Reference, Tag};
pub use route::{Mount, Page, Route, RouteError, UploadId};
pub use scope::{Action, ActionSet, Scope};

/// The largest manifest that is accepted, 4 MiB: what distribution and Harbor accept
/// (OCI distribution-spec, "Pushing Manifests": registries SHOULD accept at least 4 MiB).
pub const MAX_MANIFEST_BYTES: usize = 4 * 1024 * 1024;
