//! `X-Forwarded-…` headers, `name: value` on a line each: nobody but a trusted proxy is believed,
//! and none of them beyond the first address that is no proxy.

#![no_main]

use std::{net::IpAddr, sync::LazyLock};

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use tidegate::{
    server::{TrustedProxies, fuzzing::resolve},
    wire::Peer,
};

fuzz_target!(|text: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts
            .next()
            .and_then(|name| HeaderName::from_bytes(name).ok());
        let value = parts
            .next()
            .and_then(|value| HeaderValue::from_bytes(value.trim_ascii()).ok());
        if let (Some(name), Some(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let stranger = direct("192.0.2.7");
    assert_eq!(resolve(&PROXIES, stranger.clone(), &headers), stranger);

    let proxy = direct("10.0.0.1");
    let peer = resolve(&PROXIES, proxy.clone(), &headers);
    assert!(["http", "https"].contains(&peer.scheme));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    assert!(peer.host.bytes().all(is_plain) && !peer.host.is_empty());
    if peer.address != proxy.address {
        let hops = headers.get_all("x-forwarded-for").iter();
        let hops: Vec<&str> = hops
            .flat_map(|value| value.to_str().unwrap_or_default().split(','))
            .collect();
        let behind = hops.iter().rposition(|hop| {
            address(hop).is_some_and(|address| address.to_canonical() == peer.address)
        });
        let behind = behind.expect("an address of the header");
        // Whoever added the others is trusted.
        assert!(
            hops[behind + 1..].iter().all(|hop| is_proxy(hop)),
            "{hops:?}"
        );
    }
    // What a proxy in front adds decides, whatever stands before it.
    headers.append("x-forwarded-for", HeaderValue::from_static("203.0.113.9"));
    let added = resolve(&PROXIES, proxy, &headers).address;
    assert_eq!(added, IpAddr::from([203, 0, 113, 9]));
});

/// The address that a text is, bare, with a port or in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let alone = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = alone.unwrap_or(text).parse().ok();
    address.or_else(|| {
        let (host, port) = text.rsplit_once(':')?;
        port.parse::<u16>().ok()?;
        let host = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        host.parse().ok()
    })
}

/// Whether some trusted proxy has the address that the text is.
fn is_proxy(text: &str) -> bool {
    let (v4, v6) = (0..1 << 24, "fd00::1".parse::<IpAddr>());
    let in_network = |address: IpAddr| match address.to_canonical() {
        IpAddr::V4(address) => v4.contains(&(address.to_bits() ^ 10 << 24)),
        address => Ok(address) == v6,
    };
    address(text).is_some_and(in_network)
}

fn direct(address: &str) -> Peer {
    Peer {
        address: address.parse().expect("an address"),
        scheme: "http",
        host: "inner".to_owned(),
    }
}

static PROXIES: LazyLock<TrustedProxies> = LazyLock::new(|| {
    let networks = ["10.0.0.0/8", "fd00::1"].map(str::to_owned);
    TrustedProxies::try_from(networks.to_vec()).expect("networks")
});
