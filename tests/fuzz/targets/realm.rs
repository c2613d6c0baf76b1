//! Addresses that a registry names, behind a first line with its own: none that credentials are
//! sent to is in plain text or on this machine, and none elsewhere passes for the registry itself.

#![no_main]

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, Uri, header::LINK};
use libfuzzer_sys::fuzz_target;
use tidegate::registry::{
    EndpointUrl,
    fuzzing::{localize, may_lead_to, next_page},
};
use url::Url;

fuzz_target!(|data: &str| {
    let (first, target) = data
        .split_once('\n')
        .unwrap_or(("https://registry.example", data));
    let Ok(registry) = first.parse::<EndpointUrl>() else {
        return;
    };
    let again = registry.to_string().parse::<EndpointUrl>();
    assert_eq!(again.ok().as_ref(), Some(&registry));
    // Without a scheme nothing is sent there.
    if let Ok(other) = target.parse::<Uri>()
        && other.scheme().is_some()
        && may_lead_to(&registry, &other)
    {
        check(&registry, &other);
    }
    let request = format!("{registry}/v2/a/blobs/uploads/");
    let own = Url::parse(&request).expect("a URL");
    let request: Uri = request.parse().expect("a URL");
    if let Some(meant) = localize(&registry, &request, target)
        && meant.starts_with('/')
    {
        let is_path = target.starts_with('/') && !target.starts_with("//");
        let there = own.join(target).ok();
        let is_own = there.is_some_and(|there| there.host() == own.host());
        assert!(is_path || is_own, "{registry} {target}");
    }
    if let Ok(value) = HeaderValue::from_str(&format!("<{target}>; rel=\"next\"")) {
        let headers = HeaderMap::from_iter([(LINK, value)]);
        next_page(&headers);
    }
});

/// `other` may be sent the credential for `registry`.
fn check(registry: &EndpointUrl, other: &Uri) {
    let is_encrypted = other.scheme_str() == Some("https");
    assert!(is_encrypted || registry.is_plain(), "{registry} {other}");
    let own = host(&registry.to_string());
    let there = host(&other.to_string());
    // Who is on this machine may lead to it.
    let is_here =
        own == there || is_name_of_this(&own) || address(&own).is_some_and(|own| own.is_loopback());
    let is_inner = is_name_of_this(&there) || address(&there).is_some_and(is_internal);
    assert!(!is_inner || is_here, "{registry} {other}");
}

/// As browsers read it, without the dot that ends a full name.
fn host(url: &str) -> String {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    host.trim_end_matches('.').to_owned()
}

fn is_name_of_this(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

fn address(host: &str) -> Option<IpAddr> {
    let address: IpAddr = host.trim_matches(['[', ']']).parse().ok()?;
    Some(address.to_canonical())
}

fn is_internal(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    is_link_local || address.is_loopback() || address.is_unspecified()
}
