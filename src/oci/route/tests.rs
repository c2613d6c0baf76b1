use super::*;

const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn get(target: &str) -> Result<Route, RouteError> {
    parse(&Method::GET, target)
}

fn parse(method: &Method, target: &str) -> Result<Route, RouteError> {
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(p, q)| (p, Some(q)));
    Route::parse(method, path, query)
}

#[test]
fn endpoints_are_told_by_their_last_segments() {
    let cases = [
        ("/v2/", "ping", None),
        ("/v2", "ping", None),
        ("/v2/_catalog?n=5&last=a%2Fb", "catalog", None),
        ("/v2/a/b/tags/list", "tags", Some("a/b")),
        ("/v2/a/manifests/v1", "manifest", Some("a")),
        (
            "/v2/a/b/blobs/uploads/tags/list",
            "tags",
            Some("a/b/blobs/uploads"),
        ),
        (
            "/v2/a/manifests/manifests/v1",
            "manifest",
            Some("a/manifests"),
        ),
    ];
    for (target, endpoint, name) in cases {
        let route = get(target).unwrap();
        assert_eq!(route.endpoint(), endpoint, "{target}");
        assert_eq!(
            route.repository().map(RepositoryName::as_str),
            name,
            "{target}"
        );
    }
    assert_eq!(get(&format!("/v2/a/blobs/{D}")).unwrap().endpoint(), "blob");
    assert_eq!(
        get(&format!("/v2/a/referrers/{D}")).unwrap().endpoint(),
        "referrers"
    );
    assert_eq!(
        get("/v2/a/blobs/uploads/1234-ab").unwrap().endpoint(),
        "upload"
    );
    for start in ["/v2/a/blobs/uploads/", "/v2/a/blobs/uploads"] {
        assert_eq!(
            parse(&Method::POST, start).unwrap().endpoint(),
            "start_upload"
        );
    }
}

#[test]
fn what_is_forwarded_is_rebuilt_from_the_parsed_parts() {
    let cases = [
        (
            Method::GET,
            format!("/v2/a/blobs/{}", D.replace(':', "%3A")),
            format!("/v2/a/blobs/{D}"),
        ),
        (
            Method::PUT,
            format!("/v2/a/manifests/{D}?tag=x&tag=y"),
            format!("/v2/a/manifests/{D}?tag=x&tag=y"),
        ),
        (
            Method::PUT,
            format!("/v2/a/blobs/uploads/id?digest={D}&_state=a%3Db-_%3D"),
            format!(
                "/v2/a/blobs/uploads/id?_state=a%3Db-_%3D&digest={}",
                D.replace(':', "%3A")
            ),
        ),
        (
            Method::POST,
            format!("/v2/a/blobs/uploads/?from=c%2Fd&mount={D}&origin=x"),
            format!(
                "/v2/a/blobs/uploads/?mount={}&from=c%2Fd",
                D.replace(':', "%3A")
            ),
        ),
        (
            Method::GET,
            "/v2/a/tags/list?n=2&last=v%2B&x=1".into(),
            "/v2/a/tags/list?n=2&last=v%2B".into(),
        ),
        (
            Method::GET,
            format!("/v2/a/referrers/{D}?artifactType=x/y&last=a%3Db&n=1"),
            format!("/v2/a/referrers/{D}?last=a%3Db&n=1&artifactType=x%2Fy"),
        ),
        (
            Method::GET,
            "/v2/a/manifests/v1?ns=docker.io".into(),
            "/v2/a/manifests/v1".into(),
        ),
    ];
    for (method, target, forwarded) in cases {
        assert_eq!(parse(&method, &target).unwrap().path_and_query(), forwarded);
    }
}

#[test]
fn hostile_paths_have_no_route() {
    for target in [
        "/v2/a%2Fb/manifests/v1",
        "/v2/a/b%2Fmanifests%2Fv1",
        "/v2/a/../b/manifests/v1",
        "/v2/./a/manifests/v1",
        "/v2//a/manifests/v1",
        "/v2/a//manifests/v1",
        "/v2/a/manifests/v1/",
        "/v2/a/manifests/v1;x",
        "/v2/a/manifests/%00",
        "/v2/a\\b/manifests/v1",
        "/v2/a/blobs/uploads/..",
        "/v3/a/manifests/v1",
        "/v2/a/blobs/uploads/id/x",
        "/v2/_oci/ext/discover",
    ] {
        assert_eq!(
            get(target).unwrap_err().code,
            ErrorCode::NotFound,
            "{target}"
        );
    }
}

#[test]
fn malformed_parts_get_their_own_code() {
    let too_long = format!("/v2/{}/tags/list", "a".repeat(MAX_PATH_BYTES));
    let long_tag = format!("/v2/a/manifests/{}", "a".repeat(129));
    let cases = [
        ("/v2/A/manifests/v1", ErrorCode::NameInvalid),
        (
            "/v2/EXAMPLE.com:5000/b/manifests/v1",
            ErrorCode::NameInvalid,
        ),
        (long_tag.as_str(), ErrorCode::TagInvalid),
        (
            "/v2/a/manifests/md5:d41d8cd98f00b204e9800998ecf8427e",
            ErrorCode::DigestInvalid,
        ),
        ("/v2/a/blobs/v1", ErrorCode::DigestInvalid),
        ("/v2/_catalog?n=abc", ErrorCode::PaginationNumberInvalid),
        ("/v2/_catalog?n=-1", ErrorCode::PaginationNumberInvalid),
        ("/v2/_catalog?n=1&n=2", ErrorCode::BadRequest),
        ("/v2/a/tags/list?%6eame=1", ErrorCode::BadRequest),
        ("/v2/a/tags/list?n=1;last=2", ErrorCode::BadRequest),
        ("/v2/a/tags/list?last=%00", ErrorCode::BadRequest),
        (too_long.as_str(), ErrorCode::TargetTooLong),
    ];
    for (target, code) in cases {
        assert_eq!(get(target).unwrap_err().code, code, "{target}");
    }
    let mount = format!("/v2/a/blobs/uploads/?mount={D}&mount={D}");
    assert_eq!(
        parse(&Method::POST, &mount).unwrap_err().code,
        ErrorCode::BadRequest
    );
}

#[test]
fn a_wrong_method_names_the_right_ones() {
    let error = parse(&Method::POST, "/v2/a/tags/list").unwrap_err();
    assert_eq!(
        (error.code, error.allow),
        (ErrorCode::MethodNotAllowed, Some("GET, HEAD"))
    );
    assert!(parse(&Method::GET, "/v2/a/blobs/uploads/").is_err());
}

#[test]
fn needs_follow_method_and_endpoint() {
    let needs =
        |method: Method, target: &str| parse(&method, target).unwrap().needs(&method).to_string();
    assert_eq!(needs(Method::HEAD, "/v2/a/manifests/v1"), "pull");
    assert_eq!(needs(Method::PUT, "/v2/a/manifests/v1"), "pull,push");
    assert_eq!(needs(Method::DELETE, "/v2/a/manifests/v1"), "delete");
    assert_eq!(needs(Method::DELETE, "/v2/a/blobs/uploads/id"), "pull,push");
    assert_eq!(needs(Method::GET, "/v2/"), "");
}
