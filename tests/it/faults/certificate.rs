//! The certificate is replaced while connections are open.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::load::Load;
use crate::harness::{Gateway, Line, Options, until};

/// Signs certificates for `localhost` that clients trust.
struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    /// Writes its own certificate to `ca.crt`.
    fn new(directory: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(directory.join("ca.crt"), certificate.pem()).unwrap();
        Self(Issuer::new(params, key))
    }

    /// Puts a new pair where the gateway looks, each file at once; what it is in DER.
    fn issue(&self, directory: &Path) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        for (name, text) in [
            ("tls.crt", certificate.pem()),
            ("tls.key", key.serialize_pem()),
        ] {
            let new = directory.join("new.pem");
            fs::write(&new, text).unwrap();
            fs::rename(new, directory.join(name)).unwrap();
        }
        certificate.der().to_vec()
    }
}

#[tokio::test]
async fn a_certificate_replaced_under_load_breaks_no_connection() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path());
    let first = authority.issue(directory.path());
    let options = Options {
        ca: Some(directory.path().join("ca.crt")),
        extra: "[tls]\ncert = \"tls.crt\"\nkey = \"tls.key\"\n".to_owned(),
        ..Options::default()
    };
    let mut gateway = Gateway::within(directory, options).await;
    let load = Load::on(&gateway).await;
    load.until_well().await;
    let mut idle = Line::to(&gateway).await;
    assert_eq!(idle.certificate().as_ref(), first);
    let mut busy = super::load::Upload::begin(&gateway).await.unwrap();

    let second = authority.issue(gateway.directory());
    gateway.process().signal("HUP");
    until("handshakes show the new certificate", async || {
        let shown = Line::to(&gateway).await.certificate();
        (shown.as_ref() == second).then_some(())
    })
    .await;
    load.until_well().await;
    idle.say(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let heard = idle.hear().await;
    assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
    let heard = busy.end().await;
    assert!(heard.starts_with("HTTP/1.1 201"), "{heard}");
    load.stop().await.was_untroubled();
}
