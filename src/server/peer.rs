use std::net::IpAddr;

use http::{HeaderMap, header::AsHeaderName, uri::Authority};

use crate::{network::Networks, wire::Peer};

/// The networks of proxies that are believed about whom they speak for.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct TrustedProxies(Networks);

impl TryFrom<Vec<String>> for TrustedProxies {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        Networks::try_from(texts).map(Self)
    }
}

impl TrustedProxies {
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(address)
    }

    /// Who is behind the connection: `direct` itself, or whom it vouches for if it is trusted.
    pub(super) fn resolve(&self, direct: Peer, headers: &HeaderMap) -> Peer {
        if !self.contains(direct.address) {
            return direct;
        }
        Peer {
            address: self.client(direct.address, headers),
            scheme: first(headers, "x-forwarded-proto")
                .and_then(scheme)
                .unwrap_or(direct.scheme),
            host: first(headers, "x-forwarded-host")
                .filter(|host| is_host(host))
                .map_or(direct.host, str::to_owned),
        }
    }

    /// Each proxy appends the address it was called from, so the client is the last address
    /// that no trusted proxy has; what stands before it, anybody may have written.
    fn client(&self, direct: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = direct;
        for hop in all(headers, "x-forwarded-for").rev() {
            let Some(address) = address(hop) else { break };
            client = address;
            if !self.contains(address) {
                break;
            }
        }
        client
    }
}

/// The members of a list header, over all its lines.
fn all<K: AsHeaderName>(headers: &HeaderMap, name: K) -> impl DoubleEndedIterator<Item = &str> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .map(str::trim)
}

fn first<K: AsHeaderName>(headers: &HeaderMap, name: K) -> Option<&str> {
    all(headers, name).next()
}

fn scheme(text: &str) -> Option<&'static str> {
    ["https", "http"]
        .into_iter()
        .find(|scheme| text.eq_ignore_ascii_case(scheme))
}

/// An address as proxies write it: bare, with a port, or in brackets. None with a zone (RFC 4007,
/// section 11), which means nothing beyond the host that wrote it.
fn address(text: &str) -> Option<IpAddr> {
    if text.contains('%') {
        return None;
    }
    let bare = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|at| at.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    Some(bare.or_else(with_port).or_else(bracketed)?.to_canonical())
}

/// Whether the text is `host` or `host:port` and nothing more.
pub(super) fn is_host(text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else {
        return false;
    };
    let host = authority.host();
    // `Authority` itself takes what is no port for none.
    let is_port = |text: &str| {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        text.is_empty() || (is_number && text.parse::<u16>().is_ok())
    };
    let port = text.strip_prefix(host);
    let port = port.map(|rest| rest.strip_prefix(':').unwrap_or(rest));
    !host.is_empty()
        && port.is_some_and(is_port)
        && host.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(direct: &str, headers: &[(&'static str, &str)]) -> Peer {
        let proxies =
            TrustedProxies::try_from(vec!["10.0.0.0/8".into(), "fd00::1".into()]).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let direct = Peer {
            address: direct.parse().unwrap(),
            scheme: "http",
            host: "inner".into(),
        };
        proxies.resolve(direct, &map)
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let peer = resolve(
            "192.0.2.1",
            &[
                ("x-forwarded-for", "203.0.113.9"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "evil"),
            ],
        );
        assert_eq!(peer.address.to_string(), "192.0.2.1");
        assert_eq!((peer.scheme, peer.host.as_str()), ("http", "inner"));
    }

    #[test]
    fn a_trusted_proxy_is_believed() {
        let peer = resolve(
            "::ffff:10.1.1.1",
            &[
                ("x-forwarded-for", "203.0.113.9"),
                ("x-forwarded-proto", "HTTPS"),
                ("x-forwarded-host", "registry.example.com:8443"),
            ],
        );
        assert_eq!(peer.address.to_string(), "203.0.113.9");
        assert_eq!(
            (peer.scheme, peer.host.as_str()),
            ("https", "registry.example.com:8443")
        );
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_proxy() {
        for (forwarded, client) in [
            ("1.1.1.1, 203.0.113.9, 10.2.2.2", "203.0.113.9"),
            ("1.1.1.1, 203.0.113.9:5000", "203.0.113.9"),
            ("10.3.3.3, 10.2.2.2", "10.3.3.3"),
            ("[2001:db8::1]:99", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("203.0.113.9, unknown", "fd00::1"),
            ("203.0.113.9, fe80::1%2", "fd00::1"),
            ("203.0.113.9, [fe80::1%2]:99", "fd00::1"),
            ("", "fd00::1"),
        ] {
            let peer = resolve("fd00::1", &[("x-forwarded-for", forwarded)]);
            assert_eq!(peer.address.to_string(), client, "{forwarded}");
        }
        let two_lines = resolve(
            "10.1.1.1",
            &[
                ("x-forwarded-for", "1.1.1.1"),
                ("x-forwarded-for", "203.0.113.9"),
            ],
        );
        assert_eq!(two_lines.address.to_string(), "203.0.113.9");
    }

    #[test]
    fn odd_hosts_and_schemes_are_ignored() {
        for (name, value) in [
            ("x-forwarded-host", "a b"),
            ("x-forwarded-host", "u@host"),
            ("x-forwarded-host", "host/path"),
            ("x-forwarded-host", "host:8$b"),
            ("x-forwarded-host", "[::]:8$b"),
            ("x-forwarded-host", "host:65536"),
            ("x-forwarded-host", ""),
            ("x-forwarded-proto", "gopher"),
        ] {
            let peer = resolve("10.1.1.1", &[(name, value)]);
            assert_eq!(
                (peer.scheme, peer.host.as_str()),
                ("http", "inner"),
                "{value}"
            );
        }
    }
}
