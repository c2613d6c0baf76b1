//! AWS Signature Version 4 for requests to the root of a service ("Create a signed AWS API
//! request", AWS IAM User Guide): path `/`, no query, a body in memory.

use std::{collections::BTreeMap, fmt::Write};

use aws_lc_rs::hmac;

use crate::{registry::endpoint::Account, secret};

/// A service in a region.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) region: String,
    pub(super) name: &'static str,
}

/// The value of `Authorization`. `headers` are all that are signed, with lower-case names, `host`
/// and `x-amz-date` (`20150830T123600Z`) among them.
pub(super) fn authorization(
    account: &Account,
    service: &Service,
    method: &str,
    headers: &BTreeMap<&str, &str>,
    body: &[u8],
) -> String {
    let time = headers.get("x-amz-date").copied().unwrap_or_default();
    let day = time.split('T').next().unwrap_or_default();
    let scope = format!("{day}/{}/{}/aws4_request", service.region, service.name);
    let names: Vec<&str> = headers.keys().copied().collect();
    let names = names.join(";");
    let mut canonical = format!("{method}\n/\n\n");
    for (name, value) in headers {
        // Writing to a String does not fail.
        let _ = writeln!(canonical, "{name}:{}", value.trim());
    }
    let _ = write!(
        canonical,
        "\n{names}\n{}",
        hex::encode(secret::sha256(body))
    );
    let hashed = hex::encode(secret::sha256(canonical.as_bytes()));
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashed}");
    let mut key = format!("AWS4{}", account.secret.expose()).into_bytes();
    for part in [day, &service.region, service.name, "aws4_request"] {
        key = mac(&key, part).as_ref().to_vec();
    }
    let signature = hex::encode(mac(&key, &to_sign));
    let key = &account.key;
    format!(
        "AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    /// `get-vanilla`, `post-vanilla` and `post-x-www-form-urlencoded` of AWS's Signature Version 4
    /// test suite.
    #[test]
    fn signatures_are_those_of_the_published_test_suite() {
        let account = Account {
            key: "AKIDEXAMPLE".into(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        };
        let service = Service {
            region: "us-east-1".into(),
            name: "service",
        };
        let vanilla = BTreeMap::from([
            ("host", "example.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
        ]);
        let mut form = vanilla.clone();
        form.insert("content-type", "application/x-www-form-urlencoded");
        for (method, headers, body, names, signature) in [
            (
                "GET",
                &vanilla,
                "",
                "host;x-amz-date",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "POST",
                &vanilla,
                "",
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "POST",
                &form,
                "Param1=value1",
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            let value = authorization(&account, &service, method, headers, body.as_bytes());
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders={names}, Signature={signature}"
            );
            assert_eq!(value, expected, "{method} {body}");
        }
    }
}
