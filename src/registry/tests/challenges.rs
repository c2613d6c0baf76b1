use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};

use super::{
    alice, client, name,
    peer::{Peer, Reply, answer},
    plain_endpoint, tag,
};
use crate::{
    oci::{Digest, Scope},
    registry::{
        Authentication, Client, Config, Credential, IssuedToken, Kind, Remote, TokenSource,
    },
    secret::Secret,
    wire::BoxError,
};

/// A registry that accepts `Bearer good`, and its token service beside it.
async fn registry_with_tokens(token_answer: fn(usize) -> String) -> Peer {
    let address = Arc::new(Mutex::new(String::new()));
    let (told, asked) = (Arc::clone(&address), AtomicUsize::new(0));
    let peer = Peer::start(move |seen| {
        if seen.has(" /token") {
            return Reply::Keep(token_answer(asked.fetch_add(1, Ordering::SeqCst)));
        }
        if seen.has("authorization: bearer good") {
            let location = "Location: /v2/a/b/blobs/uploads/1\r\n";
            return Reply::Keep(if seen.starts_with("POST") {
                answer("202 Accepted", location, "")
            } else if seen.starts_with("PUT") {
                answer("201 Created", "", "")
            } else {
                answer("200 OK", &format!("Docker-Content-Digest: {}\r\n", Digest::sha256(b"x")), "")
            });
        }
        let realm = format!("http://{}/token", told.lock().unwrap());
        let challenge = format!(
            "WWW-Authenticate: Bearer realm=\"{realm}\",service=\"s v\",scope=\"repository:a/b:pull\"\r\n"
        );
        Reply::Keep(answer("401 Unauthorized", &challenge, ""))
    })
    .await;
    address.lock().unwrap().clone_from(&peer.address);
    peer
}

fn token(text: &str) -> String {
    answer(
        "200 OK",
        "",
        &format!(r#"{{"token":"{text}","expires_in":300}}"#),
    )
}

#[tokio::test]
async fn a_token_is_fetched_with_the_credential_and_used_until_it_ages() {
    let peer = registry_with_tokens(|_n| token("good")).await;
    let mut endpoint = plain_endpoint(&peer.address);
    endpoint.credential = Some(alice("wonderland"));
    let client = client(&endpoint);
    for _ in 0..3 {
        assert!(
            client
                .head_manifest(&name("a/b"), &tag("v1"))
                .await
                .unwrap()
                .is_some()
        );
    }
    client
        .put_blob(&name("a/b"), &Digest::sha256(b"x"), 1, "x".into())
        .await
        .unwrap();
    let seen = peer.seen();
    let tokens: Vec<&String> = seen
        .iter()
        .filter(|text| text.starts_with("GET /token"))
        .collect();
    assert_eq!(tokens.len(), 2, "one for pull, one for push: {tokens:?}");
    assert!(tokens[0].starts_with("GET /token?service=s+v&scope=repository%3Aa%2Fb%3Apull&account=alice&client_id=tidegate "), "{}", tokens[0]);
    assert!(
        tokens[1].contains("scope=repository%3Aa%2Fb%3Apull%2Cpush&"),
        "{}",
        tokens[1]
    );
    assert!(
        tokens[0]
            .to_ascii_lowercase()
            .contains("authorization: basic ")
    );
    let to_registry = seen.iter().filter(|text| !text.starts_with("GET /token"));
    assert!(
        to_registry
            .into_iter()
            .all(|text| !text.to_ascii_lowercase().contains("authorization: basic"))
    );
}

#[tokio::test]
async fn an_anonymous_client_gets_an_anonymous_token() {
    let peer = registry_with_tokens(|_n| token("good")).await;
    client(&plain_endpoint(&peer.address)).ping().await.unwrap();
    assert!(peer.seen()[1].starts_with("GET /token?service=s+v&client_id=tidegate "));
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let peer = registry_with_tokens(|n| token(if n == 0 { "stale" } else { "good" })).await;
    let client_of = client(&plain_endpoint(&peer.address));
    assert!(
        client_of
            .head_manifest(&name("a/b"), &tag("v1"))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(peer.count("GET /token"), 2);
    let peer = registry_with_tokens(|n| token(&format!("bad{n}"))).await;
    let client_of = client(&plain_endpoint(&peer.address));
    let error = client_of
        .head_manifest(&name("a/b"), &tag("v1"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized, "{error}");
    assert_eq!((peer.count("GET /token"), peer.count("HEAD ")), (2, 2));
}

#[tokio::test]
async fn a_token_that_runs_out_while_a_blob_is_sent_is_replaced_for_the_next_try() {
    let issued = AtomicUsize::new(0);
    let peer = Peer::start(move |seen| {
        if seen.has(" /token") {
            let n = issued.fetch_add(1, Ordering::SeqCst);
            return Reply::Keep(token(&format!("t{n}")));
        }
        let is_allowed = if seen.starts_with("PUT") {
            seen.has("authorization: bearer t1")
        } else {
            seen.has("authorization: bearer ")
        };
        if !is_allowed {
            let host = seen
                .text
                .lines()
                .find_map(|line| line.strip_prefix("host: "));
            let realm = format!("http://{}/token", host.unwrap());
            let challenge = format!("WWW-Authenticate: Bearer realm=\"{realm}\"\r\n");
            return Reply::Keep(answer("401 Unauthorized", &challenge, ""));
        }
        Reply::Keep(if seen.starts_with("PUT") {
            answer("201 Created", "", "")
        } else {
            answer("202 Accepted", "Location: /v2/a/b/blobs/uploads/1\r\n", "")
        })
    })
    .await;
    let client = client(&plain_endpoint(&peer.address));
    let (repository, digest) = (name("a/b"), Digest::sha256(b"x"));
    let put = async || {
        client
            .put_blob_verified(&repository, &digest, 1, "x".into())
            .await
    };
    let error = put().await.unwrap_err();
    assert_eq!(
        error.kind(),
        Kind::Unavailable { retry_after: None },
        "{error}"
    );
    assert!(
        error.retryable() && error.to_string().contains("ran out"),
        "{error}"
    );
    put().await.unwrap();
    assert_eq!(peer.count("GET /token"), 2);
}

#[tokio::test]
async fn an_identity_token_is_posted() {
    let peer = registry_with_tokens(|_n| token("good")).await;
    let mut endpoint = plain_endpoint(&peer.address);
    endpoint.credential = Some(Credential::IdentityToken(Secret::new("refresh&me")));
    client(&endpoint)
        .head_manifest(&name("a/b"), &tag("v1"))
        .await
        .unwrap();
    let seen = peer.seen();
    let post = seen
        .iter()
        .find(|text| text.starts_with("POST /token "))
        .unwrap();
    assert!(post.ends_with("grant_type=refresh_token&refresh_token=refresh%26me&service=s+v&client_id=tidegate&scope=repository%3Aa%2Fb%3Apull"), "{post}");
}

#[tokio::test]
async fn what_the_token_service_says_is_told() {
    type Case = (fn(usize) -> String, Kind, &'static str);
    let cases: [Case; 4] = [
        (
            |_n| {
                answer(
                    "401 Unauthorized",
                    "",
                    r#"{"errors":[{"code":"UNAUTHORIZED","message":"bad creds"}]}"#,
                )
            },
            Kind::Unauthorized,
            "bad creds",
        ),
        (
            |_n| answer("429 Too Many Requests", "Retry-After: 9\r\n", ""),
            Kind::TooManyRequests {
                retry_after: Some(Duration::from_secs(9)),
            },
            "answered 429",
        ),
        (
            |_n| answer("404 Not Found", "", "404 page not found"),
            Kind::Unavailable { retry_after: None },
            "404 page not found",
        ),
        (
            |_n| answer("200 OK", "", "{}"),
            Kind::Unavailable { retry_after: None },
            "has no token",
        ),
    ];
    for (service, kind, message) in cases {
        let peer = registry_with_tokens(service).await;
        let client = client(&plain_endpoint(&peer.address));
        let error = client.manifest(&name("a/b"), &tag("v1")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[tokio::test]
async fn many_requests_at_once_share_one_token_even_with_one_slot() {
    let peer = registry_with_tokens(|_n| token("good")).await;
    let config = Config {
        max_concurrent_requests: 1,
        ..Config::default()
    };
    let client = super::client_with(&plain_endpoint(&peer.address), &config);
    let (repository, reference) = (name("a/b"), tag("v1"));
    let heads = (0..8).map(|_| client.head_manifest(&repository, &reference));
    for head in futures_util::future::join_all(heads).await {
        assert!(head.unwrap().is_some());
    }
    assert_eq!(peer.count("GET /token"), 1);
}

#[derive(Debug, Default)]
struct OwnIssuer(Mutex<Vec<String>>);

impl TokenSource for OwnIssuer {
    fn issue<'a>(&'a self, scopes: &'a [Scope]) -> BoxFuture<'a, Result<IssuedToken, BoxError>> {
        let scopes: Vec<String> = scopes.iter().map(ToString::to_string).collect();
        self.0.lock().unwrap().push(scopes.join(" "));
        let issued = IssuedToken {
            token: Secret::new("good"),
            lifetime: Duration::from_mins(5),
        };
        std::future::ready(Ok(issued)).boxed()
    }
}

#[tokio::test]
async fn tokens_of_our_own_issuer_go_with_every_request() {
    let peer = registry_with_tokens(|_n| token("unused")).await;
    let issuer = Arc::new(OwnIssuer::default());
    let source: Arc<dyn TokenSource> = Arc::clone(&issuer) as _;
    let endpoint = plain_endpoint(&peer.address);
    let remote = Remote::new(
        &endpoint,
        Authentication::Tokens(source),
        &Config::default(),
    )
    .unwrap();
    let client = Client::new(remote.exchange());
    for _ in 0..3 {
        client
            .head_manifest(&name("a/b"), &tag("v1"))
            .await
            .unwrap();
    }
    client
        .mount(&name("a/b"), &Digest::sha256(b"x"), Some(&name("c/d")))
        .await
        .unwrap();
    assert_eq!(
        *issuer.0.lock().unwrap(),
        [
            "repository:a/b:pull",
            "repository:a/b:pull,push repository:c/d:pull"
        ]
    );
    assert_eq!(peer.count("GET /token"), 0);
}
