use std::fmt;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256},
};
use rcgen::{
    Certificate, CertificateParams, DistinguishedName, DnType, KeyPair, KeyUsagePurpose,
    PublicKeyData, SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::VerifyingKey;
use crate::{
    clock::Timestamp,
    token::{Algorithm, Error},
};

/// A private key, parsed once: parsing costs more than an ES256 signature.
pub struct SigningKey {
    pair: Pair,
    random: SystemRandom,
    public: VerifyingKey,
}

enum Pair {
    Es256(EcdsaKeyPair),
    Rs256(Box<rsa::KeyPair>),
}

impl SigningKey {
    /// Takes over a key pair with its certificate in DER; the error says what is wrong with it.
    pub(super) fn new(pair: &KeyPair, certificate: Vec<u8>) -> Result<Self, String> {
        let pkcs8 = pair.serialized_der();
        let (pair, public) = if pair.is_compatible(&rcgen::PKCS_ECDSA_P256_SHA256) {
            let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
                .map_err(|error| error.to_string())?;
            let public = VerifyingKey::es256(pair, certificate)?;
            (Pair::Es256(key), public)
        } else if pair.is_compatible(&rcgen::PKCS_RSA_SHA256) {
            let key = rsa::KeyPair::from_pkcs8(pkcs8).map_err(|error| error.to_string())?;
            let public = VerifyingKey::rs256(pair, &key, certificate);
            (Pair::Rs256(Box::new(key)), public)
        } else {
            return Err("it is neither an RSA nor a P-256 key".into());
        };
        Ok(Self {
            pair,
            random: SystemRandom::new(),
            public,
        })
    }

    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }

    pub(super) fn into_public(self) -> VerifyingKey {
        self.public
    }

    /// Signs as RFC 7518 §3.3 and §3.4 say: PKCS#1 v1.5, or `r` and `s` side by side.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match &self.pair {
            Pair::Es256(pair) => pair
                .sign(&self.random, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_unspecified| Error::Sign),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature)
                    .map_err(|_unspecified| Error::Sign)?;
                Ok(signature)
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

pub(super) fn rcgen_algorithm(algorithm: Algorithm) -> &'static SignatureAlgorithm {
    match algorithm {
        Algorithm::Es256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        Algorithm::Rs256 => &rcgen::PKCS_RSA_SHA256,
    }
}

/// A certificate that says nothing but "this key": registries trust it by having the file.
pub(super) fn self_sign(pair: &KeyPair, now: Timestamp) -> Result<Certificate, rcgen::Error> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "Tidegate token key");
    params.distinguished_name = name;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let now = now.to_utc();
    params.not_before = now - time::Duration::days(1);
    params.not_after = now + time::Duration::days(LIFETIME_DAYS);
    params.self_signed(pair)
}

/// The first certificate of `pem` in DER, if it is the pair's.
pub(super) fn certificate_of(pair: &KeyPair, pem: &str) -> Option<Vec<u8>> {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let spki = pair.subject_public_key_info();
    let holds_key = certificate.windows(spki.len()).any(|window| window == spki);
    holds_key.then(|| certificate.to_vec())
}

/// Twenty years: the key is rotated by its operator, not by a date that is forgotten.
const LIFETIME_DAYS: i64 = 20 * 365;
