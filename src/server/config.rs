use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use url::Url;

use super::{ResponseHeaders, TrustedProxies};
use crate::{network::Networks, wire::Peer};

/// `[server]`: where the gateway listens and what it allows its clients.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// How clients reach the gateway. Without it, what each request says of itself.
    pub external_url: Option<ExternalUrl>,
    pub data_dir: PathBuf,
    /// Networks whose `X-Forwarded-For`, `-Proto` and `-Host` are believed.
    pub trusted_proxies: TrustedProxies,
    /// Networks of balancers whose connections begin with a PROXY protocol header, version 1 or 2.
    /// From them a connection without one is closed; from elsewhere one with it is malformed.
    pub proxy_protocol_from: Networks,
    /// Headers for every answer that has none of that name.
    pub response_headers: ResponseHeaders,
    /// How long uploads in flight may go on after the first signal.
    pub drain_timeout_seconds: u64,
    /// A second, plain HTTP address that answers 308 to `https://`.
    pub redirect_listen: Option<SocketAddr>,
    /// Connections at once, for each address; more wait in the system's accept queue.
    pub max_connections: usize,
    /// From the connection to the end of the TLS handshake.
    pub handshake_timeout_seconds: u64,
    /// From the end of the handshake to the end of the first request's headers.
    pub header_timeout_seconds: u64,
    /// How long a connection may be idle between requests; clients expect 75 or more.
    pub keep_alive_seconds: u64,
    /// How long a body may stand still, in either direction. There is no limit on its whole time.
    pub body_idle_timeout_seconds: u64,
    /// Access log lines that wait for their writer; more are dropped and counted.
    pub access_log_queue: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8443)),
            external_url: None,
            data_dir: PathBuf::from("./data"),
            trusted_proxies: TrustedProxies::default(),
            proxy_protocol_from: Networks::default(),
            response_headers: ResponseHeaders::default(),
            drain_timeout_seconds: 300,
            redirect_listen: None,
            max_connections: 4096,
            handshake_timeout_seconds: 10,
            header_timeout_seconds: 30,
            keep_alive_seconds: 90,
            body_idle_timeout_seconds: 120,
            access_log_queue: 8192,
        }
    }
}

impl Config {
    /// The scheme, host and port under which this peer reaches the gateway, without a final
    /// slash: the configured one, else the peer's own view.
    pub fn origin(&self, peer: &Peer) -> String {
        match &self.external_url {
            Some(url) => url.origin().to_owned(),
            None => format!("{}://{}", peer.scheme, peer.host),
        }
    }

    /// How long requests in flight may take to finish once the gateway is told to stop.
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_secs(self.drain_timeout_seconds)
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        Timeouts {
            handshake: Duration::from_secs(self.handshake_timeout_seconds),
            header: Duration::from_secs(self.header_timeout_seconds),
            keep_alive: Duration::from_secs(self.keep_alive_seconds),
            body_idle: Duration::from_secs(self.body_idle_timeout_seconds),
            drain: self.drain_timeout(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) handshake: Duration,
    pub(super) header: Duration,
    pub(super) keep_alive: Duration,
    pub(super) body_idle: Duration,
    pub(super) drain: Duration,
}

/// `https://host[:port]`: a URL without path, query or user.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct ExternalUrl {
    origin: String,
    host_name: String,
}

impl ExternalUrl {
    /// Scheme, host and port, without a final slash.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The host without the port; an IPv6 address stands in brackets.
    pub fn host_name(&self) -> &str {
        &self.host_name
    }
}

impl TryFrom<String> for ExternalUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refused =
            |why: &str| format!("\"{text}\" {why}; write https://host or https://host:port");
        let url = Url::parse(&text).map_err(|error| refused(&format!("is not a URL ({error})")))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(refused("is neither https:// nor http://"));
        }
        let bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !bare {
            return Err(refused("has more than scheme, host and port"));
        }
        let host_name = url.host_str().ok_or_else(|| refused("has no host"))?;
        Ok(Self {
            origin: url.origin().ascii_serialization(),
            host_name: host_name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_urls_are_origins() {
        for (text, origin, host_name) in [
            (
                "https://r.example.com",
                "https://r.example.com",
                "r.example.com",
            ),
            (
                "https://r.example.com/",
                "https://r.example.com",
                "r.example.com",
            ),
            (
                "https://R.example.com:443",
                "https://r.example.com",
                "r.example.com",
            ),
            ("http://10.0.0.1:8080", "http://10.0.0.1:8080", "10.0.0.1"),
            ("https://[::1]:8443", "https://[::1]:8443", "[::1]"),
        ] {
            let url = ExternalUrl::try_from(text.to_owned()).unwrap();
            assert_eq!(
                (url.origin(), url.host_name()),
                (origin, host_name),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_more_than_an_origin_is_refused_with_the_remedy() {
        for text in [
            "registry.example.com",
            "ftp://host",
            "https://host/path",
            "https://host?q",
            "https://u@host",
            "https://",
        ] {
            let error = ExternalUrl::try_from(text.to_owned()).unwrap_err();
            assert!(
                error.contains(text) && error.contains("https://host"),
                "{error}"
            );
        }
    }
}
