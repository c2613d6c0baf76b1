//! Behind the real listener: what becomes of bodies when a request is refused early.

use std::{convert::Infallible, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::world::{PATIENCE, Stub, World, respond};
use crate::server::{self, Listener, Shutdown};

/// The world's proxy on a port of its own, over plain HTTP.
async fn serve(world: &World) -> SocketAddr {
    let config = server::Config {
        listen: ([127, 0, 0, 1], 0).into(),
        ..server::Config::default()
    };
    let listener = Listener::bind(&config, None).await.unwrap();
    let address = listener.local_addr();
    let proxy = world.proxy.clone();
    let service = tower::service_fn(move |request| {
        let proxy = proxy.clone();
        async move { Ok::<_, Infallible>(proxy.handle(request).await) }
    });
    tokio::spawn(listener.serve(service, Shutdown::default()));
    address
}

/// Sends a head and pieces of a body as far as the connection takes them, then reads to the end.
async fn exchange(address: SocketAddr, head: &str, body: &[u8]) -> String {
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    let head = head.to_owned();
    let body = body.to_owned();
    let sender = tokio::spawn(async move {
        writer.write_all(head.as_bytes()).await.unwrap();
        // The gateway may have closed by now, which is its right.
        let _closed_early = writer.write_all(&body).await;
        writer
    });
    let mut answer = Vec::new();
    let read = async {
        let mut buffer = [0; 4096];
        while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
            match reader.read(&mut buffer).await {
                Ok(read @ 1..) => answer.extend_from_slice(&buffer[..read]),
                _ended => break,
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap();
    sender.abort();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_refused_upload_gets_its_answer_while_it_is_being_sent() {
    let world = World::new(Stub::default().exchange(|_| respond(202, &[]))).await;
    let address = serve(&world).await;
    let path = "/v2/team/app/blobs/uploads/1";
    for (length, sent) in [(1500, 1500), (200_000, 200_000), (1 << 30, 8 << 20)] {
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nHost: reg.example\r\nContent-Length: {length}\r\n\r\n"
        );
        let answer = exchange(address, &head, &vec![7; sent]).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{length}: {answer}");
        assert!(
            answer.contains("www-authenticate: Bearer realm=\"http://reg.example/"),
            "{answer}"
        );
    }
    let chunked = format!("PATCH {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let answer = exchange(address, &chunked, b"5\r\nhello\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[tokio::test]
async fn continue_is_said_to_who_is_let_in_and_to_nobody_else() {
    let stub = Stub::default();
    let world = World::new(stub.exchange(|_| respond(202, &[]))).await;
    let address = serve(&world).await;
    let head = |authorization: &str| {
        format!(
            "PATCH /v2/team/app/blobs/uploads/1 HTTP/1.1\r\nHost: a\r\n{authorization}\
             Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
    };
    let refused = exchange(address, &head(""), b"").await;
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    let token = world.bearer("alice", &["team/app:pull,push"]);
    let allowed = exchange(address, &head(&format!("Authorization: {token}\r\n")), b"").await;
    assert!(allowed.starts_with("HTTP/1.1 100 "), "{allowed}");
}
