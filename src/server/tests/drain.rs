//! How the gateway ends.

use super::*;

#[tokio::test]
async fn an_upload_in_flight_finishes() {
    let gateway = Gateway::plain(Config::default()).await;
    let mut upload = begin_upload(&gateway).await;
    gateway.shutdown.drain();
    while TcpStream::connect(gateway.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    upload.write_all(b"abc").await.unwrap();
    let mut answer = String::new();
    upload.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("read 3\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    gateway.served.await.unwrap();
}

#[tokio::test]
async fn an_upload_in_flight_over_http2_finishes() {
    let gateway = Gateway::plain(Config::default()).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut client, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let (mut sender, body) = http_body_util::channel::Channel::<bytes::Bytes>::new(1);
    let response = client.send_request(Request::put("http://r/").body(body).unwrap());
    sender
        .send_data(bytes::Bytes::from_static(b"a"))
        .await
        .unwrap();
    let response = tokio::spawn(response);
    while gateway.metrics.requests_in_flight.get() == 0 {
        tokio::task::yield_now().await;
    }
    gateway.shutdown.drain();
    while TcpStream::connect(gateway.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    sender
        .send_data(bytes::Bytes::from_static(b"bc"))
        .await
        .unwrap();
    drop(sender);
    let answer = response.await.unwrap().unwrap().into_body();
    let answer = wire::collect(answer, 4096).await.unwrap();
    assert!(answer.ends_with(b"read 3\n"), "{answer:?}");
    connection.await.unwrap().unwrap();
    gateway.served.await.unwrap();
}

/// A connection whose request is being read by the service, which waits for three bytes.
async fn begin_upload(gateway: &Gateway) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head = b"PUT / HTTP/1.1\r\nHost: r\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    stream
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let gateway = Gateway::tls().await;
    let mut http1 = gateway.connect_tls(&["http/1.1"]).await;
    let http2 = gateway.connect_tls(&["h2"]).await;
    let executor = hyper_util::rt::TokioExecutor::new();
    let (_client, http2) = hyper::client::conn::http2::handshake::<_, _, Body>(
        executor,
        hyper_util::rt::TokioIo::new(http2),
    )
    .await
    .unwrap();
    gateway.shutdown.drain();
    assert_eq!(http1.read(&mut [0]).await.unwrap(), 0);
    http2.await.unwrap();
    gateway.served.await.unwrap();
}

#[tokio::test]
async fn aborting_cuts_what_is_in_flight() {
    let gateway = Gateway::plain(Config::default()).await;
    let mut upload = begin_upload(&gateway).await;
    gateway.shutdown.drain();
    gateway.shutdown.abort();
    gateway.served.await.unwrap();
    let mut answer = String::new();
    let _ = upload.read_to_string(&mut answer).await;
    assert_eq!(answer, "");
}

#[tokio::test]
async fn draining_has_an_end() {
    let gateway = Gateway::plain(Config {
        drain_timeout_seconds: 0,
        ..Config::default()
    })
    .await;
    let _upload = begin_upload(&gateway).await;
    gateway.shutdown.drain();
    gateway.served.await.unwrap();
}
