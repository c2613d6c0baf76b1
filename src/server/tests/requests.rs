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
