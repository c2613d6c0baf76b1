use aws_lc_rs::rsa;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rcgen::{KeyPair, PublicKeyData};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    secret::sha256,
    token::{Algorithm, KeyReference},
};

/// The public half of a key, with its certificate and its names.
#[derive(Debug)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    spki: Vec<u8>,
    certificate: Vec<u8>,
    jwk: Jwk,
}

/// A JSON Web Key (RFC 7517 §4, RFC 7518 §6).
#[derive(Debug, Serialize, JsonSchema)]
pub struct Jwk {
    #[serde(flatten)]
    parameters: Parameters,
    kid: String,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
    x5c: [String; 1],
}

/// The members in the order of RFC 7638 §3.2, so that their JSON is the thumbprint's input.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Parameters {
    Ec {
        crv: &'static str,
        kty: &'static str,
        x: String,
        y: String,
    },
    Rsa {
        e: String,
        kty: &'static str,
        n: String,
    },
}

impl VerifyingKey {
    pub(super) fn es256(pair: &KeyPair, certificate: Vec<u8>) -> Result<Self, String> {
        // SEC 1 §2.3.3, uncompressed: 0x04, then both coordinates of 32 bytes.
        let point = pair.public_key_raw();
        let (Some(x), Some(y)) = (point.get(1..33), point.get(33..65)) else {
            return Err("its public point is not an uncompressed P-256 point".into());
        };
        let parameters = Parameters::Ec {
            crv: "P-256",
            kty: "EC",
            x: URL_SAFE_NO_PAD.encode(x),
            y: URL_SAFE_NO_PAD.encode(y),
        };
        Ok(Self::new(Algorithm::Es256, pair, certificate, parameters))
    }

    pub(super) fn rs256(pair: &KeyPair, key: &rsa::KeyPair, certificate: Vec<u8>) -> Self {
        let public = aws_lc_rs::signature::KeyPair::public_key(key);
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let parameters = Parameters::Rsa {
            e: encode(public.exponent().big_endian_without_leading_zero()),
            kty: "RSA",
            n: encode(public.modulus().big_endian_without_leading_zero()),
        };
        Self::new(Algorithm::Rs256, pair, certificate, parameters)
    }

    fn new(
        algorithm: Algorithm,
        pair: &KeyPair,
        certificate: Vec<u8>,
        parameters: Parameters,
    ) -> Self {
        let canonical = serde_json::to_vec(&parameters).unwrap_or_default();
        let jwk = Jwk {
            parameters,
            kid: URL_SAFE_NO_PAD.encode(sha256(&canonical)),
            usage: "sig",
            alg: algorithm.name(),
            x5c: [STANDARD.encode(&certificate)],
        };
        Self {
            algorithm,
            spki: pair.subject_public_key_info(),
            certificate,
            jwk,
        }
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// The key's name in a JWKS: its RFC 7638 thumbprint.
    pub fn thumbprint(&self) -> &str {
        &self.jwk.kid
    }

    /// The key's name in distribution 2.x: the first 240 bits of the SHA-256 of its
    /// `SubjectPublicKeyInfo` in base32, in twelve groups of four.
    pub fn libtrust_id(&self) -> String {
        let hash = sha256(&self.spki);
        let letters = base32(&hash[..30]);
        let groups: Vec<_> = letters.chunks(4).map(String::from_utf8_lossy).collect();
        groups.join(":")
    }

    /// DER in standard base64, as `x5c` wants it (RFC 7515 §4.1.6).
    pub fn certificate_base64(&self) -> &str {
        &self.jwk.x5c[0]
    }

    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// `SubjectPublicKeyInfo` as PEM.
    pub fn public_key_pem(&self) -> String {
        pem("PUBLIC KEY", &self.spki)
    }

    /// The `kid` a token names this key by.
    pub fn key_id(&self, reference: KeyReference) -> String {
        match reference {
            KeyReference::X5c | KeyReference::Jwks => self.thumbprint().into(),
            KeyReference::Libtrust => self.libtrust_id(),
        }
    }
}

/// RFC 7468 §2.
fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<_> = body
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    let lines = lines.join("\n");
    format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
}

/// RFC 4648 §6, for lengths that need no padding.
fn base32(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut letters = Vec::with_capacity(bytes.len() * 8 / 5);
    for chunk in bytes.chunks_exact(5) {
        let bits = chunk
            .iter()
            .fold(0_u64, |bits, b| bits << 8 | u64::from(*b));
        for shift in (0..8).rev() {
            let index = usize::try_from(bits >> (shift * 5) & 31).unwrap_or_default();
            letters.push(ALPHABET[index]);
        }
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_follows_rfc_4648() {
        assert_eq!(base32(b"fooba"), b"MZXW6YTB");
        assert_eq!(base32(&[0xff; 5]), b"77777777");
    }
}
