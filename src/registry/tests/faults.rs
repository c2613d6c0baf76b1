use std::time::Duration;

use http::{Method, Request};
use tower::ServiceExt;

use super::{
    client, client_with, name,
    peer::{Peer, Reply, answer},
    plain_endpoint, put_v1, tag,
};
use crate::{
    oci::Digest,
    registry::{Authentication, Config, Deletion, Kind, Remote},
    wire::{Body, ExchangeError, collect},
};

fn anonymous(peer: &Peer, config: &Config) -> Remote {
    Remote::new(
        &plain_endpoint(&peer.address),
        Authentication::Anonymous,
        config,
    )
    .unwrap()
}

async fn exchange(remote: &Remote, method: Method, body: Body) -> Result<u16, ExchangeError> {
    let request = Request::builder()
        .method(method)
        .uri("/v2/x")
        .body(body)
        .unwrap();
    let answer = remote.exchange().oneshot(request).await?;
    let status = answer.status().as_u16();
    collect(answer.into_body(), 1000).await.unwrap();
    Ok(status)
}

/// Answers the first request on each connection; closes the connection at the second.
async fn forgetful_peer() -> Peer {
    Peer::start(|seen| match seen.turn {
        0 => Reply::Keep(answer("200 OK", "", "")),
        _second => Reply::Close(String::new()),
    })
    .await
}

#[tokio::test]
async fn a_read_survives_a_pooled_connection_that_died_and_a_write_does_not() {
    for (method, survives) in [
        (Method::GET, true),
        (Method::HEAD, true),
        (Method::DELETE, false),
        (Method::PUT, false),
        (Method::POST, false),
    ] {
        let peer = forgetful_peer().await;
        let remote = anonymous(&peer, &Config::default());
        assert_eq!(
            exchange(&remote, Method::GET, Body::Empty).await.unwrap(),
            200
        );
        let second = exchange(&remote, method.clone(), Body::Empty).await;
        match second {
            Ok(status) => assert!(survives && status == 200, "{method}"),
            Err(error) => assert!(!survives && !error.nothing_sent(), "{method}: {error}"),
        }
        assert_eq!(peer.seen().len(), if survives { 3 } else { 2 }, "{method}");
    }
}

#[tokio::test]
async fn a_read_is_tried_twice_and_not_for_ever() {
    let peer = Peer::start(|_seen| Reply::Close(String::new())).await;
    let remote = anonymous(&peer, &Config::default());
    let error = exchange(&remote, Method::GET, Body::Empty)
        .await
        .unwrap_err();
    assert!(
        matches!(error, ExchangeError::Interrupted { .. }),
        "{error}"
    );
    assert_eq!(peer.seen().len(), 2);
}

#[tokio::test]
async fn a_refused_connection_has_sent_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let remote = Remote::challenged(&plain_endpoint(&address), &Config::default()).unwrap();
    let error = exchange(&remote, Method::PUT, "body".into())
        .await
        .unwrap_err();
    assert!(error.nothing_sent());
    assert!(
        error
            .to_string()
            .starts_with(&format!("cannot reach {address}: ")),
        "{error}"
    );
}

#[tokio::test]
async fn silence_is_bounded() {
    let peer = Peer::start(|_seen| Reply::Silence).await;
    let config = Config {
        idle_timeout_seconds: 0,
        commit_timeout_seconds: 0,
        ..Config::default()
    };
    for method in [Method::GET, Method::PUT] {
        let error = exchange(&anonymous(&peer, &config), method, "x".into())
            .await
            .unwrap_err();
        assert!(!error.nothing_sent(), "{error}");
        assert!(error.to_string().contains("no answer in time"), "{error}");
    }
}

#[tokio::test]
async fn a_slow_body_is_no_silence() {
    let peer = Peer::start(|_seen| Reply::Keep(answer("200 OK", "", ""))).await;
    let config = Config {
        idle_timeout_seconds: 1,
        ..Config::default()
    };
    let (mut sender, body) = http_body_util::channel::Channel::<bytes::Bytes>::new(1);
    let feed = async move {
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            sender.send_data("x".into()).await.unwrap();
        }
    };
    let mut request = Request::put("/v2/x")
        .header("content-length", 4)
        .body(Body::boxed(body))
        .unwrap();
    request
        .headers_mut()
        .insert("host", "client.example".parse().unwrap());
    let remote = anonymous(&peer, &config);
    let (answer, ()) = tokio::join!(remote.exchange().oneshot(request), feed);
    assert_eq!(answer.unwrap().status(), 200);
    let seen = peer.seen();
    assert!(
        seen[0].ends_with("xxxx") && !seen[0].contains("client.example"),
        "{}",
        seen[0]
    );
}

#[tokio::test]
async fn a_body_that_stalls_breaks_the_exchange_off() {
    let peer = Peer::start(|_seen| Reply::Silence).await;
    let config = Config {
        idle_timeout_seconds: 0,
        commit_timeout_seconds: 0,
        ..Config::default()
    };
    let (_sender, body) = http_body_util::channel::Channel::<bytes::Bytes>::new(1);
    let remote = anonymous(&peer, &config);
    let error = exchange(&remote, Method::PUT, Body::boxed(body))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ExchangeError::Interrupted { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_registry_that_stops_reading_is_given_up() {
    let peer = Peer::start(|_seen| Reply::Silence).await;
    let config = Config {
        idle_timeout_seconds: 1,
        ..Config::default()
    };
    let piece = bytes::Bytes::from(vec![0; 64 * 1024]);
    let endless = futures_util::stream::repeat_with(move || {
        Ok::<_, std::io::Error>(http_body::Frame::data(piece.clone()))
    });
    let body = Body::boxed(http_body_util::StreamBody::new(endless));
    let error = exchange(&anonymous(&peer, &config), Method::PUT, body)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no answer in time"), "{error}");
}

#[tokio::test]
async fn too_many_requests_at_once_are_refused_before_anything_is_sent() {
    let peer = Peer::start(|_seen| Reply::Silence).await;
    let config = Config {
        max_concurrent_requests: 1,
        max_wait_ms: 0,
        ..Config::default()
    };
    let remote = anonymous(&peer, &config);
    let waiting = tokio::spawn({
        let remote = remote.clone();
        async move { exchange(&remote, Method::GET, Body::Empty).await }
    });
    while peer.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    let error = exchange(&remote, Method::GET, Body::Empty)
        .await
        .unwrap_err();
    assert!(matches!(error, ExchangeError::Overloaded { .. }) && error.nothing_sent());
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    // The slot came back, so this one is sent, and meets the silence.
    let sent = exchange(&remote, Method::GET, Body::Empty);
    assert!(
        tokio::time::timeout(Duration::from_millis(200), sent)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_busy_registry_says_when_to_come_back() {
    let peer = Peer::start(|_seen| {
        let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#;
        Reply::Keep(answer("429 Too Many Requests", "Retry-After: 17\r\n", body))
    })
    .await;
    let client = client(&plain_endpoint(&peer.address));
    let error = client
        .head_manifest(&name("a/b"), &tag("v1"))
        .await
        .unwrap_err();
    let retry_after = Some(Duration::from_secs(17));
    assert_eq!(error.kind(), Kind::TooManyRequests { retry_after });
    assert!(error.retryable());
}

#[tokio::test]
async fn a_truncated_blob_is_an_error_and_not_a_short_blob() {
    let peer = Peer::start(|_seen| {
        Reply::Close("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive5".into())
    })
    .await;
    let client = client(&plain_endpoint(&peer.address));
    let blob = client
        .blob(&name("a/b"), &Digest::sha256(b"x"))
        .await
        .unwrap();
    assert!(collect(blob.body, 100).await.is_err());
    let error = client.manifest(&name("a/b"), &tag("v1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted, "{error}");
}

#[tokio::test]
async fn a_manifest_that_is_not_what_its_digest_says_is_corrupt() {
    let peer = Peer::start(|_seen| {
        let header = format!("Docker-Content-Digest: {}\r\n", Digest::sha256(b"other"));
        Reply::Keep(answer("200 OK", &header, "{}"))
    })
    .await;
    let client = client(&plain_endpoint(&peer.address));
    let error = client.manifest(&name("a/b"), &tag("v1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
}

#[tokio::test]
async fn a_push_that_is_only_said_to_be_stored_is_an_error() {
    let peer = Peer::start(|seen| {
        if seen.starts_with("PUT") {
            Reply::Keep(answer("200 OK", "", ""))
        } else {
            Reply::Keep(answer("404 Not Found", "", ""))
        }
    })
    .await;
    let client = client(&plain_endpoint(&peer.address));
    let error = put_v1(&client, "a/b", "{}".into()).await.unwrap_err();
    assert!(error.to_string().contains("does not have it"), "{error}");
}

#[tokio::test]
async fn storage_elsewhere_is_followed_without_credentials() {
    let storage = Peer::start(|_seen| Reply::Keep(answer("200 OK", "", "content"))).await;
    let location = format!("Location: http://{}/bucket/key?sig=1\r\n", storage.address);
    let peer =
        Peer::start(move |_seen| Reply::Keep(answer("307 Temporary Redirect", &location, "")))
            .await;
    let mut endpoint = plain_endpoint(&peer.address);
    endpoint.credential = Some(super::alice("secret"));
    let authentication = Authentication::Basic {
        username: "alice".into(),
        password: crate::secret::Secret::new("secret"),
    };
    let remote = Remote::new(&endpoint, authentication, &Config::default()).unwrap();
    let client = crate::registry::Client::new(remote.exchange());
    let blob = client
        .blob(&name("a/b"), &Digest::sha256(b"content"))
        .await
        .unwrap();
    assert_eq!(collect(blob.body, 100).await.unwrap(), "content");
    assert!(
        peer.seen()[0]
            .to_ascii_lowercase()
            .contains("authorization: basic")
    );
    let at_storage = storage.seen().join("").to_ascii_lowercase();
    assert!(
        at_storage.starts_with("get /bucket/key?sig=1 "),
        "{at_storage}"
    );
    assert!(!at_storage.contains("authorization"), "{at_storage}");
}

#[tokio::test]
async fn an_upload_that_goes_on_elsewhere_takes_no_credentials_along() {
    let storage = Peer::start(|_seen| Reply::Keep(answer("201 Created", "", ""))).await;
    let location = format!("Location: http://{}/session/1\r\n", storage.address);
    let peer = Peer::start(move |seen| {
        let is_allowed = seen.has("authorization: basic ");
        Reply::Keep(if is_allowed {
            answer("202 Accepted", &location, "")
        } else {
            let challenge = "WWW-Authenticate: Basic realm=\"r\"\r\n";
            answer("401 Unauthorized", challenge, "")
        })
    })
    .await;
    let mut endpoint = plain_endpoint(&peer.address);
    endpoint.credential = Some(super::alice("secret"));
    let client = client(&endpoint);
    let (repository, digest) = (name("a/b"), Digest::sha256(b"content"));
    let put = client.put_blob(&repository, &digest, 7, "content".into());
    put.await.unwrap();
    let at_storage = storage.seen().join("").to_ascii_lowercase();
    assert!(
        at_storage.starts_with("put /session/1?digest="),
        "{at_storage}"
    );
    assert!(!at_storage.contains("authorization"), "{at_storage}");
}

#[tokio::test]
async fn a_path_prefix_is_put_before_requests_and_taken_off_locations() {
    let peer = Peer::start(|seen| {
        if seen.starts_with("POST /mirror/v2/a/b/blobs/uploads/ ") {
            Reply::Keep(answer(
                "202 Accepted",
                "Location: /mirror/v2/a/b/blobs/uploads/1?s=x%3D\r\n",
                "",
            ))
        } else if seen.starts_with("PUT /mirror/v2/a/b/blobs/uploads/1?s=x%3D&digest=sha256%3A") {
            Reply::Keep(answer("201 Created", "", ""))
        } else if seen.starts_with("DELETE /mirror/v2/a/b/") {
            Reply::Keep(answer("202 Accepted", "", ""))
        } else {
            Reply::Keep(answer("404 Not Found", "", ""))
        }
    })
    .await;
    let endpoint = plain_endpoint(&format!("{}/mirror", peer.address));
    let client = client_with(&endpoint, &Config::default());
    let digest = Digest::sha256(b"content");
    client
        .put_blob(&name("a/b"), &digest, 7, "content".into())
        .await
        .unwrap();
    let deleted = client
        .delete_manifest(&name("a/b"), &tag("v1"))
        .await
        .unwrap();
    assert_eq!(deleted, Deletion::Deleted);
}
