use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::StreamBody;
use proptest::prelude::*;
use tokio::time::sleep;

use super::*;
use crate::wire::collect;

const TAG: &str = "/v2/team/app/manifests/v1";

/// A registry that counts what it is asked.
#[derive(Clone)]
struct Counting {
    asked: Arc<AtomicU64>,
    answer: Arc<Respond>,
}

type Respond = dyn Fn(&Request<Body>) -> Response<Body> + Send + Sync;

impl Counting {
    fn new(answer: impl Fn(&Request<Body>) -> Response<Body> + Send + Sync + 'static) -> Self {
        Self {
            asked: Arc::default(),
            answer: Arc::new(answer),
        }
    }

    fn exchange(&self) -> Exchange {
        let registry = self.clone();
        Exchange::new(tower::service_fn(move |request: Request<Body>| {
            let registry = registry.clone();
            async move {
                registry.asked.fetch_add(1, Ordering::Relaxed);
                Ok((registry.answer)(&request))
            }
        }))
    }

    fn cached(&self) -> Exchange {
        cached(self.exchange(), Keep::Everything, &CacheConfig::default())
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

/// As the proxy does: what is not here is asked for.
fn cached(exchange: Exchange, keep: Keep, config: &CacheConfig) -> Exchange {
    let Some(cache) = Cache::over(exchange.clone(), keep, config, Metrics::new()) else {
        return exchange;
    };
    Exchange::new(tower::service_fn(move |request: Request<Body>| {
        let cache = Arc::clone(&cache);
        async move {
            match kept(&cache, &request) {
                Some(answer) => Ok(answer),
                None => cache.exchange().oneshot(request).await,
            }
        }
    }))
}

fn kept(cache: &Cache, request: &Request<Body>) -> Option<Response<Body>> {
    request.extensions().get::<Keepable>()?;
    let (method, uri) = (request.method(), request.uri());
    let route = Route::parse(method, uri.path(), uri.query()).ok()?;
    cache.kept(method, &route, request.headers())
}

fn manifest(request: &Request<Body>) -> Response<Body> {
    let is_head = request.method() == Method::HEAD;
    let body = if is_head { Body::Empty } else { "{}".into() };
    Response::builder()
        .header("content-length", 2)
        .header("docker-content-digest", "sha256:44")
        .header("date", "Thu, 01 Jan 1970 00:00:00 GMT")
        .body(body)
        .unwrap()
}

fn request(method: &str, target: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(target)
        .extension(Keepable)
        .body(Body::Empty)
        .unwrap()
}

async fn send(exchange: &Exchange, request: Request<Body>) -> (StatusCode, HeaderMap, Bytes) {
    let (head, body) = exchange
        .clone()
        .oneshot(request)
        .await
        .unwrap()
        .into_parts();
    let body = collect(body, 1 << 20).await.unwrap();
    (head.status, head.headers, body)
}

#[tokio::test]
async fn the_same_question_is_asked_once() {
    let registry = Counting::new(manifest);
    let exchange = registry.cached();
    let (status, headers, body) = send(&exchange, request("GET", TAG)).await;
    let again = send(&exchange, request("GET", TAG)).await;
    assert_eq!((status, body), (again.0, again.2));
    for name in ["content-length", "docker-content-digest"] {
        assert_eq!(headers[name], again.1[name]);
    }
    assert!(!again.1.contains_key("date"), "it is not of now");
    let head = send(&exchange, request("HEAD", TAG)).await;
    assert_eq!(head.1["content-length"], "2");
    assert!(head.2.is_empty());
    assert_eq!(registry.asked(), 1);
}

#[tokio::test]
async fn what_somebody_else_wrote_is_asked_for_anew() {
    let registry = Counting::new(manifest);
    let config = CacheConfig::default();
    let cache = Cache::over(
        registry.exchange(),
        Keep::Everything,
        &config,
        Metrics::new(),
    )
    .unwrap();
    send(&cache.exchange(), request("GET", TAG)).await;
    assert!(kept(&cache, &request("GET", TAG)).is_some());
    cache.heard(&"team/app".parse().unwrap());
    assert!(kept(&cache, &request("GET", TAG)).is_none());
    // Nor is kept what was read before the write can be seen.
    send(&cache.exchange(), request("GET", TAG)).await;
    assert!(kept(&cache, &request("GET", TAG)).is_none());
}

#[tokio::test]
async fn a_head_does_not_answer_a_get() {
    let registry = Counting::new(manifest);
    let exchange = registry.cached();
    for method in ["HEAD", "HEAD", "GET", "GET", "HEAD"] {
        let (_, _, body) = send(&exchange, request(method, TAG)).await;
        assert_eq!(body.is_empty(), method == "HEAD");
    }
    assert_eq!(registry.asked(), 2);
}

#[tokio::test]
async fn another_question_is_another_answer() {
    let registry = Counting::new(manifest);
    let exchange = registry.cached();
    let with = |name: &'static str, value: &str| {
        let mut request = request("GET", TAG);
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    let others = [
        request("GET", TAG),
        request("GET", "/v2/team/app/manifests/v2"),
        request("GET", "/v2/team/app2/manifests/v1"),
        with("accept", "application/vnd.oci.image.index.v1+json"),
        with("accept", "application/vnd.oci.image.manifest.v1+json"),
        with("accept-encoding", "gzip"),
        request("GET", "/v2/team/app/tags/list?n=1"),
        request("GET", "/v2/team/app/tags/list?n=2"),
    ];
    let count = others.len() as u64;
    for request in others {
        send(&exchange, request).await;
    }
    assert_eq!(registry.asked(), count);
}

#[tokio::test]
async fn what_is_not_for_everybody_goes_to_the_registry() {
    let headers = |name: &'static str, value: &'static str| {
        Counting::new(move |_: &Request<Body>| {
            Response::builder()
                .header(name, value)
                .body("{}".into())
                .unwrap()
        })
    };
    let unsized_body = |_: &Request<Body>| {
        let frames = [Ok::<_, std::io::Error>(http_body::Frame::data(
            Bytes::from_static(b"{}"),
        ))];
        Response::new(Body::boxed(StreamBody::new(futures_util::stream::iter(
            frames,
        ))))
    };
    for (title, registry) in [
        ("Link", headers("link", "</v2/x>; rel=\"next\"")),
        ("Vary", headers("vary", "Accept, Cookie")),
        ("Vary: *", headers("vary", "*")),
        ("no length", Counting::new(unsized_body)),
        (
            "large",
            Counting::new(|_: &Request<Body>| Response::new(vec![b'x'; 600 * 1024].into())),
        ),
        (
            "missing",
            Counting::new(|_: &Request<Body>| {
                let mut missing = Response::new("{}".into());
                *missing.status_mut() = StatusCode::NOT_FOUND;
                missing
            }),
        ),
    ] {
        let exchange = registry.cached();
        for _ in 0..2 {
            send(&exchange, request("GET", TAG)).await;
        }
        assert_eq!(registry.asked(), 2, "{title}");
    }
    let varied = headers("vary", "Accept, Authorization, accept-encoding");
    let exchange = varied.cached();
    for _ in 0..2 {
        send(&exchange, request("GET", TAG)).await;
    }
    assert_eq!(varied.asked(), 1);
}

#[tokio::test]
async fn conditions_blobs_and_the_gateway_itself_go_to_the_registry() {
    let registry = Counting::new(manifest);
    let exchange = registry.cached();
    let digest = format!("sha256:{}", "a".repeat(64));
    let blob = format!("/v2/team/app/blobs/{digest}");
    let mut conditional = request("GET", TAG);
    conditional
        .headers_mut()
        .insert("if-none-match", "\"x\"".parse().unwrap());
    let mut own = request("GET", TAG);
    own.extensions_mut().clear();
    send(&exchange, request("GET", TAG)).await;
    for request in [conditional, own, request("GET", &blob)] {
        send(&exchange, request).await;
    }
    assert_eq!(registry.asked(), 4);
    for _ in 0..2 {
        send(&exchange, request("HEAD", &blob)).await;
    }
    assert_eq!(registry.asked(), 5);
    let exchange = cached(registry.exchange(), Keep::Gets, &CacheConfig::default());
    for target in [&*blob, TAG] {
        for _ in 0..2 {
            send(&exchange, request("HEAD", target)).await;
        }
    }
    assert_eq!(registry.asked(), 9, "it must hear of each");
}

#[tokio::test]
async fn a_write_ends_what_was_kept_of_its_repository() {
    let registry = Counting::new(manifest);
    let exchange = registry.cached();
    let digest = format!("sha256:{}", "a".repeat(64));
    for (method, target) in [
        ("PUT", "/v2/team/app/manifests/v2".to_owned()),
        ("DELETE", TAG.to_owned()),
        ("DELETE", format!("/v2/team/app/manifests/{digest}")),
        ("DELETE", format!("/v2/team/app/blobs/{digest}")),
    ] {
        for _ in 0..2 {
            send(&exchange, request("GET", TAG)).await;
        }
        let before = registry.asked();
        send(&exchange, request(method, &target)).await;
        send(&exchange, request("GET", TAG)).await;
        assert_eq!(registry.asked(), before + 2, "{method} {target}");
    }
}

#[tokio::test]
async fn a_write_that_failed_at_the_registry_leaves_nothing_to_be_kept() {
    let registry = Counting::new(|request: &Request<Body>| {
        let mut response = manifest(request);
        if request.method() == Method::PUT {
            *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
        }
        response
    });
    let exchange = registry.cached();
    send(&exchange, request("PUT", TAG)).await;
    for _ in 0..2 {
        send(&exchange, request("GET", TAG)).await;
    }
    assert_eq!(registry.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_old_is_asked_for_again() {
    let registry = Counting::new(manifest);
    let exchange = registry.cached();
    send(&exchange, request("GET", TAG)).await;
    sleep(Duration::from_secs(59)).await;
    send(&exchange, request("GET", TAG)).await;
    assert_eq!(registry.asked(), 1);
    sleep(Duration::from_secs(1)).await;
    send(&exchange, request("GET", TAG)).await;
    assert_eq!(registry.asked(), 2);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_passed_on_as_whole() {
    let exchange = Exchange::new(tower::service_fn(|_: Request<Body>| async {
        let short = http_body_util::Limited::new(Body::from("{}"), 1);
        Ok(Response::new(Body::boxed(short)))
    }));
    let exchange = cached(exchange, Keep::Everything, &CacheConfig::default());
    let answer = exchange.oneshot(request("GET", TAG)).await;
    assert!(matches!(answer, Err(ExchangeError::Interrupted { .. })));
}

#[tokio::test]
async fn memory_is_bounded_whatever_is_asked() {
    let behind = Exchange::new(tower::service_fn(|_: Request<Body>| async {
        Ok(Response::new(vec![b'x'; 10_000].into()))
    }));
    let bytes: u64 = 1 << 20;
    let config = CacheConfig {
        memory_mib: 1,
        ..CacheConfig::default()
    };
    let cache = Cache::over(behind, Keep::Everything, &config, Metrics::new()).unwrap();
    for n in 0..1000 {
        let target = format!("/v2/team/app/manifests/v{n}");
        cache.send(request("GET", &target)).await.unwrap();
        assert!(cache.kept.weight() <= bytes);
    }
    assert!(cache.kept.len() > 20, "and it is used");
}

/// A registry whose reads and writes take effect at some moment between question and answer.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<BTreeMap<String, u64>>>);

/// Milliseconds before and after an operation takes effect at the registry.
#[derive(Clone, Copy)]
struct Pace(u64, u64);

impl Slow {
    fn exchange(&self) -> Exchange {
        let registry = self.clone();
        Exchange::new(tower::service_fn(move |request: Request<Body>| {
            let registry = registry.clone();
            async move {
                let path = request.uri().path().to_owned();
                let Pace(before, after) = *request.extensions().get().unwrap();
                let written = request.extensions().get::<u64>().copied();
                sleep(Duration::from_millis(before)).await;
                let value = {
                    let mut values = registry.0.lock().unwrap();
                    let value = values.entry(path).or_default();
                    *value = written.unwrap_or(*value);
                    *value
                };
                sleep(Duration::from_millis(after)).await;
                Ok(Response::new(value.to_string().into()))
            }
        }))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Writes of rising values, one after the other; reads at any time. No read may be older than
    /// the last write that had ended when the read began, nor older than what another read saw
    /// that had ended by then.
    #[test]
    fn no_answer_is_older_than_a_write_or_a_read_before(
        writes in prop::collection::vec((0..20_u64, 0..10_u64, 0..10_u64), 1..8),
        reads in prop::collection::vec((0..150_u64, 0..10_u64, 0..10_u64), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let exchange = cached(Slow::default().exchange(), Keep::Everything, &CacheConfig::default());
            // The newest value that somebody has been told.
            let known = Arc::new(AtomicU64::new(0));
            let writing = async {
                for (n, (wait, before, after)) in (1_u64..).zip(&writes) {
                    sleep(Duration::from_millis(*wait)).await;
                    let mut put = request("PUT", TAG);
                    put.extensions_mut().insert(Pace(*before, *after));
                    put.extensions_mut().insert(n);
                    send(&exchange, put).await;
                    known.fetch_max(n, Ordering::SeqCst);
                }
            };
            let reading = join_all(reads.iter().map(|(wait, before, after)| {
                let (exchange, known) = (&exchange, Arc::clone(&known));
                async move {
                    sleep(Duration::from_millis(*wait)).await;
                    let least = known.load(Ordering::SeqCst);
                    let mut get = request("GET", TAG);
                    get.extensions_mut().insert(Pace(*before, *after));
                    let (_, _, body) = send(exchange, get).await;
                    let value: u64 = std::str::from_utf8(&body).unwrap().parse().unwrap();
                    assert!(value >= least, "{value} was read, {least} was known");
                    known.fetch_max(value, Ordering::SeqCst);
                }
            }));
            tokio::join!(writing, reading);
        });
    }
}
