//! Signatures of the Standard Webhooks specification, version `v1`
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{secret::Secret, webhook::policy::signing_key};

/// What proves to a receiver that a delivery is ours and new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    /// Header `webhook-timestamp`: seconds since the Unix epoch.
    pub timestamp: i64,
    /// Header `webhook-signature`.
    pub value: String,
}

/// The signature of a body that is sent at a time.
pub(super) fn of(
    secret: &Secret,
    id: &str,
    (timestamp, body): (i64, &str),
) -> Result<Signature, String> {
    let key = signing_key(secret).map_err(|error| error.to_string())?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let content = format!("{id}.{timestamp}.{body}");
    let tag = hmac::sign(&key, content.as_bytes());
    Ok(Signature {
        timestamp,
        value: format!("v1,{}", STANDARD.encode(tag)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference implementations.
    #[test]
    fn the_example_of_the_standard_is_signed_as_the_standard_says() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = r#"{"test": 2432232314}"#;
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signature = of(&secret, id, (1_614_265_330, body)).unwrap();
        assert_eq!(
            signature.value,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
