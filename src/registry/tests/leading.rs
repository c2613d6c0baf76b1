//! Registries that lead to names which mean addresses of this machine.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use futures_util::{FutureExt, future::BoxFuture};

use super::{
    name,
    peer::{Peer, Reply, Seen, answer},
    plain_endpoint,
};
use crate::{
    oci::Digest,
    registry::{
        Client, Config, Endpoint, Error, Kind, Remote,
        credential::Authorizer,
        guard::{Guard, Names},
    },
    wire::collect,
};

/// Each name means what its next entry says; the last one stays.
#[derive(Debug)]
pub(in crate::registry) struct Told {
    meanings: HashMap<&'static str, &'static [&'static [&'static str]]>,
    asked: Mutex<Vec<String>>,
}

impl Told {
    pub(in crate::registry) fn new<const N: usize>(
        meanings: [(&'static str, &'static [&'static [&'static str]]); N],
    ) -> Arc<Self> {
        Arc::new(Self {
            meanings: meanings.into(),
            asked: Mutex::default(),
        })
    }

    fn count(&self, name: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| *asked == name).count()
    }
}

impl Names for Told {
    fn addresses<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        let turn = self.count(name);
        self.asked.lock().unwrap().push(name.to_owned());
        let meanings = self.meanings.get(name).copied().unwrap_or_default();
        let meaning = meanings.get(turn).or(meanings.last());
        let parse = |text: &&str| SocketAddr::new(text.parse().unwrap(), 0);
        let found = meaning.map(|addresses| addresses.iter().map(parse).collect());
        std::future::ready(found.ok_or_else(|| io::Error::other("nobody"))).boxed()
    }
}

/// What listens on this machine and is not to be connected to.
struct Inner(std::net::TcpListener);

impl Inner {
    fn listen() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn was_left_alone(&self) {
        let nobody = self.0.accept().unwrap_err();
        assert_eq!(nobody.kind(), io::ErrorKind::WouldBlock);
    }
}

pub(super) fn client(endpoint: &Endpoint, names: &Arc<Told>) -> Client {
    client_seen_at(None, endpoint, names)
}

/// As if a connection to this address of the registry had been made before.
fn client_seen_at(address: Option<&str>, endpoint: &Endpoint, names: &Arc<Told>) -> Client {
    // What is connected to all the same says nothing: that is to show soon.
    let config = Config {
        idle_timeout_seconds: 5,
        commit_timeout_seconds: 5,
        ..Config::default()
    };
    let authentication = endpoint.provider.authentication(endpoint);
    let authorizer = Authorizer::new(authentication, &endpoint.url, &config).unwrap();
    let names = Arc::clone(names) as Arc<dyn Names>;
    let guard = Guard::new(endpoint, &config, names);
    if let Some(address) = address {
        guard.note(address.parse().unwrap());
    }
    let remote = Remote::with_authorizer(endpoint, authorizer, guard, &config);
    Client::new(remote.unwrap().exchange())
}

/// The same port, where `registry.example` is.
fn at_its_name(peer: &Peer) -> Endpoint {
    plain_endpoint(&peer.address.replace("127.0.0.1", "registry.example"))
}

/// A registry that leads everywhere to `host` at this port.
async fn leading(host: &str, port: u16) -> Peer {
    let elsewhere = format!("http://{host}:{port}/x");
    Peer::start(move |seen| Reply::Close(lead(seen, &elsewhere))).await
}

fn lead(seen: &Seen, elsewhere: &str) -> String {
    if seen.starts_with("POST ") {
        answer("202 Accepted", &format!("Location: {elsewhere}\r\n"), "")
    } else if seen.starts_with("GET /v2/a/token/") {
        let challenge = format!("WWW-Authenticate: Bearer realm=\"{elsewhere}\"\r\n");
        answer("401 Unauthorized", &challenge, "")
    } else if seen.starts_with("GET /v2/ ") {
        answer("200 OK", "", "{}")
    } else {
        answer(
            "307 Temporary Redirect",
            &format!("Location: {elsewhere}\r\n"),
            "",
        )
    }
}

/// All the ways in which a registry leads elsewhere; a `Link` elsewhere is not followed. The token
/// service comes last: once it is known, it is asked before every request.
async fn follow_all(client: &Client) -> [Result<(), Error>; 3] {
    let digest = Digest::sha256(b"content");
    let (repository, challenged) = (name("a/b"), name("a/token"));
    let put = client.put_blob(&repository, &digest, 7, "content".into());
    [
        client.blob(&repository, &digest).await.map(drop),
        put.await,
        client.blob(&challenged, &digest).await.map(drop),
    ]
}

#[tokio::test]
async fn what_a_registry_leads_to_is_not_connected_to_on_this_machine() {
    let inner = Inner::listen();
    let peer = leading("storage.example", inner.port()).await;
    for meaning in HERE {
        let names = Told::new([
            ("registry.example", &[&["127.0.0.1"]]),
            ("storage.example", meaning),
        ]);
        let client = client_seen_at(PUBLIC, &at_its_name(&peer), &names);
        for refused in follow_all(&client).await {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), Kind::Withheld, "{error}");
            let registry = at_its_name(&peer).url;
            let said = format!("{} leads to storage.example, which", registry.address());
            let explained = error.explained();
            assert!(explained.contains(&said), "{explained}");
            assert!(!explained.contains("dns error"), "{explained}");
        }
    }
    inner.was_left_alone();
}

#[tokio::test]
async fn a_registry_on_this_machine_may_lead_to_it() {
    let storage = Peer::start(|seen| {
        let is_upload = seen.starts_with("PUT ");
        let status = if is_upload { "201 Created" } else { "200 OK" };
        Reply::Keep(answer(status, "", "content"))
    })
    .await;
    let port = storage.address.rsplit_once(':').unwrap().1.parse().unwrap();
    let peer = leading("storage.example", port).await;
    let names = Told::new([
        // What it is not connected to at does not count.
        ("registry.example", &[&["127.0.0.1", "1.1.1.1"]]),
        ("storage.example", &[&["127.0.0.1"]]),
    ]);
    let client = client(&at_its_name(&peer), &names);
    let (repository, digest) = (name("a/b"), Digest::sha256(b"content"));
    let blob = client.blob(&repository, &digest).await.unwrap();
    assert_eq!(collect(blob.body, 100).await.unwrap(), "content");
    let put = client.put_blob(&repository, &digest, 7, "content".into());
    put.await.unwrap();
    assert_eq!(storage.count("GET /x "), 1);
    assert_eq!(storage.count("PUT /x?digest="), 1);
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_a_registry_comes_no_nearer() {
    let inner = Inner::listen();
    let peer = leading("storage.example", inner.port()).await;
    let names = Told::new([
        ("registry.example", &[&["127.0.0.1"]]),
        ("storage.example", &[&["127.0.0.1"]]),
    ]);
    // It was at a public address, and would be on this machine from then on.
    let client = client_seen_at(PUBLIC, &at_its_name(&peer), &names);
    let (repository, digest) = (name("a/b"), Digest::sha256(b"content"));
    for turn in 1..=3 {
        let error = client.blob(&repository, &digest).await.unwrap_err();
        assert!(error.to_string().contains("leads to"), "{error}");
        assert_eq!(names.count("storage.example"), turn);
    }
    assert!(names.count("registry.example") >= 3);
    inner.was_left_alone();
}

#[tokio::test]
async fn a_registry_whose_name_changes_its_meaning_may_not_lead_to_itself_at_another_port() {
    let inner = Inner::listen();
    let peer = leading("registry.example", inner.port()).await;
    let names = Told::new([("registry.example", &[&["127.0.0.1"]])]);
    let client = client_seen_at(PUBLIC, &at_its_name(&peer), &names);
    for refused in follow_all(&client).await {
        let explained = refused.unwrap_err().explained();
        assert!(
            explained.contains("leads to registry.example, which"),
            "{explained}"
        );
    }
    inner.was_left_alone();
}

#[tokio::test]
async fn what_was_left_out_is_told_when_the_rest_does_not_answer() {
    let peer = leading("storage.example", 9).await;
    // A broadcast address: no TCP connection is ever made there.
    let names = Told::new([
        ("registry.example", &[&["127.0.0.1"]]),
        (
            "storage.example",
            &[&["169.254.169.254", "255.255.255.255"]],
        ),
    ]);
    for refused in follow_all(&client(&at_its_name(&peer), &names)).await {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), Kind::Withheld, "{error}");
        let text = error.to_string();
        let is_told = text.contains("leads to storage.example, which is at 169.254.169.254, and")
            && text.contains("; at its other addresses: tcp connect error");
        assert!(is_told, "{text}");
    }
}

#[tokio::test]
async fn addresses_in_private_networks_are_not_connected_to_for_a_public_registry() {
    let peer = leading("192.0.2.7", 9).await;
    let names = Told::new([("registry.example", &[&["127.0.0.1"]])]);
    let client = client_seen_at(PUBLIC, &at_its_name(&peer), &names);
    for refused in follow_all(&client).await {
        let explained = refused.unwrap_err().explained();
        let is_told = explained
            .contains("leads to 192.0.2.7, which is at 192.0.2.7, and was at 1.1.1.1 itself; ")
            && explained.contains("upstream.connections.allowed_networks");
        assert!(is_told, "{explained}");
    }
}

const PUBLIC: Option<&str> = Some("1.1.1.1");
/// What leads to this machine, as `storage.example` may mean it.
const HERE: [&[&[&str]]; 3] = [&[&["127.0.0.1"]], &[&["::ffff:127.0.0.1"]], &[&["0.0.0.0"]]];
