use super::{
    Distribution, Setup, alice,
    peer::{Peer, Reply, answer},
    plain_endpoint,
};
use crate::registry::{Config, Endpoint, ping};

async fn reason(endpoint: &Endpoint) -> String {
    let config = Config {
        connect_timeout_seconds: 2,
        idle_timeout_seconds: 2,
        ..Config::default()
    };
    match ping(endpoint, &config).await {
        Ok(_pong) => "usable".into(),
        Err(unusable) => unusable.to_string(),
    }
}

#[tokio::test]
async fn a_registry_that_lets_us_in_is_usable() {
    let open = Distribution::start(Setup::Open).await;
    assert_eq!(reason(&open.endpoint()).await, "usable");
    let closed = Distribution::start(Setup::Htpasswd).await;
    let mut endpoint = closed.endpoint();
    assert!(
        reason(&endpoint)
            .await
            .ends_with("wants a user name and password")
    );
    endpoint.credential = Some(alice("wrong"));
    let wrong = reason(&endpoint).await;
    assert!(
        wrong.contains("refuses the user name or password"),
        "{wrong}"
    );
    endpoint.credential = Some(alice("wonderland"));
    assert_eq!(reason(&endpoint).await, "usable");
}

#[tokio::test]
async fn what_is_wrong_with_an_address_is_said() {
    let unknown: Endpoint = Endpoint::new("https://no-such-host.invalid".parse().unwrap());
    let said = reason(&unknown).await;
    assert!(said.contains("no-such-host.invalid is not known"), "{said}");

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = plain_endpoint(&listener.local_addr().unwrap().to_string());
    drop(listener);
    let said = reason(&closed).await;
    assert!(said.contains("nothing listens at"), "{said}");

    let web = Peer::start(|_seen| Reply::Keep(answer("404 Not Found", "", "<html>nothing"))).await;
    let said = reason(&plain_endpoint(&web.address)).await;
    assert!(said.contains("there is no registry at"), "{said}");

    let plain = Distribution::start(Setup::Open).await;
    let tls_to_plain = Endpoint::new(format!("https://{}", plain.address).parse().unwrap());
    let said = reason(&tls_to_plain).await;
    assert!(said.contains("does not speak TLS"), "{said}");

    let silent = Peer::start(|_seen| Reply::Silence).await;
    let said = reason(&plain_endpoint(&silent.address)).await;
    assert!(said.contains("does not answer"), "{said}");
}

#[tokio::test]
async fn a_certificate_is_trusted_when_its_ca_is_given() {
    let registry = Distribution::start(Setup::Tls).await;
    let mut endpoint = Endpoint::new(format!("https://{}", registry.address).parse().unwrap());
    let said = reason(&endpoint).await;
    assert!(said.contains("is not trusted"), "{said}");
    endpoint.ca_certificate = Some(registry.ca());
    assert_eq!(reason(&endpoint).await, "usable");
    endpoint.ca_certificate = None;
    endpoint.insecure = true;
    assert_eq!(reason(&endpoint).await, "usable");
    endpoint.insecure = false;
    endpoint.ca_certificate = Some("not PEM".into());
    let said = reason(&endpoint).await;
    assert!(said.contains("trust settings"), "{said}");
    let said = reason(&plain_endpoint(&registry.address)).await;
    assert!(said.contains("write https://"), "{said}");
}
