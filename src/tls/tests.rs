use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, ServerConnection,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use super::*;
use crate::clock::{ManualClock, SystemClock, Timestamp};

/// A data directory and the configuration that points into it.
struct Place {
    directory: tempfile::TempDir,
    config: Config,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            config: Config::default(),
        }
    }

    /// With a certificate for `name` of its own.
    fn with_certificate(name: &str) -> Self {
        let mut place = Self::new();
        place.config.cert = Some(place.path().join("my.crt"));
        place.config.key = Some(place.path().join("my.key"));
        place.write_certificate(name);
        place
    }

    fn write_certificate(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = params.self_signed(&key).unwrap();
        fs::write(self.config.cert.as_ref().unwrap(), cert.pem()).unwrap();
        fs::write(self.config.key.as_ref().unwrap(), key.serialize_pem()).unwrap();
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn load(&self, names: &[&str]) -> Result<Option<Server>, Error> {
        self.load_at(names, Arc::new(SystemClock))
    }

    fn load_at(
        &self,
        names: &[&str],
        clock: crate::clock::SharedClock,
    ) -> Result<Option<Server>, Error> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Server::load(&self.config, self.path(), &names, clock)
    }

    fn refusal(&self) -> String {
        self.load(&[]).unwrap_err().to_string()
    }
}

/// Lets a client and the server shake hands in memory.
fn shake_hands(server: &Server, trust: &ClientTrust, name: &str) -> Result<(), rustls::Error> {
    shake_hands_with(server, client_config(trust).unwrap(), name)
}

fn shake_hands_with(
    server: &Server,
    config: ClientConfig,
    name: &str,
) -> Result<(), rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut server = ServerConnection::new(server.config()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut &bytes[..]).unwrap();
        server.process_new_packets()?;
        bytes.clear();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut &bytes[..]).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

fn trust_of(server: &Server) -> ClientTrust {
    let file = server.ca_certificate().unwrap();
    ClientTrust {
        ca_certificate: Some(fs::read_to_string(file).unwrap()),
        insecure: false,
    }
}

#[test]
fn a_self_signed_certificate_bears_all_names() {
    let place = Place::new();
    let server = place
        .load(&["Registry.example.com", "[2001:db8::7]"])
        .unwrap()
        .unwrap();
    let trust = trust_of(&server);
    for name in [
        "localhost",
        "127.0.0.1",
        "::1",
        "registry.example.com",
        "2001:db8::7",
    ] {
        shake_hands(&server, &trust, name).unwrap();
    }
    assert!(shake_hands(&server, &trust, "other.example.com").is_err());
    assert!(shake_hands(&server, &ClientTrust::default(), "localhost").is_err());
}

#[test]
fn keys_are_readable_by_their_owner_alone() {
    let place = Place::new();
    place.load(&[]).unwrap();
    for (file, mode) in [
        ("ca.crt", 0o644),
        ("tls.crt", 0o644),
        ("ca.key", 0o600),
        ("tls.key", 0o600),
    ] {
        let found = fs::metadata(place.path().join("tls").join(file)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, mode, "{file}");
    }
}

#[test]
fn a_second_start_changes_nothing() {
    let place = Place::new();
    let read = || {
        ["ca.crt", "ca.key", "tls.crt", "tls.key"]
            .map(|file| fs::read(place.path().join("tls").join(file)).unwrap())
    };
    place.load(&["a.example"]).unwrap();
    let first = read();
    place.load(&["a.example"]).unwrap();
    assert_eq!(first, read());
}

#[test]
fn a_leaf_is_made_anew_when_it_runs_out_or_names_change_and_the_ca_stays() {
    let place = Place::new();
    let clock = ManualClock::at(Timestamp::from_seconds(1_800_000_000));
    let files =
        || ["ca.crt", "tls.crt"].map(|file| fs::read(place.path().join("tls").join(file)).unwrap());
    place.load_at(&[], clock.clone()).unwrap();
    let [ca, first] = files();
    place.load_at(&["new.example"], clock.clone()).unwrap();
    let [same_ca, second] = files();
    assert_eq!(ca, same_ca);
    assert_ne!(first, second);
    clock.advance(Duration::from_hours(360 * 24));
    place.load_at(&["new.example"], clock.clone()).unwrap();
    assert_eq!(files(), [same_ca, second.clone()]);
    clock.advance(Duration::from_hours(10 * 24));
    place.load_at(&["new.example"], clock).unwrap();
    let [same_ca, third] = files();
    assert_eq!(ca, same_ca);
    assert_ne!(second, third);
}

#[test]
fn damaged_files_of_our_own_are_replaced() {
    let place = Place::new();
    for file in ["tls.key", "tls.crt", "ca.key", "ca.crt"] {
        let server = place.load(&[]).unwrap().unwrap();
        fs::write(place.path().join("tls").join(file), "damaged").unwrap();
        server.reload().unwrap();
        shake_hands(&server, &trust_of(&server), "localhost").unwrap_or_else(|error| {
            panic!("after damage to {file}: {error}");
        });
    }
}

#[test]
fn a_configured_certificate_is_used() {
    let place = Place::with_certificate("mine.example");
    let server = place.load(&["other.example"]).unwrap().unwrap();
    assert!(server.ca_certificate().is_none());
    let pem = fs::read_to_string(place.config.cert.as_ref().unwrap()).unwrap();
    let trust = ClientTrust {
        ca_certificate: Some(pem),
        insecure: false,
    };
    shake_hands(&server, &trust, "mine.example").unwrap();
}

#[test]
fn an_insecure_client_believes_anybody() {
    let server = Place::with_certificate("x.example")
        .load(&[])
        .unwrap()
        .unwrap();
    let trust = ClientTrust {
        ca_certificate: None,
        insecure: true,
    };
    shake_hands(&server, &trust, "y.example").unwrap();
}

#[test]
fn clients_of_old_versions_can_be_left_out() {
    for (least, old, new) in [
        (MinVersion::Tls12, true, true),
        (MinVersion::Tls13, false, true),
    ] {
        let mut place = Place::new();
        place.config.min_version = least;
        let server = place.load(&[]).unwrap().unwrap();
        // A certificate that is taken up later keeps to it.
        server.reload().unwrap();
        for (version, is_served) in [(&version::TLS12, old), (&version::TLS13, new)] {
            let builder = ClientConfig::builder_with_provider(provider());
            let builder = builder.with_protocol_versions(&[version]).unwrap();
            let mut roots = rustls::RootCertStore::empty();
            let pem = trust_of(&server).ca_certificate.unwrap();
            let ca = CertificateDer::from_pem_slice(pem.as_bytes());
            roots.add(ca.unwrap()).unwrap();
            let client = builder.with_root_certificates(roots).with_no_client_auth();
            let shaken = shake_hands_with(&server, client, "localhost");
            assert_eq!(
                shaken.is_ok(),
                is_served,
                "{least:?} {version:?} {shaken:?}"
            );
        }
    }
}

#[test]
fn tls_off_loads_nothing() {
    let mut place = Place::new();
    place.config.mode = Mode::Off;
    assert!(place.load(&[]).unwrap().is_none());
    assert!(!place.path().join("tls").exists());
}

#[test]
fn wrong_files_are_named() {
    let mut place = Place::with_certificate("a.example");
    let key = fs::read(place.path().join("my.key")).unwrap();
    place.write_certificate("b.example");
    fs::write(place.path().join("my.key"), &key).unwrap();
    let refusal = place.refusal();
    assert!(
        refusal.contains("my.key does not belong to the certificate"),
        "{refusal}"
    );

    fs::write(place.path().join("my.key"), "nonsense").unwrap();
    let refusal = place.refusal();
    assert!(
        refusal.ends_with("my.key holds no private key in PEM form"),
        "{refusal}"
    );

    fs::write(place.path().join("my.crt"), &key).unwrap();
    let refusal = place.refusal();
    assert!(
        refusal.ends_with("my.crt holds no certificate in PEM form"),
        "{refusal}"
    );

    fs::remove_file(place.path().join("my.crt")).unwrap();
    let refusal = place.refusal();
    assert!(
        refusal.starts_with("cannot read ") && refusal.contains("my.crt: "),
        "{refusal}"
    );

    place.config.key = None;
    let refusal = place.refusal();
    assert!(
        refusal.starts_with("tls.cert is set but tls.key is not"),
        "{refusal}"
    );
}

#[test]
fn a_ca_that_is_none_is_refused() {
    for pem in [
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let trust = ClientTrust {
            ca_certificate: Some(pem.to_owned()),
            insecure: false,
        };
        let error = client_config(&trust).unwrap_err();
        assert!(matches!(error, Error::BadCa { .. }), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn changed_files_are_taken_up_and_broken_ones_are_not() {
    let place = Place::with_certificate("old.example");
    let server = place.load(&[]).unwrap().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let watch = tokio::spawn(server.clone().watch(stop.clone()));
    let insecure = ClientTrust {
        ca_certificate: None,
        insecure: true,
    };

    let first = server.config();
    fs::write(place.config.key.as_ref().unwrap(), "broken").unwrap();
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert!(Arc::ptr_eq(&first, &server.config()));

    place.write_certificate("new.example");
    while Arc::ptr_eq(&first, &server.config()) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    shake_hands(&server, &insecure, "new.example").unwrap();
    stop.cancel();
    watch.await.unwrap();
}
