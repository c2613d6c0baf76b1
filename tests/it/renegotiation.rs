//! A client that wants to shake hands again and again.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

use crate::harness::Gateway;

/// `R` on a line of its own is openssl's word for it; only TLS 1.2 has renegotiation.
#[tokio::test]
async fn tls_is_not_negotiated_a_second_time() {
    let gateway = Gateway::start().await;
    let mut client = Command::new("openssl")
        .args(["s_client", "-tls1_2", "-connect", &gateway.host()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = client.stdin.take().unwrap();
    let mut said = BufReader::new(client.stdout.take().unwrap()).lines();
    while let Some(line) = said.next_line().await.unwrap() {
        if line.contains("Extended master secret") {
            break;
        }
    }
    stdin.write_all(b"R\n").await.unwrap();
    let mut errors = String::new();
    let mut stderr = client.stderr.take().unwrap();
    stderr.read_to_string(&mut errors).await.unwrap();
    assert!(errors.contains("RENEGOTIATING"), "{errors}");
    assert!(!client.wait().await.unwrap().success(), "{errors}");
    gateway.http().get("/healthz").await.expect(200);
}
