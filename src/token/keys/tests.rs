use std::{fs, os::unix::fs::PermissionsExt};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;
use crate::clock::SystemClock;

fn clock() -> SharedClock {
    std::sync::Arc::new(SystemClock)
}

fn load(directory: &tempfile::TempDir, algorithm: Algorithm) -> Keys {
    Keys::load(directory.path(), algorithm, &clock()).unwrap()
}

#[test]
fn the_key_is_made_once_and_only_its_owner_may_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let first = load(&directory, Algorithm::Es256);
    let again = load(&directory, Algorithm::Es256);
    assert_eq!(
        first.signing.public().thumbprint(),
        again.signing.public().thumbprint()
    );
    assert_eq!(
        first.signing.public().certificate_base64(),
        again.signing.public().certificate_base64()
    );
    let key = directory.path().join("token/signing.key");
    assert_eq!(
        fs::metadata(key).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn a_renamed_key_still_verifies_and_is_published() {
    let directory = tempfile::tempdir().unwrap();
    let before = load(&directory, Algorithm::Es256);
    let folder = directory.path().join("token");
    for extension in ["key", "crt"] {
        let from = folder.join(format!("signing.{extension}"));
        fs::rename(from, folder.join(format!("previous.{extension}"))).unwrap();
    }
    let after = load(&directory, Algorithm::Es256);
    let thumbprints: Vec<_> = after.verifying().map(VerifyingKey::thumbprint).collect();
    assert_eq!(thumbprints.len(), 2);
    assert_ne!(thumbprints[0], thumbprints[1]);
    assert_eq!(thumbprints[1], before.signing.public().thumbprint());
    let bundle = fs::read_to_string(folder.join("bundle.crt")).unwrap();
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2);
    let jwks: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("jwks.json")).unwrap()).unwrap();
    assert_eq!(jwks["keys"][0]["kid"], thumbprints[0]);
    assert_eq!(jwks["keys"][1]["kty"], "EC");
}

#[test]
fn another_algorithm_makes_a_new_key_and_keeps_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let ec = load(&directory, Algorithm::Es256);
    let rsa = load(&directory, Algorithm::Rs256);
    let algorithms: Vec<_> = rsa.verifying().map(VerifyingKey::algorithm).collect();
    assert_eq!(algorithms, [Algorithm::Rs256, Algorithm::Es256]);
    assert_eq!(
        rsa.previous.as_ref().unwrap().thumbprint(),
        ec.signing.public().thumbprint()
    );
}

#[test]
fn a_missing_or_foreign_certificate_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let keys = load(&directory, Algorithm::Es256);
    let other = tempfile::tempdir().unwrap();
    let foreign = load(&other, Algorithm::Es256)
        .signing
        .public()
        .certificate_pem();
    let certificate = directory.path().join("token/signing.crt");
    fs::write(&certificate, &foreign).unwrap();
    let again = load(&directory, Algorithm::Es256);
    assert_eq!(
        again.signing.public().thumbprint(),
        keys.signing.public().thumbprint()
    );
    assert_ne!(again.signing.public().certificate_pem(), foreign);
    fs::remove_file(&certificate).unwrap();
    load(&directory, Algorithm::Es256);
    assert!(certificate.exists());
}

#[test]
fn a_file_that_is_no_key_is_named_in_the_error() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("token")).unwrap();
    fs::write(directory.path().join("token/signing.key"), "nonsense").unwrap();
    let error = Keys::load(directory.path(), Algorithm::Es256, &clock()).unwrap_err();
    assert!(error.to_string().contains("token/signing.key"), "{error}");
}

#[test]
fn key_names_have_the_forms_that_registries_compute() {
    for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
        let directory = tempfile::tempdir().unwrap();
        let keys = load(&directory, algorithm);
        let public = keys.signing.public();
        let jwk: jsonwebtoken::jwk::Jwk =
            serde_json::from_value(serde_json::to_value(public.jwk()).unwrap()).unwrap();
        let independent = jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256);
        assert_eq!(public.thumbprint(), independent.unwrap());
        let libtrust = public.libtrust_id();
        assert_eq!(libtrust.len(), 12 * 4 + 11);
        assert!(libtrust.split(':').all(|group| group.len() == 4));
        let certificate = STANDARD.decode(public.certificate_base64()).unwrap();
        assert!(certificate.len() > 200);
    }
}

#[test]
fn signatures_are_verified_by_an_independent_library() {
    let _installed = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    for (algorithm, name) in [
        (Algorithm::Es256, jsonwebtoken::Algorithm::ES256),
        (Algorithm::Rs256, jsonwebtoken::Algorithm::RS256),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let keys = load(&directory, algorithm);
        let pem = keys.signing.public().public_key_pem();
        let key = match algorithm {
            Algorithm::Es256 => jsonwebtoken::DecodingKey::from_ec_pem(pem.as_bytes()),
            Algorithm::Rs256 => jsonwebtoken::DecodingKey::from_rsa_pem(pem.as_bytes()),
        };
        let signature = keys.signing.sign(b"message").unwrap();
        let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(signature);
        let verified =
            jsonwebtoken::crypto::verify(&encoded, b"message", &key.unwrap(), name).unwrap();
        assert!(verified);
    }
}
