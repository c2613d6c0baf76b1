use serde::Deserialize;

use crate::secret::Secret;

/// The `[notifications]` section.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What the registry shows to be heard: as a bearer token, or as the password of any user.
    /// `None`: nobody is heard.
    pub secret: Option<Secret>,
}
