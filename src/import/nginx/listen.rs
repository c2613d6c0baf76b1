use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::tree::Directive;

/// A `listen` directive.
#[derive(Debug)]
pub(super) struct Listen<'t> {
    pub(super) by: &'t Directive,
    /// The address, or why Tidegate cannot listen there.
    pub(super) address: Result<SocketAddr, &'static str>,
    pub(super) tls: bool,
    pub(super) proxy_protocol: bool,
}

impl<'t> Listen<'t> {
    fn read(by: &'t Directive, always_tls: bool) -> Self {
        let has = |parameter: &str| by.args.iter().skip(1).any(|arg| arg == parameter);
        Self {
            by,
            address: if has("quic") {
                Err("HTTP/3 is not spoken")
            } else {
                address(by.arg(0))
            },
            tls: has("ssl") || has("quic") || always_tls,
            proxy_protocol: has("proxy_protocol"),
        }
    }
}

/// Where a server listens.
pub(super) fn of(server: &Directive) -> Vec<Listen<'_>> {
    // Before nginx 1.25 `ssl on` made every address of the server one with TLS.
    let always_tls = server.children("ssl").any(|ssl| ssl.arg(0) == "on");
    server
        .children("listen")
        .map(|listen| Listen::read(listen, always_tls))
        .collect()
}

/// `port`, `address`, `address:port`, `*:port`, `[address]:port`; the port is 80 if it is missing.
fn address(text: &str) -> Result<SocketAddr, &'static str> {
    if text.starts_with("unix:") {
        return Err("Tidegate listens on TCP only");
    }
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => {
            let port = port.parse().map_err(|_range| "it is no single port")?;
            (host, port)
        }
        _ => (text, 80),
    };
    let ip = match host {
        "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .map_err(|_name| "names are not looked up here; write the address")?,
    };
    Ok(SocketAddr::from((ip, port)))
}

/// One address for all of the same port: `None` where there is none.
pub(super) fn joined(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    let first = addresses.first()?;
    let same = || {
        addresses
            .iter()
            .filter(|other| other.port() == first.port())
    };
    // On Linux the unspecified IPv6 address takes IPv4 connections, too.
    let wildcard = same()
        .filter(|address| address.ip().is_unspecified())
        .max_by_key(|address| address.is_ipv6());
    Some(match wildcard {
        Some(any) if any.is_ipv6() => SocketAddr::from((Ipv6Addr::UNSPECIFIED, any.port())),
        Some(any) => *any,
        None => *first,
    })
}

/// Whether connections to `address` arrive at `socket`.
pub(super) fn covers(socket: SocketAddr, address: SocketAddr) -> bool {
    let same_ip = socket.ip() == address.ip()
        || (socket.ip().is_unspecified() && (socket.is_ipv6() || address.is_ipv4()));
    same_ip && socket.port() == address.port()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_nginx_reads_them() {
        for (text, expected) in [
            ("443", "0.0.0.0:443"),
            ("*:8443", "0.0.0.0:8443"),
            ("127.0.0.1", "127.0.0.1:80"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("[::]:443", "[::]:443"),
            ("[::1]", "[::1]:80"),
            ("localhost:8080", "127.0.0.1:8080"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), expected, "{text}");
        }
        for text in [
            "unix:/run/nginx.sock",
            "registry.example.com:443",
            "",
            "80-90",
            "1:x",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_of_one_port_become_one() {
        for (addresses, expected) in [
            (&["0.0.0.0:443", "[::]:443"][..], "[::]:443"),
            (&["0.0.0.0:443"], "0.0.0.0:443"),
            (&["10.0.0.1:443", "0.0.0.0:443"], "0.0.0.0:443"),
            (&["10.0.0.1:443", "0.0.0.0:80"], "10.0.0.1:443"),
        ] {
            let addresses: Vec<SocketAddr> =
                addresses.iter().map(|text| text.parse().unwrap()).collect();
            let one = joined(&addresses).unwrap();
            assert_eq!(one.to_string(), expected);
            assert!(covers(one, addresses[0]));
        }
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(!covers(at("0.0.0.0:443"), at("[::]:443")));
        assert!(!covers(at("[::]:443"), at("10.0.0.1:80")));
    }
}
