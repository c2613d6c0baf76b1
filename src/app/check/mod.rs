//! `tidegate check`: is every part fit to serve? It only looks: nothing is made or migrated.
//! `outside.rs` looks from where clients are.

mod client;
mod outside;

use std::{fs::OpenOptions, path::Path, sync::Arc};

use anyhow::Context;
use rustix::fs::Access;

use super::{
    data_dir::{DataDir, Error, exposure},
    database_path, host_names, missing_database, upstream,
};
use crate::{
    clock::{SharedClock, SystemClock},
    config::{Config, UpstreamAuth},
    registry::{self, Client, Remote},
    server::ExternalUrl,
    settings,
    store::Db,
    tls,
    token::{Issuer, Keys},
};

/// What was found of one part.
#[derive(Debug)]
pub struct Finding {
    pub part: &'static str,
    /// What it is, or what is wrong and how to mend it.
    pub outcome: anyhow::Result<String>,
}

/// Looks at each part without serving, also beside a running gateway.
pub async fn all(config: &Config) -> Vec<Finding> {
    tls::install_crypto();
    let mut findings = vec![
        part("data directory", data_dir(config)),
        part("certificate", certificate(config)),
        part("database", database(config).await),
        part("upstream", upstream(config).await),
    ];
    if let Some(path) = &config.telemetry.access_log_path {
        findings.push(part("access log", writable(path)));
    }
    match &config.server.external_url {
        Some(url) if is_served(config) => {
            let own = config.server.data_dir.join("tls/ca.crt");
            let own = std::fs::read_to_string(own).ok();
            findings.extend(outside::all(url, own).await);
        }
        Some(_) => {
            let later = "to be looked at once a gateway runs on the data directory";
            findings.push(part("external address", Ok(later.to_owned())));
        }
        None => {}
    }
    findings
}

/// Looks at the way to a gateway that runs somewhere, by the address that clients use.
pub async fn the_way_to(url: &ExternalUrl) -> Vec<Finding> {
    tls::install_crypto();
    outside::all(url, None).await
}

fn part(part: &'static str, outcome: anyhow::Result<String>) -> Finding {
    Finding { part, outcome }
}

fn is_served(config: &Config) -> bool {
    let path = &config.server.data_dir;
    path.exists() && matches!(DataDir::open(path), Err(Error::InUse { .. }))
}

fn data_dir(config: &Config) -> anyhow::Result<String> {
    let path = &config.server.data_dir;
    if !path.exists() {
        return Ok(format!("{} {WILL_BE_MADE}", path.display()));
    }
    match DataDir::open(path) {
        Ok(_free) => Ok(with_exposure(path, path.display().to_string())),
        Err(Error::InUse { .. }) => {
            let found = format!("{}, in use by a running Tidegate", path.display());
            Ok(with_exposure(path, found))
        }
        Err(error) => Err(error.into()),
    }
}

fn with_exposure(path: &Path, found: String) -> String {
    match exposure(path) {
        Some(warning) => format!("{found}; {warning}"),
        None => found,
    }
}

fn certificate(config: &Config) -> anyhow::Result<String> {
    let data_dir = &config.server.data_dir;
    let is_configured = config.tls.cert.is_some() || config.tls.key.is_some();
    if config.tls.mode == tls::Mode::Off {
        return Ok("TLS is off".to_owned());
    }
    if !is_configured && !data_dir.join("tls").exists() {
        return Ok(format!("self-signed, {WILL_BE_MADE}"));
    }
    let clock: SharedClock = Arc::new(SystemClock);
    let server = tls::Server::load(&config.tls, data_dir, &host_names(config), clock)?;
    Ok(match server.and_then(|server| server.ca_certificate()) {
        Some(ca) => format!("self-signed; clients must trust {}", ca.display()),
        None => "from the configured files".to_owned(),
    })
}

/// Whether lines can be added to a file, or it can be made in its folder.
fn writable(path: &Path) -> anyhow::Result<String> {
    let asked = if path.exists() {
        OpenOptions::new().append(true).open(path).map(drop)
    } else {
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let folder = folder.unwrap_or(Path::new("."));
        rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(Into::into)
    };
    asked.with_context(|| format!("telemetry.access_log_path: cannot write {}", path.display()))?;
    Ok(path.display().to_string())
}

async fn database(config: &Config) -> anyhow::Result<String> {
    if let Some(file) = missing_database(config) {
        return Ok(format!("{} {WILL_BE_MADE}", file.display()));
    }
    let db = Db::connect(&config.database, &database_path(config)).await?;
    let pending = db.pending_migrations().await?;
    db.close().await;
    Ok(match pending {
        0 => "reachable and up to date".to_owned(),
        pending => format!("reachable; the next start applies {pending} migrations"),
    })
}

async fn upstream(config: &Config) -> anyhow::Result<String> {
    let Some(url) = &config.upstream.url else {
        return Ok("the embedded registry".to_owned());
    };
    let endpoint = upstream::endpoint(&config.upstream, url)?;
    if config.upstream.auth == Some(UpstreamAuth::Token) {
        return with_own_tokens(config, &endpoint).await;
    }
    let answer = registry::ping(&endpoint, &config.upstream.connections).await;
    answer.with_context(|| format!("upstream.url {url}"))?;
    Ok(url.clone())
}

/// Whether a registry that verifies the gateway's tokens accepts one.
async fn with_own_tokens(config: &Config, endpoint: &registry::Endpoint) -> anyhow::Result<String> {
    let (url, data_dir) = (&endpoint.url, &config.server.data_dir);
    if !data_dir.join("token").exists() {
        return Ok(format!(
            "{url}; it can be tried once the first start has made the token's key"
        ));
    }
    let clock: SharedClock = Arc::new(SystemClock);
    let keys = Keys::load(data_dir, config.token.algorithm, &clock)?;
    let issuer = Issuer::new(
        Arc::new(keys),
        config.token.clone(),
        settings::Reader::default(),
        clock,
    )?;
    let authentication = upstream::authentication(&config.upstream, &issuer)?;
    let remote = Remote::new(endpoint, authentication, &config.upstream.connections)?;
    let answer = Client::new(remote.exchange()).ping().await;
    answer.with_context(|| {
        format!(
            "{url} does not accept the gateway's tokens; give it issuer, service and the certificate \
             of /service/token/certificate, and restart it"
        )
    })?;
    Ok(format!("{url} accepts the gateway's tokens"))
}

const WILL_BE_MADE: &str = "will be made by the first start";
