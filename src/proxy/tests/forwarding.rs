//! Headers both ways, addresses in answers, and faults of the registry behind.

use http::{Response, StatusCode};
use tower::util::BoxCloneSyncService;

use super::world::{Answer, HOST, Script, Stub, World, interrupted, request, respond};
use crate::wire::{Body, Exchange, ExchangeError};

const PULL: &str = "/v2/team/app/manifests/v1";
const UPLOADS: &str = "/v2/team/app/blobs/uploads/";

/// A world whose registry answers as told, and a client that may do everything there.
struct Stage {
    world: World,
    script: Script,
    token: String,
}

impl Stage {
    async fn new() -> Self {
        let script = Script::default();
        let world = World::new(script.exchange()).await;
        let token = world.bearer("alice", &["team/app:*"]);
        Self {
            world,
            script,
            token,
        }
    }

    /// What the client sees when the registry answers its request with `answer`.
    async fn ask(&self, method: &str, path: &str, answer: Response<Body>) -> Answer {
        self.script.next(answer);
        self.world.ask(method, path, &self.token).await
    }
}

#[tokio::test]
async fn only_headers_a_registry_has_a_use_for_are_forwarded() {
    let stub = Stub::default();
    let world = World::new(stub.exchange(|_| respond(200, &[]))).await;
    let mut request = request(
        "GET",
        PULL,
        &world.bearer("alice", &["team/app:pull"]),
        Body::Empty,
    );
    let headers = request.headers_mut();
    for (name, value) in [
        ("accept", "application/vnd.oci.image.index.v1+json"),
        ("accept", "application/vnd.oci.image.manifest.v1+json"),
        ("accept-encoding", "zstd;q=1.0, gzip;q=0.8"),
        ("range", "bytes=5-"),
        ("if-none-match", "\"x\""),
        ("user-agent", "docker/29"),
        ("docker-distribution-api-version", "registry/2.0"),
        ("oci-something", "x"),
        ("cookie", "session=1"),
        ("x-forwarded-for", "10.9.9.9"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "host=evil.example"),
        ("x-original-url", "/v2/hidden"),
        ("x-real-ip", "10.9.9.9"),
        ("connection", "range, x-mine"),
        ("x-mine", "1"),
        ("expect", "100-continue"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("proxy-authorization", "Basic x"),
        ("content-type", "application/x-www-form-urlencoded"),
    ] {
        headers.append(name, value.parse().unwrap());
    }
    assert_eq!(world.send(request).await.status, 200);
    let seen = stub.seen().remove(0);
    let mut names: Vec<_> = seen.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    let expected = [
        "accept",
        "accept-encoding",
        "docker-distribution-api-version",
        "if-none-match",
        "oci-something",
        "range",
        "user-agent",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
    ];
    assert_eq!(names, expected);
    assert_eq!(seen.headers.get_all("accept").iter().count(), 2);
    assert_eq!(seen.header("x-forwarded-for"), "192.0.2.7");
    assert_eq!(seen.header("x-forwarded-proto"), "https");
    assert_eq!(seen.header("x-forwarded-host"), HOST);
    assert_eq!(seen.header("x-request-id"), "req-1");
}

#[tokio::test]
async fn what_concerns_the_server_behind_stays_there() {
    let behind = respond(
        200,
        &[
            ("content-length", "738"),
            ("content-type", "application/vnd.oci.image.manifest.v1+json"),
            ("docker-content-digest", "sha256:abc"),
            ("etag", "\"sha256:abc\""),
            ("warning", "299 - \"old\""),
            ("connection", "x-mine, content-length"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("server", "nginx"),
            ("set-cookie", "a=b"),
            ("strict-transport-security", "max-age=1"),
            ("alt-svc", "h3"),
            ("x-request-id", "theirs"),
            ("trailer", "x"),
        ],
    );
    let answer = Stage::new().await.ask("HEAD", PULL, behind).await;
    let mut names: Vec<_> = answer
        .headers
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    names.sort_unstable();
    let expected = [
        "content-length",
        "content-type",
        "docker-content-digest",
        "docker-distribution-api-version",
        "etag",
        "warning",
    ];
    assert_eq!(names, expected);
    assert_eq!(answer.header("content-length"), "738");
    assert!(answer.body.is_empty());
}

/// The columns: method and path asked, status and `Location` behind, status and `Location` seen.
#[tokio::test]
async fn locations_lead_back_to_the_gateway_or_nowhere() {
    let upload = "/v2/team/app/blobs/uploads/1?_state=x%3D%3D&y=a+b";
    let own = format!("http://10.0.0.5:5000{upload}");
    let told = format!("http://{HOST}{upload}");
    let s3 = "https://bucket.s3.example/x?X-Amz-Signature=1";
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let blob = format!("/v2/team/app/blobs/{digest}");
    let stage = Stage::new().await;
    for (method, path, behind, location, status, seen) in [
        ("POST", UPLOADS, 202, own.as_str(), 202, upload),
        ("POST", UPLOADS, 202, told.as_str(), 202, upload),
        ("POST", UPLOADS, 202, upload, 202, upload),
        (
            "POST",
            UPLOADS,
            202,
            "https://evil.example/v2/team/app/blobs/uploads/1",
            502,
            "",
        ),
        ("POST", UPLOADS, 202, "/elsewhere", 502, ""),
        ("POST", UPLOADS, 307, upload, 502, ""),
        (
            "PATCH",
            "/v2/team/app/blobs/uploads/1",
            416,
            own.as_str(),
            416,
            upload,
        ),
        ("GET", &blob, 307, s3, 307, s3),
        ("HEAD", &blob, 307, s3, 307, s3),
        (
            "GET",
            &blob,
            307,
            "http://10.0.0.5:5000/v2/team/app/blobs/x",
            307,
            "/v2/team/app/blobs/x",
        ),
        ("GET", &blob, 200, s3, 502, ""),
        ("DELETE", &blob, 307, s3, 502, ""),
    ] {
        let behind = respond(behind, &[("location", location)]);
        let case = format!("{method} {path} -> {location}");
        let answer = stage.ask(method, path, behind).await;
        assert_eq!(answer.status.as_u16(), status, "{case}");
        assert_eq!(answer.header("location"), seen, "{case}");
    }
}

#[tokio::test]
async fn links_lead_back_to_the_gateway_or_are_left_out() {
    let stage = Stage::new().await;
    for (link, seen) in [
        (
            "</v2/team/app/tags/list?n=2&last=b>; rel=\"next\"",
            "</v2/team/app/tags/list?n=2&last=b>; rel=\"next\"",
        ),
        (
            "<http://10.0.0.5:5000/v2/team/app/tags/list?last=b>; rel=\"next\"",
            "</v2/team/app/tags/list?last=b>; rel=\"next\"",
        ),
        ("<https://evil.example/v2/x>; rel=\"next\"", ""),
        ("nonsense", ""),
    ] {
        let behind = respond(200, &[("link", link)]);
        let answer = stage.ask("GET", "/v2/team/app/tags/list", behind).await;
        assert_eq!(answer.header("link"), seen, "{link}");
    }
}

#[tokio::test]
async fn faults_of_the_registry_behind_are_told_without_its_words() {
    let stage = Stage::new().await;
    for (behind, status, code_and_delay) in [
        (401, 502, "UNAVAILABLE 5"),
        (403, 502, "UNAVAILABLE 5"),
        (500, 500, "UNKNOWN "),
        (502, 502, "UNAVAILABLE 7"),
        (503, 503, "UNAVAILABLE 7"),
        (504, 502, "UNAVAILABLE 7"),
        (507, 500, "UNKNOWN "),
    ] {
        let headers = [
            ("www-authenticate", "Basic realm=\"inner\""),
            ("retry-after", "7"),
        ];
        let words = Body::from("/var/lib/registry: secret");
        let answer = stage
            .ask("GET", PULL, respond(behind, &headers).map(|_| words))
            .await;
        assert_eq!(answer.status.as_u16(), status, "{behind}");
        let told = format!("{} {}", answer.code(), answer.header("retry-after"));
        assert_eq!(told, code_and_delay, "{behind}");
        assert!(!answer.text().contains("secret"), "{behind}");
        assert_eq!(answer.header("www-authenticate"), "", "{behind}");
    }
    for behind in [502, 503, 504] {
        let answer = stage.ask("GET", PULL, respond(behind, &[])).await;
        assert_eq!(answer.header("retry-after"), "5", "{behind}");
    }
    let unknown =
        respond(404, &[]).map(|_| Body::from("{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\"}]}"));
    let own_words = stage.ask("GET", PULL, unknown).await;
    assert!(own_words.text().contains("MANIFEST_UNKNOWN"));
}

#[tokio::test]
async fn a_registry_that_is_away_is_told_with_a_time_to_come_back() {
    type Fault = fn() -> ExchangeError;
    let away: Fault = || ExchangeError::Unreachable {
        address: "10.0.0.5:5000".into(),
        source: "connection refused".into(),
    };
    let full: Fault = || ExchangeError::Overloaded {
        address: "10.0.0.5:5000".into(),
    };
    let broken: Fault = || interrupted("reset");
    for (fault, status) in [
        (away, StatusCode::SERVICE_UNAVAILABLE),
        (full, StatusCode::SERVICE_UNAVAILABLE),
        (broken, StatusCode::BAD_GATEWAY),
    ] {
        let exchange: Exchange = BoxCloneSyncService::new(tower::service_fn(
            move |_: http::Request<Body>| async move { Err::<Response<Body>, _>(fault()) },
        ));
        let world = World::new(exchange).await;
        let answer = world
            .ask("GET", PULL, &world.bearer("alice", &["team/app:pull"]))
            .await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.code(), "UNAVAILABLE");
        assert_ne!(answer.header("retry-after"), "");
        assert!(!answer.text().contains("10.0.0.5"));
    }
}
