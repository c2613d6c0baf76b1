use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::is_metadata;

/// Whether it is one of the addresses that the whole internet can route to. What answers there may
/// still be behind a firewall: a machine's own public address, or an IPv6 network.
pub fn is_public(address: IpAddr) -> bool {
    if is_local_translation(address) {
        return false;
    }
    let address = destination(address);
    let is_public = match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    };
    is_public && !is_metadata(address)
}

/// Who answers in the end: the IPv4 address within an IPv6 one that writes it in another way
/// (`::ffff:10.0.0.1`), or that NAT64 (RFC 6052, its well-known prefix) or 6to4 (RFC 3056) lead
/// to; else the address itself. NAT64 by a prefix of one's own (RFC 8215) may have the IPv4 address
/// elsewhere than in the last 32 bits, where it is looked for here; so it is never public.
pub fn destination(address: IpAddr) -> IpAddr {
    let IpAddr::V6(address) = address.to_canonical() else {
        return address.to_canonical();
    };
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Ipv4Addr::new(a, b, c, d).into()
        }
        _ => address.into(),
    }
}

/// `64:ff9b:1::/48`: NAT64 by a prefix of one's own (RFC 8215).
fn is_local_translation(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.segments()[..3] == [0x64, 0xff9b, 1])
}

/// <https://www.iana.org/assignments/iana-ipv4-special-registry>
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    // "This network", shared (CGNAT), IETF protocols, benchmarks, 6to4 relays.
    let is_special = a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || (a == 198 && (18..20).contains(&b))
        || a >= 240;
    !(is_special
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast())
}

/// <https://www.iana.org/assignments/iana-ipv6-special-registry>
fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // Global unicast, without Teredo and other protocols (2001::/23) and documentation.
        [first, second, ..] if first & 0xe000 == 0x2000 => {
            let is_protocol = first == 0x2001 && second < 0x200;
            let is_documentation =
                (first, second) == (0x2001, 0xdb8) || (first == 0x3fff && second < 0x1000);
            !(is_protocol || is_documentation)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_networks_are_not_public() {
        let special = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.254",
            "127.0.0.1",
            "127.8.8.8",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "64:ff9b:1::808:808",
            "64:ff9b:1:a00:0:100:808:808",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        let public = [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "2001:4860:4860::8888",
            "2606:4700:4700::1111",
        ];
        for (texts, expected) in [(&special[..], false), (&public[..], true)] {
            for text in texts {
                assert_eq!(is_public(text.parse().unwrap()), expected, "{text}");
            }
        }
    }
}
