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
    if let Ok(other) = target.parse::<Uri>()
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

fn check(registry: &EndpointUrl, other: &Uri) {
    let is_encrypted = other.scheme_str() == Some("https");
    assert!(is_encrypted || registry.is_plain(), "{registry} {other}");
    let url = Url::parse(&other.to_string());
    let host = url
        .as_ref()
        .ok()
        .and_then(Url::host_str)
        .unwrap_or_default();
    let host = host.trim_matches(['[', ']']).trim_end_matches('.');
    let is_local = host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(is_internal);
    let address = registry.address();
    let own = address
        .rsplit_once(':')
        .map_or(address, |(host, _port)| host);
    let is_own_kind = own == "localhost"
        || own
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(is_internal)
        || other
            .host()
            .is_some_and(|host| host.eq_ignore_ascii_case(own) || host == address);
    assert!(!is_local || is_own_kind, "{registry} {other}");
}

fn is_internal(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_loopback() || address.is_link_local() || address.is_unspecified()
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unicast_link_local() || address.is_unspecified()
        }
    }
}
