use std::io;

use super::{Client, Config, Endpoint, Error, Kind, Pong, Remote, error::causes};
use crate::wire::ExchangeError;

/// Why a registry cannot be used, for the person who configured it. Each says what to change.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("the name of {address} is not known; check the host in the URL")]
    UnknownHost { address: String },
    #[error("nothing listens at {address}; check the port, and that the registry runs")]
    Refused { address: String },
    #[error("{address} does not answer; check the address, and firewalls between here and there")]
    Silent { address: String },
    #[error("the certificate of {address} is not trusted ({reason}); give its CA certificate")]
    Certificate { address: String, reason: String },
    #[error(
        "{address} does not speak TLS ({reason}); write http:// if it is meant to be a plain HTTP registry"
    )]
    NotTls { address: String, reason: String },
    #[error("{address} speaks TLS; write https:// in the URL")]
    NotPlain { address: String },
    #[error("{address} refuses the user name or password ({reason})")]
    WrongCredential { address: String, reason: String },
    #[error("{address} wants a user name and password")]
    NoCredential { address: String },
    #[error("there is no registry at {address} ({reason}); check host, port and path of the URL")]
    NotARegistry { address: String, reason: String },
    /// Whatever else; the message is the error's own.
    #[error("{address} cannot be used: {source}")]
    Other { address: String, source: Error },
}

/// Whether a registry is there and accepts the endpoint's credential.
pub async fn ping(endpoint: &Endpoint, config: &Config) -> Result<Pong, Unusable> {
    let explain = |error| explain(endpoint, error);
    let remote = Remote::challenged(endpoint, config).map_err(explain)?;
    Client::new(remote.exchange()).ping().await.map_err(explain)
}

fn explain(endpoint: &Endpoint, error: Error) -> Unusable {
    let address = endpoint.url.address().to_owned();
    match error.kind() {
        Kind::Unauthorized if endpoint.credential.is_none() => Unusable::NoCredential { address },
        Kind::Unauthorized | Kind::Denied => Unusable::WrongCredential {
            reason: said(&error),
            address,
        },
        Kind::NotFound | Kind::Unsupported => Unusable::NotARegistry {
            reason: said(&error),
            address,
        },
        Kind::Invalid if speaks_tls(&error) => Unusable::NotPlain { address },
        Kind::Invalid if matches!(error, Error::Refused(_)) => Unusable::NotARegistry {
            reason: said(&error),
            address,
        },
        Kind::Unreachable | Kind::Interrupted => explain_exchange(address, error),
        _ => Unusable::Other {
            address,
            source: error,
        },
    }
}

/// Looks through the causes of a failed connection for the one a person can act on.
fn explain_exchange(address: String, error: Error) -> Unusable {
    // The host may be that of a token service; its name is the one to show.
    let address = match &error {
        Error::Exchange {
            source:
                ExchangeError::Unreachable { address, .. } | ExchangeError::Interrupted { address, .. },
            ..
        } => address.clone(),
        _ => address,
    };
    for cause in causes(&error) {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            let reason = tls.to_string();
            return match tls {
                rustls::Error::InvalidMessage(_) => Unusable::NotTls { address, reason },
                _ => Unusable::Certificate { address, reason },
            };
        }
        if cause.to_string().starts_with("dns error") {
            return Unusable::UnknownHost { address };
        }
        match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => return Unusable::Refused { address },
            Some(
                io::ErrorKind::TimedOut
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable,
            ) => return Unusable::Silent { address },
            _ => {}
        }
        if let Some(http) = cause.downcast_ref::<hyper::Error>()
            && http.is_parse()
        {
            let reason = "its answer is not HTTP".to_owned();
            return Unusable::NotARegistry { address, reason };
        }
    }
    Unusable::Other {
        address,
        source: error,
    }
}

/// A TLS listener answers plain HTTP with 400 and such words (Go, nginx).
fn speaks_tls(error: &Error) -> bool {
    let Error::Refused(refusal) = error else {
        return false;
    };
    refusal.status == 400 && refusal.message.to_ascii_lowercase().contains("https")
}

fn said(error: &Error) -> String {
    match error {
        Error::Refused(refusal) if !refusal.message.is_empty() => refusal.message.clone(),
        Error::Refused(refusal) => format!("answer {}", refusal.status.as_u16()),
        other => other.to_string(),
    }
}
