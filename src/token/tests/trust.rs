//! A real `docker-registry` that verifies our tokens itself: which headers it accepts.

use std::{path::Path, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Child,
};

use super::super::{Algorithm, Config, Grant, Issuer, KeyReference, Keys};
use crate::{
    clock::{SharedClock, SystemClock},
    oci::ActionSet,
    registry::tests::serve,
    settings,
};

/// Distribution 2.8 knows no JWKS; everything else that we write it takes (protocol as measured
/// with its `rootcertbundle`).
#[tokio::test]
async fn a_registry_with_our_certificate_accepts_our_tokens() {
    for (algorithm, reference, accepted) in [
        (Algorithm::Es256, KeyReference::X5c, true),
        (Algorithm::Rs256, KeyReference::X5c, true),
        (Algorithm::Es256, KeyReference::Libtrust, true),
        (Algorithm::Rs256, KeyReference::Libtrust, true),
        (Algorithm::Es256, KeyReference::Jwks, false),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let keys = Keys::load(directory.path(), algorithm, &clock).unwrap();
        let config = Config {
            algorithm,
            key_reference: reference,
            ..Config::default()
        };
        let issuer =
            Issuer::new(Arc::new(keys), config, settings::Reader::default(), clock).unwrap();
        let (address, _process) = start(directory.path()).await;
        let token = |actions| {
            let grant = Grant::repository("team/app", actions);
            issuer.issue_for_gateway("alice", &[grant]).unwrap().text
        };
        let case = format!("{algorithm:?} {reference:?}");
        let status = tags(&address, &token(ActionSet::PULL)).await;
        // The repository is not there: who is let in learns that.
        assert_eq!(status, if accepted { 404 } else { 401 }, "{case}");
        assert_eq!(tags(&address, &token(ActionSet::NONE)).await, 401, "{case}");
        assert_eq!(tags(&address, "a.b.c").await, 401, "{case}");
    }
}

/// The status of listing the tags of `team/app`.
async fn tags(address: &str, token: &str) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /v2/team/app/tags/list HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// A registry that trusts the keys under `directory`, and where it listens.
async fn start(directory: &Path) -> (String, Child) {
    let root = directory.display();
    let config = format!(
        "version: 0.1\n\
         log: {{level: info, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {root}/data}}}}\n\
         http: {{addr: '127.0.0.1:0', secret: x}}\n\
         auth: {{token: {{realm: 'https://reg.example/service/token', service: tidegate, \
         issuer: tidegate, rootcertbundle: {root}/token/bundle.crt}}}}\n"
    );
    serve(directory, &config).await
}
