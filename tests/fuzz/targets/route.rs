//! Request targets under `/v2/`: what is forwarded means what was parsed, and one thing only.

#![no_main]

use http::{Method, uri::PathAndQuery};
use libfuzzer_sys::fuzz_target;
use tidegate::oci::{RepositoryName, Route};

fuzz_target!(|target: &str| {
    // What the listener lets in.
    let Ok(target) = target.parse::<PathAndQuery>() else {
        return;
    };
    for method in METHODS {
        if let Ok(route) = Route::parse(&method, target.path(), target.query()) {
            check(&method, &route);
        }
    }
});

fn check(method: &Method, route: &Route) {
    let forwarded = route.path_and_query();
    let target: PathAndQuery = forwarded.parse().expect("what is forwarded is a target");
    let again = Route::parse(method, target.path(), target.query());
    assert_eq!(again.as_ref(), Ok(route), "{forwarded}");
    assert!(forwarded.bytes().all(|byte| byte.is_ascii_graphic()));
    let path = target.path();
    assert!(path.starts_with("/v2/"), "{path}");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:=".contains(&byte);
    assert!(path.bytes().all(is_plain), "{path}");
    let inner = path.trim_end_matches('/').split('/').skip(1);
    for segment in inner {
        assert!(!["", ".", ".."].contains(&segment), "{path}");
    }
    if let Some(name) = route.repository() {
        let head = format!("/v2/{name}/");
        assert!(path.starts_with(&head), "{path} of {name}");
        assert_eq!(name.as_str().parse::<RepositoryName>().as_ref(), Ok(name));
    }
    // Nobody is let into a repository without having asked for something.
    assert_eq!(route.repository().is_none(), route.needs(method).is_empty());
}

const METHODS: [Method; 6] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];
