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
    audit, auth, embedded, gc, jobs, notification, proxy, quota, replication, retention, server,
    settings, store, telemetry, tls, token, webhook,
};

pub use upstream::{Upstream, UpstreamAuth};

/// Everything that can be configured; each field is a section of the file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub server: server::Config,
    pub access: server::Access,
    pub limits: server::Limits,
    pub tls: tls::Config,
    pub upstream: Upstream,
    pub embedded: embedded::Config,
    pub database: store::Config,
    pub auth: auth::Config,
    pub token: token::Config,
    pub proxy: proxy::Config,
    pub quota: quota::Config,
    pub replication: replication::Config,
    pub retention: retention::Config,
    pub gc: gc::Config,
    pub jobs: jobs::Config,
    pub notifications: notification::Config,
    pub webhook: webhook::Config,
    pub audit: audit::Config,
    pub settings: settings::Config,
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
    #[error("{0}")]
    Value(String),
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
        let config = layers::resolve(file, table, variables)?;
        config.check().map_err(Error::Value)?;
        Ok(config)
    }

    /// The configuration in `text` alone, as a file of that name would give it.
    pub fn parse(name: &Path, text: &str) -> Result<Self, Error> {
        let config = layers::resolve(Some(name), layers::parse(name, text)?, [])?;
        config.check().map_err(Error::Value)?;
        Ok(config)
    }

    /// The job engine's section with the workers that `[replication]` names.
    pub fn jobs(&self) -> jobs::Config {
        jobs::Config {
            workers: self.replication.workers,
            ..self.jobs.clone()
        }
    }

    /// The settings that are fixed here: `[settings]`, and `token.lifetime_seconds` in whole
    /// minutes as the API shows it.
    pub fn settings(&self) -> settings::Config {
        let fixed = self.settings.clone();
        match self.token.lifetime_seconds {
            Some(seconds) => fixed.with_token_expiration(seconds.div_ceil(60)),
            None => fixed,
        }
    }

    /// Why values cannot work, or not together, naming the keys.
    fn check(&self) -> Result<(), String> {
        let at_least = |key: &str, value: u64, least: u64| {
            if value >= least {
                Ok(())
            } else {
                Err(format!("{key} must be at least {least}"))
            }
        };
        at_least("replication.workers", self.replication.workers as u64, 1)?;
        at_least(
            "retention.deletes_per_second",
            self.retention.deletes_per_second.into(),
            1,
        )?;
        at_least(
            "server.max_connections",
            self.server.max_connections as u64,
            1,
        )?;
        at_least(
            "database.max_connections",
            self.database.max_connections.into(),
            1,
        )?;
        if let Some(seconds) = self.token.lifetime_seconds {
            at_least("token.lifetime_seconds", seconds, 60)?;
            if self.settings.fixes("token_expiration") {
                let both = "token.lifetime_seconds and settings.token_expiration are both set";
                return Err(both.to_owned());
            }
        }
        self.limits
            .check()
            .map_err(|problem| format!("limits.{problem}"))?;
        self.jobs()
            .check()
            .map_err(|problem| format!("jobs.{problem}"))?;
        let disabled = self.settings.fixed("disabled_audit_log_event_types");
        if let Some(list) = disabled.and_then(|value| value.as_str()) {
            audit::check_types(list)
                .map_err(|problem| format!("settings.disabled_audit_log_event_types: {problem}"))?;
        }
        if self.upstream.url.is_none() && self.upstream.auth.is_some() {
            return Err("upstream.auth is set, upstream.url is not".to_owned());
        }
        Ok(())
    }
}

/// What is read when no file is named.
pub const DEFAULT_FILE: &str = "tidegate.toml";
