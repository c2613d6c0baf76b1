//! What a request meets on its way to the service and back.

use super::*;

const CLOSE: &str = "Host: r\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn the_service_is_told_who_asks() {
    let gateway = Gateway::plain(Config::default()).await;
    let answer = gateway
        .send(
            "GET /v2/?n=1 HTTP/1.1\r\nX-Request-Id: abc\r\nHost: r:5\r\nConnection: close\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.ends_with("GET /v2/?n=1 from 127.0.0.1 by http://r:5 id abc read 0\n"),
        "{answer}"
    );
    assert!(answer.contains("x-request-id: abc\r\n"), "{answer}");
}

#[tokio::test]
async fn a_harmful_request_id_is_replaced() {
    let gateway = Gateway::plain(Config::default()).await;
    let answer = gateway
        .send(format!("GET / HTTP/1.1\r\nX-Request-Id: a b\r\n{CLOSE}"))
        .await;
    let id = answer
        .lines()
        .find_map(|line| line.strip_prefix("x-request-id: "))
        .unwrap();
    assert_eq!(id.len(), 32, "{answer}");
    assert!(answer.contains(&format!(" id {id} ")), "{answer}");
}

#[tokio::test]
async fn a_trusted_proxy_speaks_for_its_client() {
    let forwarded = format!(
        "GET / HTTP/1.1\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: registry.example.com\r\n{CLOSE}"
    );
    let trusting = Config {
        trusted_proxies: vec!["127.0.0.0/8".to_owned()].try_into().unwrap(),
        ..Config::default()
    };
    for (config, told) in [
        (Config::default(), "from 127.0.0.1 by http://r id"),
        (
            trusting,
            "from 203.0.113.9 by https://registry.example.com id",
        ),
    ] {
        let answer = Gateway::plain(config).await.send(&forwarded).await;
        assert!(answer.contains(told), "{answer}");
    }
}

#[tokio::test]
async fn ambiguous_requests_are_refused_with_the_error_body_of_registries() {
    let gateway = Gateway::plain(Config::default()).await;
    for head in [
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        "GET http://evil/v2/ HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n",
    ] {
        let answer = gateway.send(head).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(
            answer.contains("content-type: application/json\r\n"),
            "{answer}"
        );
        assert!(answer.contains("x-request-id: "), "{answer}");
        assert!(
            answer.contains(r#"{"errors":[{"code":"UNSUPPORTED","#),
            "{answer}"
        );
    }
    let answer = gateway
        .send("CONNECT r:443 HTTP/1.1\r\nHost: r:443\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

/// RFC 9112 §6.1: the chunked body counts, and the connection closes after the answer, so that
/// nothing can hide behind a length that somebody else may have believed.
#[tokio::test]
async fn two_lengths_cannot_smuggle_a_second_request() {
    let gateway = Gateway::plain(Config::default()).await;
    for lengths in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
    ] {
        let answer = gateway
            .send(format!(
                "POST /first HTTP/1.1\r\nHost: r\r\n{lengths}\r\n\r\n\
                 3\r\nabc\r\n0\r\n\r\nGET /second HTTP/1.1\r\nHost: r\r\n\r\n"
            ))
            .await;
        assert!(!answer.contains("/second"), "{answer}");
        assert!(
            answer.contains("read 3\n") || answer.starts_with("HTTP/1.1 400 "),
            "{answer}"
        );
    }
    for lengths in [
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: +3",
        "Transfer-Encoding: gzip",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: r\r\n{lengths}\r\n\r\nabc");
        let answer = gateway.send(request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{lengths}: {answer}");
    }
}

#[tokio::test]
async fn behind_trailers_the_connection_goes_on() {
    let gateway = Gateway::plain(Config::default()).await;
    let chunked = "POST /relay HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n0\r\nX-Checksum: 1\r\n\r\n";
    let answer = gateway
        .send(format!("{chunked}GET /second HTTP/1.1\r\n{CLOSE}"))
        .await;
    assert!(answer.contains("GET /second "), "{answer}");
}

#[tokio::test]
async fn headers_up_to_64_kib_are_read() {
    let gateway = Gateway::plain(Config::default()).await;
    for (bytes, status) in [(60 << 10, "200"), (70 << 10, "431")] {
        let long = "a".repeat(bytes);
        let answer = gateway
            .send(format!(
                "GET / HTTP/1.1\r\nAuthorization: {long}\r\n{CLOSE}"
            ))
            .await;
        let line = answer.lines().next().unwrap_or_default();
        assert!(line.contains(status), "{bytes} bytes: {line}");
    }
}

#[tokio::test]
async fn a_panic_is_answered_with_the_request_id() {
    let gateway = Gateway::plain(Config::default()).await;
    let answer = gateway
        .send(format!(
            "GET /panic HTTP/1.1\r\nX-Request-Id: p1\r\n{CLOSE}"
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(answer.contains(r#""code":"UNKNOWN""#), "{answer}");
    assert!(answer.contains("request id p1"), "{answer}");
    assert!(!answer.contains("asked to"), "{answer}");
    assert!(
        gateway
            .send(format!("GET / HTTP/1.1\r\n{CLOSE}"))
            .await
            .contains(" 200 ")
    );
}

#[tokio::test]
async fn a_body_is_asked_for_only_when_the_service_reads_it() {
    let gateway = Gateway::plain(Config::default()).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head = "Host: r\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\n";
    stream
        .write_all(format!("PUT /read HTTP/1.1\r\n{head}").as_bytes())
        .await
        .unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("read 3\n"), "{answer}");

    let answer = gateway
        .send(format!("PUT /refuse HTTP/1.1\r\n{head}"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn an_upload_refused_early_still_sees_why() {
    let gateway = Gateway::plain(Config::default()).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let upload = tokio::spawn(async move {
        let head = "PATCH /refuse HTTP/1.1\r\nHost: r\r\nContent-Length: 8388608\r\n\r\n";
        write.write_all(head.as_bytes()).await?;
        for _ in 0..128 {
            write.write_all(&vec![0; 64 << 10]).await?;
        }
        write.shutdown().await
    });
    upload.await.unwrap().unwrap();
    let mut answer = String::new();
    read.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn a_large_answer_arrives_whole_before_the_connection_closes() {
    let gateway = Gateway::tls().await;
    let mut stream = gateway.connect_tls(&["http/1.1"]).await;
    let request = format!("GET /large HTTP/1.1\r\n{CLOSE}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.len() > LARGE, "{} bytes", answer.len());
}

#[tokio::test]
async fn every_exchange_is_logged_and_counted() {
    let gateway = Gateway::plain(Config::default()).await;
    gateway
        .send(
            "PUT /u?_state=secret HTTP/1.1\r\nHost: r\r\nX-Request-Id: l1\r\n\
             Content-Length: 5\r\nConnection: close\r\n\r\nabcde",
        )
        .await;
    let mut registry = prometheus_client::registry::Registry::default();
    gateway.metrics.register(&mut registry);
    let log = gateway.log().await;
    let line: serde_json::Value = serde_json::from_str(log.trim_end()).unwrap();
    assert_eq!(line["method"], "PUT");
    assert_eq!(line["path"], "/u?_state=[redacted]");
    assert_eq!(line["status"], 200);
    assert_eq!(line["bytes_in"], 5);
    assert!(line["bytes_out"].as_u64().unwrap() > 20, "{line}");
    assert_eq!(line["user.name"], "mary");
    assert_eq!(line["request.id"], "l1");
    let page = crate::telemetry::exposition(&registry);
    for counted in [
        r#"tidegate_server_requests_total{method="PUT",status="2xx"} 1"#,
        "tidegate_server_received_bytes_total 5",
        "tidegate_server_accepted_connections_total 1",
        "tidegate_server_connections 0",
    ] {
        assert!(page.contains(counted), "{counted} is not in {page}");
    }
}

#[tokio::test]
async fn a_client_that_gives_up_is_logged_as_499() {
    let gateway = Gateway::plain(Config::default()).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head = b"PUT / HTTP/1.1\r\nHost: r\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    drop(stream);
    let log = gateway.log().await;
    let line: serde_json::Value = serde_json::from_str(log.trim_end()).unwrap();
    assert!(line["status"] == 499 || line["status"] == 200, "{line}");
    assert_eq!(line["user.name"], "mary");
}

#[tokio::test]
async fn answers_have_the_headers_of_the_configuration() {
    let lines = [
        "X-Frame-Options: DENY",
        "Strict-Transport-Security: max-age=1",
    ];
    let config = Config {
        response_headers: lines.map(str::to_owned).to_vec().try_into().unwrap(),
        ..Config::default()
    };
    let gateway = Gateway::start(config.clone(), tls::Mode::Auto).await;
    let mut stream = gateway.connect_tls(&["http/1.1"]).await;
    let request = format!("GET / HTTP/1.1\r\n{CLOSE}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("x-frame-options: DENY\r\n"), "{answer}");
    assert!(
        answer.contains("strict-transport-security: max-age=1\r\n"),
        "{answer}"
    );

    let answer = Gateway::plain(config).await.send(request).await;
    assert!(answer.contains("x-frame-options: DENY\r\n"), "{answer}");
    assert!(!answer.contains("strict-transport-security"), "{answer}");
}

#[tokio::test]
async fn who_checks_is_told_how_a_request_arrives() {
    let config = Config {
        trusted_proxies: vec!["127.0.0.1".to_owned()].try_into().unwrap(),
        ..Config::default()
    };
    let gateway = Gateway::plain(config).await;
    let asked =
        format!("GET / HTTP/1.1\r\nTidegate-Check: 1\r\nX-Forwarded-Proto: https\r\n{CLOSE}");
    let answer = gateway.send(asked).await;
    assert!(
        answer.contains("tidegate-seen: https://r; forwarded=believed\r\n"),
        "{answer}"
    );
    let answer = gateway.send(format!("GET / HTTP/1.1\r\n{CLOSE}")).await;
    assert!(!answer.contains("tidegate-seen"), "{answer}");
}

#[tokio::test]
async fn the_redirecting_socket_keeps_path_and_query() {
    let external = Config {
        external_url: Some("https://r.example.com".to_owned().try_into().unwrap()),
        ..Config::default()
    };
    for (config, host) in [(Config::default(), None), (external, Some("r.example.com"))] {
        let config = Config {
            redirect_listen: Some(([127, 0, 0, 1], 0).into()),
            ..config
        };
        let gateway = Gateway::start(config, tls::Mode::Auto).await;
        let request =
            "GET /v2/a/tags/list?n=1 HTTP/1.1\r\nHost: me:80\r\nConnection: close\r\n\r\n";
        let answer = send(gateway.redirect.unwrap(), request).await;
        assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
        let host = host.map_or(format!("me:{}", gateway.address.port()), str::to_owned);
        let location = format!("location: https://{host}/v2/a/tags/list?n=1\r\n");
        assert!(answer.contains(&location), "{answer}");
    }
}
