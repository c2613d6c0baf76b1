//! Behind a balancer that passes bytes on.

use std::time::Duration;

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n";

fn behind(networks: &[&str]) -> Config {
    let networks: Vec<String> = networks.iter().map(|text| (*text).to_owned()).collect();
    Config {
        proxy_protocol_from: networks.try_into().unwrap(),
        ..Config::default()
    }
}

#[tokio::test]
async fn the_client_that_the_balancer_names_is_the_peer() {
    let gateway = Gateway::plain(behind(&["127.0.0.1"])).await;
    for (header, client) in [
        ("PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n", "192.0.2.7"),
        ("PROXY TCP6 2001:db8::7 ::1 12345 443\r\n", "2001:db8::7"),
        ("PROXY UNKNOWN\r\n", "127.0.0.1"),
    ] {
        let answer = gateway.send(format!("{header}{GET}")).await;
        assert!(answer.contains(&format!(" from {client} by ")), "{answer}");
    }
    let log = gateway.log().await;
    assert!(log.contains(r#""remote":"192.0.2.7""#), "{log}");
}

#[tokio::test]
async fn tls_follows_the_header() {
    let gateway = Gateway::start(behind(&["127.0.0.1"]), tls::Mode::Auto).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x01\x30\x39\x01\xbb";
    stream.write_all(header).await.unwrap();
    let config = tls::client_config(&gateway.trust()).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, stream).await.unwrap();
    stream.write_all(GET.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains(" from 192.0.2.7 by https://r "), "{answer}");
}

#[tokio::test]
async fn a_missing_or_wrong_header_closes_the_connection() {
    let gateway = Gateway::plain(behind(&["127.0.0.0/8"])).await;
    for sent in [
        GET.to_owned(),
        format!("PROXY TCP4 somewhere 10.0.0.1 1 2\r\n{GET}"),
        format!("PROXY {}", "A".repeat(200)),
    ] {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer).await;
        assert_eq!(answer, b"", "{sent}");
    }
    let log = gateway.log().await;
    assert_eq!(log, "", "no request was read");
}

#[tokio::test]
async fn from_elsewhere_the_header_is_nothing_but_a_malformed_request() {
    let gateway = Gateway::plain(behind(&["10.0.0.0/8"])).await;
    let answer = gateway
        .send(format!("PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n{GET}"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_balancer_that_does_not_finish_its_header_is_let_go() {
    let config = Config {
        handshake_timeout_seconds: 1,
        ..behind(&["127.0.0.1"])
    };
    let gateway = Gateway::plain(config).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(b"PROXY TCP4 ").await.unwrap();
    let mut nothing = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut nothing));
    let _reset = ended.await.unwrap();
    assert_eq!(nothing, b"");
}
