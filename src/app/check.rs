//! `tidegate check`: is every part fit to serve?

use std::sync::Arc;

use anyhow::Context;

use super::{data_dir::DataDir, host_names, open_database, upstream};
use crate::{clock::SystemClock, config::Config, registry, tls};

/// What was found of one part.
#[derive(Debug)]
pub struct Finding {
    pub part: &'static str,
    /// What it is, or what is wrong and how to mend it.
    pub outcome: anyhow::Result<String>,
}

/// Looks at each part without serving; a running gateway on the same data directory is told.
pub async fn all(config: &Config) -> Vec<Finding> {
    tls::install_crypto();
    let part = |part, outcome| Finding { part, outcome };
    vec![
        part("data directory", data_dir(config)),
        part("certificate", certificate(config)),
        part("database", database(config).await),
        part("upstream", upstream(config).await),
    ]
}

fn data_dir(config: &Config) -> anyhow::Result<String> {
    let data = DataDir::open(&config.server.data_dir)?;
    data.sealing_key()?;
    Ok(data.path().display().to_string())
}

fn certificate(config: &Config) -> anyhow::Result<String> {
    let names = host_names(config);
    let server = tls::Server::load(
        &config.tls,
        &config.server.data_dir,
        &names,
        Arc::new(SystemClock),
    )?;
    Ok(match server {
        None => "TLS is off".to_owned(),
        Some(server) => match server.ca_certificate() {
            Some(ca) => format!("self-signed; clients must trust {}", ca.display()),
            None => "from the configured files".to_owned(),
        },
    })
}

async fn database(config: &Config) -> anyhow::Result<String> {
    let db = open_database(config).await?;
    db.ping().await?;
    db.close().await;
    Ok("reachable and up to date".to_owned())
}

async fn upstream(config: &Config) -> anyhow::Result<String> {
    let Some(url) = &config.upstream.url else {
        return Ok("the embedded registry".to_owned());
    };
    let endpoint = upstream::endpoint(&config.upstream, url)?;
    // A registry that verifies our own tokens asks for one; that it asks is all there is to see.
    let outcome = registry::ping(&endpoint, &config.upstream.connections).await;
    match outcome {
        Err(registry::Unusable::NoCredential { .. })
            if config.upstream.auth == Some(crate::config::UpstreamAuth::Token) =>
        {
            Ok(format!("{url} asks for tokens"))
        }
        other => other
            .map(|()| url.clone())
            .with_context(|| format!("upstream.url {url}")),
    }
}
