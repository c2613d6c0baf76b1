use std::net::IpAddr;

use url::Host;

use crate::network::{destination, is_metadata, is_public};

/// Where somebody is, the nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// On this machine.
    Here,
    /// In a network that is not public.
    Inner,
    Public,
}

impl Place {
    pub(super) fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        if address.is_loopback() {
            Self::Here
        } else if is_public(destination(address)) {
            Self::Public
        } else {
            Self::Inner
        }
    }

    /// `None` for a name that must be looked up.
    pub(super) fn of_host(host: &str) -> Option<Self> {
        match Host::parse(host) {
            Ok(Host::Domain(name)) => is_localhost(&name).then_some(Self::Here),
            _address => literal(host).map(Self::of),
        }
    }
}

/// Whether only this machine, its network segment or the cloud below it can answer.
pub(super) fn is_internal(address: IpAddr) -> bool {
    let at = destination(address);
    is_beneath(address) || at.is_loopback() || at.is_unspecified()
}

/// Whether only the network segment or the cloud can answer: of link-local addresses, too, clouds
/// use many to hand out credentials.
pub(super) fn is_beneath(address: IpAddr) -> bool {
    let is_link_local = match destination(address) {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    is_link_local || is_metadata(address)
}

/// The address that a host is, if it is one; however it is written, for a proxy may read
/// `167772161` and `0xa.1` as 10.0.0.1 too.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    match Host::parse(host) {
        Ok(Host::Ipv4(address)) => Some(address.into()),
        Ok(Host::Ipv6(address)) => Some(IpAddr::from(address).to_canonical()),
        Ok(Host::Domain(_)) | Err(_) => None,
    }
}

/// Whether a host is this machine by its text.
pub(in crate::registry) fn is_local(host: &str) -> bool {
    Place::of_host(host) == Some(Place::Here)
}

/// Also with the dot that ends a name of the whole DNS; all below it is this machine, too
/// (RFC 6761 §6.3).
pub(super) fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}
