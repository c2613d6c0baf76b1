//! The registry behind the gateway: a remote one, or the embedded one.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use futures_util::future::BoxFuture;

use crate::{
    clock::SharedClock,
    config::{Config, Upstream, UpstreamAuth},
    embedded,
    oci::Scope,
    registry::{
        Authentication, Credential, Endpoint, EndpointUrl, IssuedToken, Remote, TokenSource,
    },
    secret::Secret,
    token::{Actions, Grant, Issuer},
    wire::{BoxError, Exchange},
};

use super::data_dir::DataDir;

/// What stands behind the gateway.
#[derive(Debug, Clone)]
pub(super) enum Behind {
    Remote {
        remote: Remote,
        url: url::Url,
    },
    Embedded {
        registry: embedded::Registry,
        root: PathBuf,
    },
}

impl Behind {
    /// Opens the embedded registry, or prepares the way to the remote one without going it.
    pub(super) fn open(
        config: &Config,
        data: &DataDir,
        issuer: &Issuer,
        clock: SharedClock,
    ) -> anyhow::Result<Self> {
        let Some(url) = &config.upstream.url else {
            let root = data.join("registry");
            let registry = embedded::Registry::open_with(&root, &config.embedded, clock)?;
            return Ok(Self::Embedded { registry, root });
        };
        let endpoint = endpoint(&config.upstream, url)?;
        let authentication = authentication(&config.upstream, issuer)?;
        let remote = Remote::new(&endpoint, authentication, &config.upstream.connections)
            .context("upstream")?;
        let url = endpoint.url.to_string().parse().context("upstream.url")?;
        Ok(Self::Remote { remote, url })
    }

    pub(super) fn exchange(&self) -> Exchange {
        match self {
            Self::Remote { remote, .. } => remote.exchange(),
            Self::Embedded { registry, .. } => registry.exchange(),
        }
    }

    /// What a remote registry may call itself in a `Location`.
    pub(super) fn url(&self) -> Option<&url::Url> {
        match self {
            Self::Remote { url, .. } => Some(url),
            Self::Embedded { .. } => None,
        }
    }

    /// Where the embedded registry keeps its content.
    pub(super) fn storage(&self) -> Option<PathBuf> {
        match self {
            Self::Remote { .. } => None,
            Self::Embedded { root, .. } => Some(root.clone()),
        }
    }
}

/// Where the remote registry is and whom it is to be believed.
pub(super) fn endpoint(upstream: &Upstream, url: &str) -> anyhow::Result<Endpoint> {
    let url: EndpointUrl = url.parse().context("upstream.url")?;
    let read = |path: &PathBuf| {
        fs::read_to_string(path)
            .with_context(|| format!("upstream.ca_cert: cannot read {}", path.display()))
    };
    Ok(Endpoint {
        credential: credential(upstream)?,
        insecure: upstream.insecure,
        ca_certificate: upstream.ca_cert.as_ref().map(read).transpose()?,
        ..Endpoint::new(url)
    })
}

fn credential(upstream: &Upstream) -> anyhow::Result<Option<Credential>> {
    match (&upstream.username, &upstream.password) {
        (None, None) => Ok(None),
        (Some(username), Some(password)) => {
            let (username, password) = (username.clone(), password.clone());
            Ok(Some(Credential::Basic { username, password }))
        }
        (Some(_), None) => anyhow::bail!("upstream.username is set, upstream.password is not"),
        (None, Some(_)) => anyhow::bail!("upstream.password is set, upstream.username is not"),
    }
}

pub(super) fn authentication(
    upstream: &Upstream,
    issuer: &Issuer,
) -> anyhow::Result<Authentication> {
    let credential = credential(upstream)?;
    match (upstream.auth, credential) {
        (None | Some(UpstreamAuth::None), None) => Ok(Authentication::Anonymous),
        (None | Some(UpstreamAuth::Basic), Some(Credential::Basic { username, password })) => {
            Ok(Authentication::Basic { username, password })
        }
        (Some(UpstreamAuth::Token), None) => {
            Ok(Authentication::Tokens(Arc::new(OwnTokens(issuer.clone()))))
        }
        (Some(UpstreamAuth::Basic), _) => {
            anyhow::bail!("upstream.auth is \"basic\": set upstream.username and upstream.password")
        }
        (Some(_) | None, Some(_)) => {
            anyhow::bail!(
                "upstream.username is only for upstream.auth = \"basic\"; remove one of them"
            )
        }
    }
}

/// The gateway's own tokens, for a registry that verifies them.
#[derive(Debug)]
struct OwnTokens(Issuer);

impl TokenSource for OwnTokens {
    fn issue<'a>(&'a self, scopes: &'a [Scope]) -> BoxFuture<'a, Result<IssuedToken, BoxError>> {
        Box::pin(async move {
            let grants: Vec<Grant> = scopes.iter().map(grant).collect();
            let token = self.0.issue_for_gateway(SUBJECT, &grants)?;
            let lifetime = Duration::from_secs(token.expires_in_seconds);
            Ok(IssuedToken {
                token: Secret::new(token.text),
                lifetime,
            })
        })
    }
}

fn grant(scope: &Scope) -> Grant {
    let actions = if scope.wildcard {
        Actions::All
    } else {
        Actions::On(scope.actions)
    };
    Grant {
        resource_type: scope.resource_type.clone(),
        name: scope.name.clone(),
        actions,
    }
}

/// Who the gateway is in the registry's log; no user can have this name.
const SUBJECT: &str = "tidegate$gateway";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_credential_is_refused_with_the_missing_key() {
        let upstream = Upstream {
            username: Some("u".into()),
            ..Upstream::default()
        };
        let error = endpoint(&upstream, "http://127.0.0.1:5000")
            .unwrap_err()
            .to_string();
        assert!(error.contains("upstream.password"), "{error}");
    }

    #[test]
    fn a_malformed_url_is_named_by_its_key() {
        let error = endpoint(&Upstream::default(), "ftp://x").unwrap_err();
        assert!(
            format!("{error:#}").starts_with("upstream.url"),
            "{error:#}"
        );
    }
}
