use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::destination;

/// Whether a cloud tells its machines about themselves there, their credentials included, though
/// the address is not link-local, as 169.254.169.254 is.
pub fn is_metadata(address: IpAddr) -> bool {
    match destination(address) {
        IpAddr::V4(address) => METADATA_V4.contains(&address),
        IpAddr::V6(address) => {
            let [first, second, ..] = address.segments();
            (first, second) == AWS_SERVICES || METADATA_V6.contains(&address)
        }
    }
}

const METADATA_V4: [Ipv4Addr; 3] = [
    // Alibaba Cloud, "View instance metadata".
    Ipv4Addr::new(100, 100, 100, 200),
    // Azure, "What is IP address 168.63.129.16?": in a public network, answered by the host.
    Ipv4Addr::new(168, 63, 129, 16),
    // Oracle Cloud at Customer and Classic, "Retrieving Instance Metadata".
    Ipv4Addr::new(192, 0, 0, 192),
];
const METADATA_V6: [Ipv6Addr; 4] = [
    // Google Cloud, "View and query VM metadata".
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    // Oracle Cloud, "Getting Instance Metadata".
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    // Scaleway, and Akamai (Linode): cloud-init, "Datasources".
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
    Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1),
];
/// `fd00:ec2::/32`: metadata of EC2 at `::254`, credentials of pods in EKS at `::23`.
const AWS_SERVICES: (u16, u16) = (0xfd00, 0xec2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clouds_tell_machines_about_themselves_at_more_than_link_local_addresses() {
        for (text, expected) in [
            ("100.100.100.200", true),
            ("168.63.129.16", true),
            ("::ffff:168.63.129.16", true),
            ("64:ff9b::6464:64c8", true),
            ("64:ff9b:1::a83f:8110", true),
            ("192.0.0.192", true),
            ("fd00:ec2::254", true),
            ("fd00:ec2::23", true),
            ("fd20:ce::254", true),
            ("fd00:c1::a9fe:a9fe", true),
            ("fd00:42::42", true),
            ("fd00:a9fe:a9fe::1", true),
            ("100.100.100.201", false),
            ("168.63.129.17", false),
            ("fd00::1", false),
        ] {
            assert_eq!(is_metadata(text.parse().unwrap()), expected, "{text}");
        }
    }
}
