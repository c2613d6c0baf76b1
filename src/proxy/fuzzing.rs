//! What reads the answers of the registry behind, for `tests/fuzz`.

use url::Url;

use super::forward::{Origins, Target};

/// What clients are told where the registry behind, at `upstream`, says `target`: a path of the
/// gateway at `public`; `None` where it leads elsewhere.
pub fn location<'t>(public: &str, upstream: Option<&Url>, target: &'t str) -> Option<&'t str> {
    let public = Some(public.to_owned());
    match (Origins { public, upstream }).classify(target) {
        Target::Registry(path) => Some(path),
        Target::Foreign => None,
    }
}
