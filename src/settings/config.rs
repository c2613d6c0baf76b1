use serde::Deserialize;

use super::{Error, Named, names};

/// The `[settings]` section: values by Harbor's names. A value here cannot be changed through
/// the API.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "Named")]
pub struct Config(Named);

impl Config {
    /// These values; each must be one that its name takes, and together they must make sense.
    pub fn new(fixed: Named) -> Result<Self, Error> {
        for (name, value) in &fixed {
            names::find(name)?.check(value)?;
        }
        names::check_fixed(&fixed)?;
        Ok(Self(fixed))
    }

    /// Fixes what `token_expiration` shows; such a lifetime may be longer than others.
    #[must_use]
    pub fn with_token_expiration(mut self, minutes: u64) -> Self {
        let minutes = u32::try_from(minutes).unwrap_or(u32::MAX);
        self.0.insert("token_expiration".to_owned(), minutes.into());
        self
    }

    /// Whether this name has a value here.
    pub fn fixes(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The value that this name has here.
    pub fn fixed(&self, name: &str) -> Option<&serde_json::Value> {
        self.0.get(name)
    }

    pub(super) const fn named(&self) -> &Named {
        &self.0
    }
}

impl TryFrom<Named> for Config {
    type Error = String;

    fn try_from(fixed: Named) -> Result<Self, String> {
        Self::new(fixed).map_err(|error| match error {
            Error::Unknown(name) => {
                let known = names::NAMES.iter().filter(|name| !name.is_constant());
                let known: Vec<_> = known.map(|name| format!("`{}`", name.text)).collect();
                format!(
                    "unknown field `{name}`, expected one of {}",
                    known.join(", ")
                )
            }
            other => other.to_string(),
        })
    }
}
