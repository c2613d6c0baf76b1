//! `Location` and `Link` targets of the registry behind: what clients are given as ours is a path
//! under `/v2/` of ours, and what is not was at one of its names.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tidegate::proxy::fuzzing::location;
use url::Url;

fuzz_target!(|target: &str| {
    for upstream in [None, Some(&*PLAIN), Some(&*PREFIXED)] {
        let Some(path) = location(PUBLIC, upstream, target) else {
            continue;
        };
        assert!(path.starts_with("/v2/") && target.ends_with(path), "{path}");
        let base = Url::parse(PUBLIC).expect("a URL");
        let seen = base.join(path).expect("a path");
        assert_eq!(seen.origin(), base.origin(), "{target}");
        // As any client would read it, it led to the registry behind or to us.
        let from = upstream.unwrap_or(&base);
        let meant = from.join(target).expect("what was understood");
        let known = [Some(&base), upstream];
        let is_known = known.iter().flatten().any(|one| one.host() == meant.host());
        assert!(is_known, "{target}");
    }
});

const PUBLIC: &str = "https://registry.example";
static PLAIN: LazyLock<Url> = LazyLock::new(|| url("http://10.0.0.5:5000"));
static PREFIXED: LazyLock<Url> = LazyLock::new(|| url("https://nexus.example/repository/docker/"));

fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL")
}
