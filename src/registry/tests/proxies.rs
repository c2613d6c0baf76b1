//! Targets behind a proxy: a tiny CONNECT proxy that leads every name to one registry.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::{
    Distribution, Setup, client,
    leading::{self, Told},
    name,
    peer::{Peer, Reply, answer},
    plain_endpoint, tag,
};
use crate::{
    oci::Digest,
    registry::{Config, Endpoint, Proxies, ping},
};

struct Proxy {
    address: String,
    /// The heads of the requests.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                tokio::spawn(serve(stream, target.clone(), Arc::clone(&log)));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, target: String, log: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    log.lock().unwrap().push(String::from_utf8(head).unwrap());
    let mut onward = TcpStream::connect(target).await.unwrap();
    stream
        .write_all(b"HTTP/1.1 200 Established\r\n\r\n")
        .await
        .unwrap();
    // Ends when either side closes.
    let _ = copy_bidirectional(&mut stream, &mut onward).await;
}

fn through(proxies: Proxies, url: &str) -> Endpoint {
    Endpoint {
        proxies,
        ..Endpoint::new(url.parse().unwrap())
    }
}

#[tokio::test]
async fn a_target_is_reached_through_the_proxy_with_the_proxys_credential() {
    let registry = Distribution::start(Setup::Open).await;
    let proxy = Proxy::to(registry.address.clone()).await;
    let settings = format!("http://me:secret@{}", proxy.address);
    let proxies = Proxies::all(&settings, "direct.example");
    let target = client(&through(proxies, "http://registry.invalid:5000"));
    let head = target.head_manifest(&name("a/b"), &tag("v1")).await;
    assert!(head.unwrap().is_none());
    let asked = proxy.asked().join("");
    assert!(
        asked.starts_with("CONNECT registry.invalid:5000 HTTP/1.1\r\n"),
        "{asked}"
    );
    // base64 of `me:secret`
    assert!(
        asked
            .to_ascii_lowercase()
            .contains("proxy-authorization: basic "),
        "{asked}"
    );
    assert!(asked.contains("bWU6c2VjcmV0"), "{asked}");
}

#[tokio::test]
async fn tls_goes_through_the_tunnel_to_the_target_itself() {
    let registry = Distribution::start(Setup::Tls).await;
    let proxy = Proxy::to(registry.address.clone()).await;
    let proxies = Proxies::all(&format!("http://{}", proxy.address), "");
    let mut endpoint = through(proxies, "https://registry.invalid");
    endpoint.insecure = true;
    ping(&endpoint, &Config::default()).await.unwrap();
    assert!(proxy.asked()[0].starts_with("CONNECT registry.invalid:443 "));
}

#[tokio::test]
async fn plain_http_goes_through_the_tunnel_to_port_80() {
    let peer = Peer::start(|_seen| Reply::Keep(answer("200 OK", "", "{}"))).await;
    let proxy = Proxy::to(peer.address.clone()).await;
    let proxies = Proxies::all(&format!("http://{}", proxy.address), "");
    let endpoint = through(proxies, "http://registry.invalid");
    ping(&endpoint, &Config::default()).await.unwrap();
    assert!(proxy.asked()[0].starts_with("CONNECT registry.invalid:80 "));
}

#[tokio::test]
async fn this_machine_and_excepted_hosts_are_reached_directly() {
    let peer = Peer::start(|_seen| Reply::Keep(answer("200 OK", "", "{}"))).await;
    let proxy = Proxy::to(peer.address.clone()).await;
    let settings = format!("http://{}", proxy.address);
    let endpoint = Endpoint {
        proxies: Proxies::all(&settings, ""),
        ..plain_endpoint(&peer.address)
    };
    ping(&endpoint, &Config::default()).await.unwrap();
    let proxies = Proxies::all(&settings, "invalid");
    let excepted = through(proxies, "http://registry.invalid:5000");
    let error = ping(&excepted, &Config::default()).await.unwrap_err();
    assert!(error.to_string().contains("is not known"), "{error}");
    assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
}

#[tokio::test]
async fn a_registry_behind_a_proxy_may_not_lead_to_inner_names_past_it_nor_to_inner_addresses() {
    let peer = Peer::start(|seen| {
        let location = if seen.starts_with("GET /v2/a/past/") {
            "Location: http://direct.example/x\r\n"
        } else if seen.starts_with("GET /v2/a/inner/") {
            "Location: http://10.0.0.9:5001/x\r\n"
        } else {
            "Location: http://storage.invalid:5001/x\r\n"
        };
        Reply::Keep(if seen.starts_with("GET /x ") {
            answer("200 OK", "", "content")
        } else {
            answer("307 Temporary Redirect", location, "")
        })
    })
    .await;
    let proxy = Proxy::to(peer.address.clone()).await;
    let proxies = Proxies::all(&format!("http://{}", proxy.address), "direct.example");
    let names = Told::new([
        ("registry.invalid", &[&["10.0.0.1"]]),
        ("direct.example", &[&["192.0.2.2"]]),
    ]);
    let endpoint = through(proxies, "http://registry.invalid:5000");
    let client = leading::client(&endpoint, &names);
    let digest = Digest::sha256(b"content");
    for (repository, said) in [
        ("a/past", "leads to direct.example, which is at 192.0.2.2"),
        ("a/inner", "leads to 10.0.0.9, which is at 10.0.0.9"),
    ] {
        let error = client.blob(&name(repository), &digest).await.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
    client.blob(&name("a/through"), &digest).await.unwrap();
    let asked = proxy.asked().join("");
    assert!(asked.contains("CONNECT storage.invalid:5001 "), "{asked}");
    assert!(!asked.contains("10.0.0.9"), "{asked}");
}

#[tokio::test]
async fn a_proxy_that_cannot_be_used_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap().to_string();
    drop(listener);
    for (settings, words) in [
        (format!("http://{closed}"), closed.as_str()),
        (format!("https://{closed}"), "is not an http:// one"),
    ] {
        let endpoint = through(Proxies::all(&settings, ""), "http://registry.invalid:5000");
        let client = client(&endpoint);
        let error = client.ping().await.unwrap_err();
        let whole = format!("{error:?}");
        assert!(whole.contains(words), "{whole}");
    }
}
