//! The whole configuration, composed of the rooms' own sections.
//!
//! [`Config::load`] reads the file, lays the environment over it and resolves `<key>_file`
//! secrets (`layers.rs`); the rooms say what their sections mean. Unknown keys are refused.

mod layers;
#[cfg(test)]
mod tests;
mod upstream;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{
    audit, auth, embedded, jobs, proxy, replication, server, store, telemetry, tls, token,
};

pub use upstream::{Upstream, UpstreamAuth};

/// Everything that can be configured; each field is a section of the file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub server: server::Config,
    pub tls: tls::Config,
    pub upstream: Upstream,
    pub embedded: embedded::Config,
    pub database: store::Config,
    pub auth: auth::Config,
    pub token: token::Config,
    pub proxy: proxy::Config,
    pub replication: replication::Config,
    pub jobs: jobs::Config,
    pub audit: audit::Config,
    pub telemetry: telemetry::Config,
}

/// Why the configuration cannot be used; each says which file, key or variable is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}: {source}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: {message}")]
    File { path: PathBuf, message: String },
    #[error("the environment variable {name}: {message}")]
    Variable { name: String, message: String },
    #[error("{key}_file: cannot read {path}: {source}")]
    Secret {
        key: String,
        path: PathBuf,
        source: std::io::Error,
    },
}

impl Config {
    /// Reads `file`, or else [`DEFAULT_FILE`] where that exists, or else takes the defaults; then
    /// the `variables` of the environment.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        let default = Path::new(DEFAULT_FILE);
        let file = file.or_else(|| default.exists().then_some(default));
        let table = file.map(layers::read_file).transpose()?.unwrap_or_default();
        layers::resolve(file, table, variables)
    }
}

/// What is read when no file is named.
pub const DEFAULT_FILE: &str = "tidegate.toml";
