use std::path::PathBuf;

use serde::Deserialize;

use crate::{registry, secret::Secret};

/// The `[upstream]` section: the registry behind the gateway.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Upstream {
    /// `http://…` or `https://…`. `None`: the embedded registry under `server.data_dir`.
    pub url: Option<String>,
    /// How the registry trusts the gateway. `None`: `basic` with a user name, else `none`.
    pub auth: Option<UpstreamAuth>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// A PEM file with certificates to trust besides the system's.
    pub ca_cert: Option<PathBuf>,
    /// Whether any certificate is taken.
    pub insecure: bool,
    /// Whether others write to the registry without passing this gateway: other gateways, or
    /// clients. `None`: where the database is PostgreSQL, which gateways may share.
    pub shared: Option<bool>,
    pub connections: registry::Config,
}

/// How a remote registry trusts the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamAuth {
    /// It trusts everybody who can reach it.
    None,
    /// User name and password on every request.
    Basic,
    /// It verifies the gateway's own tokens.
    Token,
}
