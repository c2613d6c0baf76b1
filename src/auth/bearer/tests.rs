use std::{sync::Arc, time::Duration};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use super::*;
use crate::clock::{ManualClock, Timestamp};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

enum Signer {
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

impl Signer {
    fn es256() -> Self {
        Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn rs256() -> Self {
        Self::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Es256(_) => Algorithm::Es256,
            Self::Rs256(_) => Algorithm::Rs256,
        }
    }

    fn public(&self, kid: &str) -> PublicKey {
        use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
        let der: PublicKeyX509Der<'_> = match self {
            Self::Es256(pair) => pair.public_key().as_der().unwrap(),
            Self::Rs256(pair) => pair.public_key().as_der().unwrap(),
        };
        let body = STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
        PublicKey::from_pem(kid, self.algorithm(), &pem).unwrap()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let random = SystemRandom::new();
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = match self {
            Self::Es256(pair) => {
                let signature = pair.sign(&random, message.as_bytes()).unwrap();
                signature.as_ref().to_vec()
            }
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(
                    &RSA_PKCS1_SHA256,
                    &random,
                    message.as_bytes(),
                    &mut signature,
                )
                .unwrap();
                signature
            }
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn claims() -> Value {
    let now = NOW.seconds();
    json!({
        "iss": "tidegate", "sub": "alice", "aud": "registry",
        "iat": now, "nbf": now, "exp": now + 300, "jti": "1",
        "access": [{"type": "repository", "name": "team/app", "actions": ["pull"]}],
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[field] = value;
    claims
}

fn es256(kid: &str) -> Value {
    json!({"typ": "JWT", "alg": "ES256", "kid": kid})
}

fn verifier(keys: Vec<PublicKey>) -> (Verifier, Arc<ManualClock>) {
    let clock = ManualClock::at(NOW);
    let expected = Expected {
        issuer: "tidegate".to_owned(),
        audience: "registry".to_owned(),
    };
    (Verifier::new(keys, expected, clock.clone(), 100), clock)
}

#[test]
fn tokens_of_every_live_key_are_accepted() {
    let (old, new) = (Signer::rs256(), Signer::es256());
    let (verifier, _) = verifier(vec![old.public("old"), new.public("new")]);
    let rs256 = json!({"typ": "JWT", "alg": "RS256", "kid": "old"});
    for token in [
        old.sign(&rs256, &claims()),
        new.sign(&es256("new"), &claims()),
    ] {
        let read = verifier.verify(&token).unwrap();
        assert_eq!(read.sub, "alice");
        assert_eq!(read.access[0].actions, ["pull"]);
        let again = verifier.verify(&token).unwrap();
        assert!(Arc::ptr_eq(&read, &again), "the second time from the cache");
    }
}

#[test]
fn forged_and_foreign_tokens_are_refused() {
    let (ours, theirs) = (Signer::es256(), Signer::es256());
    let rsa = Signer::rs256();
    let (verifier, _) = verifier(vec![ours.public("k"), rsa.public("r")]);
    let token = ours.sign(&es256("k"), &claims());
    let mut parts: Vec<&str> = token.split('.').collect();
    let raised = URL_SAFE_NO_PAD.encode(with("sub", json!("admin")).to_string());
    parts[1] = &raised;
    let unsigned = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"k"}"#),
        URL_SAFE_NO_PAD.encode(claims().to_string())
    );
    let hs256 = json!({"alg": "HS256", "kid": "k"});
    let rs_for_es = json!({"alg": "RS256", "kid": "k"});
    let no_kid = json!({"alg": "ES256"});
    let huge = "a".repeat(65 * 1024);
    let sign = |header: &Value, claims: Value| ours.sign(header, &claims);
    let cases = [
        (
            "another key",
            theirs.sign(&es256("k"), &claims()),
            Error::WrongSignature,
        ),
        (
            "unknown kid",
            sign(&es256("x"), claims()),
            Error::WrongSignature,
        ),
        ("no kid", sign(&no_kid, claims()), Error::WrongSignature),
        ("changed claims", parts.join("."), Error::WrongSignature),
        ("no algorithm", unsigned, Error::Malformed),
        ("HMAC", sign(&hs256, claims()), Error::WrongSignature),
        (
            "the key's algorithm is not the token's",
            sign(&rs_for_es, claims()),
            Error::WrongSignature,
        ),
        ("nothing", String::new(), Error::Malformed),
        ("no token", "hello".to_owned(), Error::Malformed),
        ("two parts", "a.b".to_owned(), Error::Malformed),
        ("too long", huge, Error::Malformed),
        (
            "issuer",
            sign(&es256("k"), with("iss", json!("evil"))),
            Error::WrongAudience,
        ),
        (
            "audience",
            sign(&es256("k"), with("aud", json!("other"))),
            Error::WrongAudience,
        ),
        (
            "audience list",
            sign(&es256("k"), with("aud", json!(["registry"]))),
            Error::Malformed,
        ),
        (
            "no expiry",
            sign(&es256("k"), with("exp", Value::Null)),
            Error::Malformed,
        ),
    ];
    for (what, token, expected) in cases {
        assert_eq!(verifier.verify(&token).unwrap_err(), expected, "{what}");
        assert_eq!(
            verifier.verify_expired(&token).unwrap_err(),
            expected,
            "{what}"
        );
    }
}

/// A header that brings its own key, or says where to get it, is signed with that key in vain.
#[test]
fn a_key_in_the_token_is_not_read() {
    let (ours, theirs) = (Signer::es256(), Signer::es256());
    let (verifier, _) = verifier(vec![ours.public("k")]);
    let Signer::Es256(pair) = &theirs else {
        panic!("it was made so");
    };
    let point = pair.public_key().as_ref().to_vec();
    let (x, y) = point[1..].split_at(32);
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "kid": "k", "alg": "ES256", "use": "sig",
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    });
    for (name, key) in [
        ("jwk", jwk),
        ("jku", json!("https://example.com/keys")),
        ("x5u", json!("https://example.com/cert")),
        ("x5c", json!([STANDARD.encode(&point)])),
    ] {
        let mut header = es256("k");
        header[name] = key;
        let forged = theirs.sign(&header, &claims());
        let refusal = verifier.verify(&forged).unwrap_err();
        assert_eq!(refusal, Error::WrongSignature, "{name}");
        verifier.verify(&ours.sign(&header, &claims())).unwrap();
    }
}

#[test]
fn times_have_a_minute_of_leeway_also_from_the_cache() {
    let key = Signer::es256();
    let (verifier, clock) = verifier(vec![key.public("k")]);
    let at = |field: &str, offset: i64| {
        key.sign(&es256("k"), &with(field, json!(NOW.seconds() + offset)))
    };
    for (token, expected) in [
        (at("exp", -30), true),
        (at("exp", -59), true),
        (at("exp", -60), false),
        (at("exp", -90), false),
        (at("nbf", 30), true),
        (at("nbf", 90), false),
    ] {
        assert_eq!(verifier.verify(&token).is_ok(), expected);
        assert_eq!(verifier.verify(&token).is_ok(), expected, "the second time");
    }
    let token = key.sign(&es256("k"), &claims());
    verifier.verify(&token).unwrap();
    clock.advance(Duration::from_secs(359));
    verifier.verify(&token).unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(verifier.verify(&token).unwrap_err(), Error::Expired);
    assert_eq!(verifier.verify_expired(&token).unwrap().sub, "alice");
}

#[test]
fn a_key_that_is_gone_takes_its_tokens_along() {
    let (old, new) = (Signer::es256(), Signer::es256());
    let (verifier, _) = verifier(vec![old.public("old")]);
    let token = old.sign(&es256("old"), &claims());
    verifier.verify(&token).unwrap();
    verifier.replace_keys(vec![old.public("old"), new.public("new")]);
    verifier.verify(&token).unwrap();
    verifier.replace_keys(vec![new.public("new")]);
    assert_eq!(verifier.verify(&token).unwrap_err(), Error::WrongSignature);
}

#[test]
fn bad_keys_are_refused_by_name() {
    let error = PublicKey::from_pem("k1", Algorithm::Es256, "nonsense").unwrap_err();
    assert!(error.to_string().contains("`k1`"));
}
