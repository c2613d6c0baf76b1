use http::{Uri, uri::Scheme};
use url::Host;

use super::place::{is_beneath, is_internal, is_local, is_localhost};
use crate::registry::EndpointUrl;

/// Whether a registry at `registry` may send us on to `other`: a storage or token service of
/// its own choosing, by what the text of `other` says. It may not lead an encrypted exchange into
/// plain text, nor to addresses that only this machine, its network segment or its cloud can see,
/// but for its own and, when it says itself that it is on this machine, those of this machine. What
/// a name means is looked at by [`super::Guard`].
pub(in crate::registry) fn may_lead_to(
    registry: &EndpointUrl,
    other: &Uri,
) -> Result<(), &'static str> {
    if other.scheme() != Some(&Scheme::HTTPS) && !registry.is_plain() {
        return Err("an https registry may not lead to a plain http address");
    }
    let Some(host) = other.host() else {
        return Err("the address has no host");
    };
    if host.eq_ignore_ascii_case(registry.host()) {
        return Ok(());
    }
    let is_here = is_local(registry.host());
    let is_too_near = if is_here { is_beneath } else { is_internal };
    let is_refused = match Host::parse(host) {
        Ok(Host::Ipv4(ip)) => is_too_near(ip.into()),
        Ok(Host::Ipv6(ip)) => is_too_near(ip.into()),
        Ok(Host::Domain(name)) => is_localhost(&name) && !is_here,
        Err(_malformed) => !is_here,
    };
    if is_refused {
        return Err("a registry may not lead to this machine's own addresses or its cloud's");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> EndpointUrl {
        text.parse().unwrap()
    }

    #[test]
    fn a_registry_may_not_lead_into_plain_text_or_into_this_machine() {
        for (registry, other, allowed) in [
            ("https://r.example", "https://storage.example/x", true),
            ("https://r.example", "http://storage.example/x", false),
            ("http://r.example", "http://storage.example/x", true),
            ("http://r.example", "http://169.254.169.254/latest", false),
            ("https://r.example", "https://127.0.0.1/x", false),
            ("https://r.example", "https://localhost/x", false),
            ("https://r.example", "https://localhost./x", false),
            ("https://r.example", "https://a.localhost./x", false),
            ("https://r.example", "https://[::1]/x", false),
            ("https://r.example", "https://[::ffff:127.0.0.1]/x", false),
            (
                "https://r.example",
                "https://[::ffff:169.254.169.254]/",
                false,
            ),
            ("https://r.example", "https://[::ffff:0.0.0.0]/x", false),
            ("https://r.example", "https://[64:ff9b::7f00:1]/x", false),
            ("https://r.example", "https://[fd00:ec2::254]/x", false),
            ("https://r.example", "https://168.63.129.16/x", false),
            ("https://r.example", "https://2130706433/x", false),
            ("https://r.example", "https://[::ffff:10.0.0.7]/x", true),
            (
                "http://[::ffff:127.0.0.1]:5000",
                "http://127.0.0.1:5001/",
                true,
            ),
            ("https://r.example", "https://10.0.0.7/x", true),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", true),
            ("http://127.0.0.1:5000", "http://localhost:5001/token", true),
            ("http://127.0.0.1:5000", "http://169.254.170.2/x", false),
            ("http://localhost:5000", "http://[fd00:ec2::254]/x", false),
            ("http://169.254.0.9:5000", "http://169.254.0.9:5001/", true),
            ("http://169.254.0.9:5000", "http://169.254.0.8:5001/", false),
            (
                "http://localhost.:5000",
                "http://127.0.0.1:5001/token",
                true,
            ),
        ] {
            let other: Uri = other.parse().unwrap();
            assert_eq!(
                may_lead_to(&url(registry), &other).is_ok(),
                allowed,
                "{registry} {other}"
            );
        }
    }
}
