use http::{HeaderMap, HeaderName, HeaderValue};

use crate::wire::Peer;

/// A request with this header is answered with [`SEEN`].
pub const SHOW: HeaderName = HeaderName::from_static("tidegate-check");
/// [`Seen`] as a header.
pub const SEEN: HeaderName = HeaderName::from_static("tidegate-seen");

/// How a request looks when it arrives, for `tidegate check` on the other side of a proxy. Tells
/// no address but the host that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// By which links would be made.
    pub scheme: String,
    /// As above, with the port if it has one.
    pub host: String,
    pub forwarded: Forwarded,
}

/// What has become of the headers `X-Forwarded-…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    Absent,
    Believed,
    /// Whoever sent them is not in `server.trusted_proxies`.
    Ignored,
}

impl Seen {
    pub(super) fn of(peer: &Peer, headers: &HeaderMap, is_believed: bool) -> Self {
        let names = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];
        let is_there = names.iter().any(|name| headers.contains_key(*name));
        Self {
            scheme: peer.scheme.to_owned(),
            host: peer.host.clone(),
            forwarded: match (is_there, is_believed) {
                (false, _) => Forwarded::Absent,
                (true, true) => Forwarded::Believed,
                (true, false) => Forwarded::Ignored,
            },
        }
    }

    /// `https://host:port; forwarded=believed`.
    pub(super) fn to_value(&self) -> Option<HeaderValue> {
        let Self {
            scheme,
            host,
            forwarded,
        } = self;
        let forwarded = forwarded.as_str();
        HeaderValue::from_str(&format!("{scheme}://{host}; forwarded={forwarded}")).ok()
    }

    /// Reads what [`SEEN`] says.
    pub fn parse(value: &HeaderValue) -> Option<Self> {
        let (origin, forwarded) = value.to_str().ok()?.split_once("; forwarded=")?;
        let (scheme, host) = origin.split_once("://")?;
        let all = [Forwarded::Absent, Forwarded::Believed, Forwarded::Ignored];
        Some(Self {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            forwarded: all.into_iter().find(|one| one.as_str() == forwarded)?,
        })
    }
}

impl Forwarded {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Believed => "believed",
            Self::Ignored => "ignored",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_can_be_read_again() {
        let peer = Peer {
            address: [192, 0, 2, 7].into(),
            scheme: "https",
            host: "[::1]:8443".into(),
        };
        let mut headers = HeaderMap::new();
        for (is_believed, forwarded) in [
            (true, Forwarded::Absent),
            (true, Forwarded::Believed),
            (false, Forwarded::Ignored),
        ] {
            let seen = Seen::of(&peer, &headers, is_believed);
            assert_eq!(seen.forwarded, forwarded);
            assert_eq!(Seen::parse(&seen.to_value().unwrap()), Some(seen));
            headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
        }
        assert_eq!(Seen::parse(&HeaderValue::from_static("nonsense")), None);
    }
}
