//! Docker Hub: the registry is at another host than the website, and a name without a slash
//! is an official image.

use http::{Request, Uri};

use crate::{oci::Route, registry::EndpointUrl, wire::Body};

/// The registry, whichever of its names stands in the URL.
pub(super) fn registry_url(url: &EndpointUrl) -> EndpointUrl {
    let is_website = WEBSITES
        .iter()
        .any(|host| url.address().eq_ignore_ascii_case(host));
    match REGISTRY.parse() {
        Ok(registry) if is_website => registry,
        _ => url.clone(),
    }
}

/// `alpine` means `library/alpine` here.
pub(super) fn official(mut request: Request<Body>) -> Request<Body> {
    let uri = request.uri();
    let Ok(route) = Route::parse(request.method(), uri.path(), uri.query()) else {
        return request;
    };
    let Some(name) = route
        .repository()
        .filter(|name| !name.as_str().contains('/'))
    else {
        return request;
    };
    let short = format!("/v2/{name}/");
    let whole = uri.path_and_query().map_or("", |whole| whole.as_str());
    let longer: Option<Uri> = whole
        .strip_prefix(&short)
        .and_then(|rest| format!("/v2/library/{name}/{rest}").parse().ok());
    if let Some(longer) = longer {
        *request.uri_mut() = longer;
    }
    request
}

const REGISTRY: &str = "https://registry-1.docker.io";
const WEBSITES: [&str; 4] = [
    "hub.docker.com",
    "docker.io",
    "index.docker.io",
    "www.docker.com",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_found_from_the_names_that_people_use() {
        for (given, used) in [
            ("https://hub.docker.com", REGISTRY),
            ("docker.io", REGISTRY),
            ("https://registry-1.docker.io", REGISTRY),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ] {
            let used_instead = registry_url(&given.parse().unwrap());
            assert_eq!(used_instead.to_string(), used, "{given}");
        }
    }

    #[test]
    fn names_without_a_slash_are_official_images() {
        for (target, sent) in [
            ("/v2/alpine/manifests/3", "/v2/library/alpine/manifests/3"),
            (
                "/v2/alpine/tags/list?n=5",
                "/v2/library/alpine/tags/list?n=5",
            ),
            ("/v2/me/app/manifests/3", "/v2/me/app/manifests/3"),
            ("/v2/", "/v2/"),
        ] {
            let request = Request::builder().uri(target).body(Body::Empty).unwrap();
            assert_eq!(official(request).uri(), sent, "{target}");
        }
    }
}
