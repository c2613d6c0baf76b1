use std::{fmt, net::Ipv6Addr};

/// A syslog receiver: `host:port` by TCP, as Harbor has it, or behind `tcp://`, `udp://` or
/// `tls://`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub transport: Transport,
    /// A name or an address, an IPv6 one without brackets.
    pub host: String,
    pub port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
    Tls,
}

impl Endpoint {
    /// None where the text is no such thing.
    pub fn parse(text: &str) -> Option<Self> {
        let (transport, rest) = match text.split_once("://") {
            None => (Transport::Tcp, text),
            Some((scheme, rest)) => (Transport::parse(scheme)?, rest),
        };
        let (host, port) = rest.rsplit_once(':')?;
        let inner = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let host = match inner {
            Some(address) => address.parse::<Ipv6Addr>().ok()?.to_string(),
            None => host.to_owned(),
        };
        let is_name = |host: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            (1..=253).contains(&host.len()) && host.bytes().all(fits)
        };
        let port = port.parse().ok().filter(|port| *port > 0)?;
        (inner.is_some() || is_name(&host)).then_some(Self {
            transport,
            host,
            port,
        })
    }
}

impl Transport {
    const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Tls];

    fn parse(scheme: &str) -> Option<Self> {
        let mut known = Self::ALL.into_iter();
        known.find(|transport| transport.scheme() == scheme)
    }

    const fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Tls => "tls",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.transport.scheme();
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_are_written_with_and_without_their_transport() {
        for (text, expected) in [
            ("logs.example.com:514", "tcp://logs.example.com:514"),
            ("tcp://10.0.0.1:601", "tcp://10.0.0.1:601"),
            ("udp://[::1]:514", "udp://[::1]:514"),
            ("tls://log_1:6514", "tls://log_1:6514"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), expected);
        }
        for bad in [
            "",
            "logs",
            "logs:",
            ":514",
            "logs:0",
            "logs:65536",
            "http://logs:514",
            "TCP://logs:514",
            "::1:514",
            "[logs]:514",
            "lo gs:514",
            "logs/x:514",
            "user@logs:514",
        ] {
            assert_eq!(Endpoint::parse(bad), None, "{bad}");
        }
    }
}
