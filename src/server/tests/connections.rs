//! Handshakes, protocols and limits of connections.

use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: r\r\n\r\n";

#[tokio::test]
async fn http1_over_tls_keeps_the_connection() {
    let gateway = Gateway::tls().await;
    let mut stream = gateway.connect_tls(&["http/1.1"]).await;
    for _ in 0..2 {
        let answer = round(&mut stream).await;
        assert!(answer.contains("by https://r id"), "{answer}");
    }
    assert_eq!(gateway.metrics.accepted_connections.get(), 1);
}

/// Sends one request and reads up to the end of its answer.
async fn round<I>(stream: &mut I) -> String
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    stream.write_all(GET).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with("read 0\n") {
        let mut some = [0; 1024];
        let read = stream.read(&mut some).await.unwrap();
        assert!(read > 0, "closed after {answer:?}");
        answer.push_str(std::str::from_utf8(&some[..read]).unwrap());
    }
    answer
}

#[tokio::test]
async fn http2_is_spoken_when_offered() {
    let gateway = Gateway::tls().await;
    let stream = gateway.connect_tls(&["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(
        over_http2(stream, "https://r/v2/").await,
        "GET /v2/ ... by https://r"
    );
}

#[tokio::test]
async fn a_head_over_http2_has_no_body() {
    let gateway = Gateway::tls().await;
    let stream = TokioIo::new(gateway.connect_tls(&["h2"]).await);
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
            .await
            .unwrap();
    let driver = tokio::spawn(connection);
    let request = Request::head("https://r/v2/").body(Body::Empty).unwrap();
    let response = client.send_request(request).await.unwrap();
    let length = response.headers()["content-length"].to_str().unwrap();
    assert!(length.parse::<u64>().unwrap() > 0, "what a GET would have");
    // The client would refuse the frames of a body.
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.is_empty());
    drop(client);
    driver.await.unwrap().unwrap();
}

#[tokio::test]
async fn http1_0_is_an_old_name_of_what_is_spoken() {
    let gateway = Gateway::tls().await;
    let mut stream = gateway.connect_tls(&["http/1.0"]).await;
    let request = b"GET / HTTP/1.0\r\nHost: r\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
}

#[tokio::test]
async fn http2_is_understood_on_a_plain_socket() {
    let gateway = Gateway::plain(Config::default()).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    assert_eq!(
        over_http2(stream, "http://r/v2/").await,
        "GET /v2/ ... by http://r"
    );
}

/// Asks for `uri` and answers the start of what the service was told.
async fn over_http2<I>(stream: I, uri: &str) -> String
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let driver = tokio::spawn(connection);
    let request = Request::get(uri).body(Body::Empty).unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    assert!(response.headers().contains_key("x-request-id"));
    assert!(!response.headers().contains_key("connection"));
    let told = response.into_body().collect().await.unwrap().to_bytes();
    drop(client);
    driver.await.unwrap().unwrap();
    let told = String::from_utf8(told.to_vec()).unwrap();
    let (request, rest) = told.split_once(" from ").unwrap();
    let (_, rest) = rest.split_once(" by ").unwrap();
    let (origin, _) = rest.split_once(" id ").unwrap();
    format!("{request} ... by {origin}")
}

#[tokio::test]
async fn http2_headers_have_a_limit() {
    let gateway = Gateway::plain(Config::default()).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut client, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    for (bytes, status) in [(60 << 10, 200), (70 << 10, 431)] {
        let request = Request::get("http://r/")
            .header("authorization", "a".repeat(bytes))
            .body(Body::Empty)
            .unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{bytes} bytes");
    }
}

#[tokio::test]
async fn plain_http_on_the_tls_port_is_told_to_use_https() {
    let gateway = Gateway::tls().await;
    let answer = gateway.send(GET).await;
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("Content-Length: {}", body.len())),
        "{answer}"
    );
    assert!(body.contains("https://"), "{answer}");
}

#[tokio::test]
async fn a_client_comes_back_with_its_ticket() {
    let gateway = Gateway::tls().await;
    let mut config = tls::client_config(&gateway.trust()).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = connector.connect(name, stream).await.unwrap();
        // Reading the answer takes in the ticket, which follows the handshake.
        round(&mut stream).await;
        kinds.push(stream.get_ref().1.handshake_kind());
    }
    assert_eq!(
        kinds,
        [
            Some(rustls::HandshakeKind::Full),
            Some(rustls::HandshakeKind::Resumed)
        ]
    );
}

/// A request sent before the handshake ends could be sent again by whoever saw it.
#[tokio::test]
async fn a_ticket_is_good_for_no_early_data() {
    let gateway = Gateway::tls().await;
    let mut config = tls::client_config(&gateway.trust()).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.enable_early_data = true;
    let config = Arc::new(config);
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let connector = TlsConnector::from(config.clone());
    let mut stream = connector.connect(name.clone(), stream).await.unwrap();
    round(&mut stream).await;
    let mut again = rustls::ClientConnection::new(config, name).unwrap();
    assert!(again.early_data().is_none());
}

#[tokio::test]
async fn silent_clients_are_let_go() {
    let impatient = Config {
        handshake_timeout_seconds: 0,
        ..Config::default()
    };
    for mode in [tls::Mode::Auto, tls::Mode::Off] {
        let gateway = Gateway::start(impatient.clone(), mode).await;
        assert_eq!(gateway.send("").await, "", "{mode:?}");
    }
    let no_request = Config {
        header_timeout_seconds: 0,
        ..Config::default()
    };
    let gateway = Gateway::start(no_request, tls::Mode::Auto).await;
    let mut stream = gateway.connect_tls(&["http/1.1"]).await;
    let mut nothing = Vec::new();
    // Whether a TLS goodbye is said is of no interest.
    let _ = stream.read_to_end(&mut nothing).await;
    assert!(nothing.is_empty());
}

#[tokio::test]
async fn no_more_connections_than_allowed_are_served() {
    let gateway = Gateway::plain(Config {
        max_connections: 1,
        ..Config::default()
    })
    .await;
    let mut first = TcpStream::connect(gateway.address).await.unwrap();
    round(&mut first).await;
    let mut second = TcpStream::connect(gateway.address).await.unwrap();
    second.write_all(GET).await.unwrap();
    round(&mut first).await;
    assert_eq!(gateway.metrics.accepted_connections.get(), 1);
    drop(first);
    let mut one = [0];
    second.read_exact(&mut one).await.unwrap();
    assert_eq!(gateway.metrics.accepted_connections.get(), 2);
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_without_dropping_connections() {
    let gateway = Gateway::tls().await;
    let before = gateway.trust();
    let mut old = gateway.connect_tls(&["http/1.1"]).await;
    let ca = gateway.tls.as_ref().unwrap().ca_certificate().unwrap();
    std::fs::remove_dir_all(ca.parent().unwrap()).unwrap();
    gateway.tls.as_ref().unwrap().reload().unwrap();
    assert_ne!(gateway.trust(), before);
    gateway.connect_tls(&["http/1.1"]).await;
    round(&mut old).await;
}

#[tokio::test]
async fn a_taken_address_is_named_with_the_remedy() {
    let gateway = Gateway::plain(Config::default()).await;
    let config = Config {
        listen: gateway.address,
        ..Config::default()
    };
    let error = Listener::bind(&config, None).await.unwrap_err().to_string();
    let address = gateway.address;
    assert_eq!(
        error,
        format!(
            "cannot listen on {address} (server.listen): address already in use; \
             stop the program that listens there or choose another port"
        )
    );
}
