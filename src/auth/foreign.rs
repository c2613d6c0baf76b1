//! Passwords hashed by other programs, as `htpasswd` and crypt(3) write them. They are kept as
//! they are until their users sign in, who then get a hash of ours.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use md5::{Digest, Md5};
use sha_crypt::{PasswordVerifier, ShaCrypt};
use subtle::ConstantTimeEq;

/// A hash that a password can be compared with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ForeignHash<'a> {
    /// `$2y$`, `$2b$`, `$2a$`: of `htpasswd -B`.
    Bcrypt(&'a str),
    /// `$5$`, `$6$`: crypt(3) with SHA-256 and SHA-512.
    ShaCrypt(&'a str),
    /// `$apr1$` of `htpasswd -m`, and `$1$` of crypt(3).
    Md5Crypt {
        magic: &'a str,
        salt: &'a str,
        hash: &'a str,
    },
    /// `{SHA}` of `htpasswd -s`, and `{SSHA}`, which has a salt.
    Sha1 { hash: [u8; 20], salt: Vec<u8> },
}

impl<'a> ForeignHash<'a> {
    /// Reads a hash; else why it cannot be used, as the end of a sentence about its user.
    pub(super) fn parse(text: &'a str) -> Result<Self, &'static str> {
        if ["$2y$", "$2b$", "$2a$"]
            .iter()
            .any(|magic| text.starts_with(magic))
        {
            let parts: bcrypt::HashParts = text.parse().map_err(|_malformed| MALFORMED)?;
            return match parts.get_cost() {
                4..=MAX_BCRYPT_COST => Ok(Self::Bcrypt(text)),
                _ => Err("the cost of the bcrypt hash is not within 4 to 14"),
            };
        }
        if text.starts_with("$5$") || text.starts_with("$6$") {
            return sha_crypt(text);
        }
        for magic in ["$apr1$", "$1$"] {
            if let Some(rest) = text.strip_prefix(magic) {
                return md5_crypt_parts(magic, rest);
            }
        }
        if let Some(encoded) = text.strip_prefix("{SHA}") {
            return sha1(encoded, 0..=0);
        }
        if let Some(encoded) = text.strip_prefix("{SSHA}") {
            return sha1(encoded, 1..=MAX_SALT_BYTES);
        }
        let is_des = text.len() == 13 && text.bytes().all(|byte| CRYPT64.contains(&byte));
        Err(if is_des {
            "the password is hashed by traditional DES, which is broken and takes only eight \
             characters; set a new one"
        } else {
            "the password is plain text, or hashed in a way that is not known; set a new one"
        })
    }

    /// Whether this is the password. Takes as long as the hash makes it, whatever the password.
    pub(super) fn verify(&self, password: &[u8]) -> bool {
        // An account without a password is nobody's.
        if password.is_empty() {
            return false;
        }
        match self {
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::ShaCrypt(hash) => {
                let verified = ShaCrypt::default().verify_password(password, *hash);
                verified.is_ok()
            }
            Self::Md5Crypt { magic, salt, hash } => {
                let own = md5_crypt(password, magic.as_bytes(), salt.as_bytes());
                own.as_bytes().ct_eq(hash.as_bytes()).into()
            }
            Self::Sha1 { hash, salt } => {
                let salted = [password, salt].concat();
                let own = digest(&SHA1_FOR_LEGACY_USE_ONLY, &salted);
                own.as_ref().ct_eq(hash).into()
            }
        }
    }
}

/// `$5$[rounds=N$]salt$hash`.
fn sha_crypt(text: &str) -> Result<ForeignHash<'_>, &'static str> {
    let mut fields = text[3..].split('$').peekable();
    if let Some(rounds) = fields.next_if(|field| field.starts_with("rounds=")) {
        let rounds = rounds["rounds=".len()..].parse::<u32>();
        if !rounds.is_ok_and(|rounds| (1_000..=MAX_SHA_CRYPT_ROUNDS).contains(&rounds)) {
            return Err("the rounds of the SHA-crypt hash are not within 1000 to 500000");
        }
    }
    let length = if text.starts_with("$5$") { 43 } else { 86 };
    let (salt, hash) = (fields.next(), fields.next());
    let is_whole = salt.is_some_and(|salt| salt.len() <= 16)
        && hash.is_some_and(|hash| is_crypt64(hash, length))
        && fields.next().is_none();
    if is_whole {
        Ok(ForeignHash::ShaCrypt(text))
    } else {
        Err(MALFORMED)
    }
}

fn md5_crypt_parts<'a>(magic: &'a str, rest: &'a str) -> Result<ForeignHash<'a>, &'static str> {
    match rest.split_once('$') {
        Some((salt, hash)) if salt.len() <= 8 && is_crypt64(hash, 22) => {
            Ok(ForeignHash::Md5Crypt { magic, salt, hash })
        }
        _ => Err(MALFORMED),
    }
}

/// Base64 of the hash and behind it the salt.
fn sha1(
    encoded: &str,
    salt_bytes: std::ops::RangeInclusive<usize>,
) -> Result<ForeignHash<'static>, &'static str> {
    let bytes = STANDARD.decode(encoded).map_err(|_malformed| MALFORMED)?;
    let (hash, salt) = bytes.split_first_chunk().ok_or(MALFORMED)?;
    if !salt_bytes.contains(&salt.len()) {
        return Err(MALFORMED);
    }
    Ok(ForeignHash::Sha1 {
        hash: *hash,
        salt: salt.to_vec(),
    })
}

fn is_crypt64(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| CRYPT64.contains(&byte))
}

/// The hash of MD5-crypt (Poul-Henning Kamp's, FreeBSD 2.0), which Apache has with a magic of
/// its own (`apr_md5_encode`). No library that is kept has both.
fn md5_crypt(password: &[u8], magic: &[u8], salt: &[u8]) -> String {
    let inner: [u8; 16] = md5(&[password, salt, password]);
    let mut text = [password, magic, salt].concat();
    text.extend(inner.iter().cycle().take(password.len()));
    let mut bits = password.len();
    while bits > 0 {
        text.push(if bits & 1 == 1 { 0 } else { password[0] });
        bits >>= 1;
    }
    let mut hash = md5(&[&text]);
    for round in 0..1000 {
        let (first, last): (&[u8], &[u8]) = if round % 2 == 1 {
            (password, &hash)
        } else {
            (&hash, password)
        };
        let salt = if round % 3 == 0 { &[] } else { salt };
        let middle = if round % 7 == 0 { &[] } else { password };
        hash = md5(&[first, salt, middle, last]);
    }
    let mut encoded = String::with_capacity(22);
    for [high, middle, low] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        encode(&mut encoded, [hash[high], hash[middle], hash[low]], 4);
    }
    encode(&mut encoded, [0, 0, hash[11]], 2);
    encoded
}

fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut context = Md5::new();
    for part in parts {
        context.update(part);
    }
    context.finalize().into()
}

/// crypt(3)'s own base 64: the lowest six bits first.
fn encode(text: &mut String, [high, middle, low]: [u8; 3], characters: usize) {
    let mut bits = u32::from_be_bytes([0, high, middle, low]);
    for _ in 0..characters {
        text.push(char::from(CRYPT64[(bits & 0x3f) as usize]));
        bits >>= 6;
    }
}

const CRYPT64: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const MALFORMED: &str = "the hash of the password is malformed";
/// About a second of one core; each step more takes twice as long.
const MAX_BCRYPT_COST: u32 = 14;
/// About as much.
const MAX_SHA_CRYPT_ROUNDS: u32 = 500_000;
/// Nobody uses more.
const MAX_SALT_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `htpasswd` 2.4 and `openssl passwd` 3.0; the last two are from Ulrich Drepper's specification.
    const HASHES: &[(&str, &str)] = &[
        (
            "Harbor12345",
            "$2y$05$cu0KYlQdQZOMt9mNZ1jDne2eyl0jt0Mwa93TEMOpv71IusfeSsoZm",
        ),
        ("Harbor12345", "$apr1$cK.gvH2c$rW74R1aDT9DT8cgTIzqj/1"),
        ("Harbor12345", "{SHA}fo3kxGm56hh7J4vMwu3dPAQ9X+s="),
        (
            "Harbor12345",
            "$5$mHsEZpCNXHOTMMKC$3qLWx8a4dVLHX6bmDfZXrlhJ3sz0LcWKHUjPcA0Uq82",
        ),
        (
            "Harbor12345",
            "$6$57QU/Bxwe3hKt9Tp$Iymzt7vfVn5jaCL09v9ODmn.S5hgc3jtTepYfgUJQrS1XhPENDSRuM1g030PFLB4p0U0Y/55CmQ6.ER0cMAIp0",
        ),
        ("Harbor12345", "$1$RAOm4QTQ$dfENydqvs8u9jMHvDFXNK."),
        ("Harbor12345", "$apr1$DQYjUwIl$MTwCl3.tDrYAViXN.pa8k0"),
        (
            "Harbor12345",
            "$5$MEmDOrbG21mOspL6$a1z8ZRu3GJpjC0UPZNXqctgLo/qy8E2WjSLYhYJGvf8",
        ),
        (
            "Harbor12345",
            "$6$jQJJPRnIM8s.QQI.$z2cpnO5XNKgy0OBHV78ga82ykj6800SRwUBr6km0Ea04bFWwbeISHFS.hhHGS0UgYTyJIkeqlSGCpHuQXYlJG/",
        ),
        (
            "a longer pässword, of more than sixteen bytes — and more than thirty-two, and than sixty-four bytes!",
            "$apr1$JcCeOiv3$tMMUyQq4X34tyRK7k2HXJ0",
        ),
        (
            "a longer pässword, of more than sixteen bytes — and more than thirty-two, and than sixty-four bytes!",
            "$6$saltstringsaltst$wrJ1bGHCT2AAIvLGnY6HcgBMYC0gBVTadVz6vo2VPHGZx7F8ERRUHkIivkyPEQGk8CoZcaoa7SrEBkjYSROm20",
        ),
        (
            "Harbor12345",
            "$5$rounds=1000$roundssalt$exNqkHhlchgS3LSMdm5kbzY17moz3yIgF15TNa/tUi5",
        ),
        (
            "Harbor12345",
            "$2b$04$abcdefghijklmnopqrstuuK0U8J8TakttDFm7lNKbqWBh3Sz8apzm",
        ),
        ("Harbor12345", "{SSHA}yiqHRHa7ffbWvYYajh3pNWQJ9tlOYUNs"),
        (
            "Hello world!",
            "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
        ),
        (
            "Hello world!",
            "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
        ),
    ];

    #[test]
    fn each_hash_knows_its_own_password_only() {
        for (password, text) in HASHES {
            let hash = ForeignHash::parse(text).unwrap();
            assert!(hash.verify(password.as_bytes()), "{text}");
            for wrong in ["", "Harbor12346", &password[1..], &format!("{password}x")] {
                assert!(!hash.verify(wrong.as_bytes()), "{wrong}: {text}");
            }
        }
    }

    #[test]
    fn of_an_empty_password_no_hash_is_known() {
        let hash = ForeignHash::parse("{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=").unwrap();
        assert!(!hash.verify(b""));
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_a_reason() {
        let bcrypt = |cost: &str| {
            format!("$2y${cost}$abcdefghijklmnopqrstuuUN2F9Xm3c9hwuWIWNs1.eKhWVe7PVDO")
        };
        for (text, reason) in [
            ("rqXexS6ZhobKA", "DES"),
            ("hunter2", "plain text"),
            ("{PLAIN}hunter2", "plain text"),
            ("", "plain text"),
            ("$y$j9T$abc$def", "not known"),
            (
                "$argon2id$v=19$m=4096,t=3,p=1$c29tZXNhbHQ$aaaa",
                "not known",
            ),
            (
                "$2x$05$abcdefghijklmnopqrstuuUN2F9Xm3c9hwuWIWNs1.eKhWVe7PVDO",
                "not known",
            ),
            (&bcrypt("15"), "4 to 14"),
            (&bcrypt("31"), "4 to 14"),
            (&bcrypt("03"), "4 to 14"),
            (&bcrypt("xx"), "malformed"),
            ("$2y$05$short", "malformed"),
            ("$2y$05$äöüäöüäöüäöüäöüäöüäöüäöüäöü", "malformed"),
            ("$6$rounds=999999999$salt$x", "500000"),
            ("$5$rounds=10$salt$x", "500000"),
            ("$5$salt$short", "malformed"),
            ("$6$", "malformed"),
            ("$apr1$toolongsalt$0123456789012345678901", "malformed"),
            ("$apr1$salt", "malformed"),
            ("{SHA}AAAA", "malformed"),
            ("{SSHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "malformed"),
            ("{SHA}*", "malformed"),
        ] {
            let error = ForeignHash::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
