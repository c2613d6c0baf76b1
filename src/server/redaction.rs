//! Query values that open doors and therefore stay out of logs.

use std::fmt;

/// A request target (path and query) as it may be logged.
pub(super) struct Redacted<'a>(pub(super) &'a str);

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((path, query)) = self.0.split_once('?') else {
            return f.write_str(self.0);
        };
        f.write_str(path)?;
        let mut separator = '?';
        for pair in query.split('&') {
            write!(f, "{separator}")?;
            separator = '&';
            match pair.split_once('=') {
                Some((key, _)) if is_secret(key) => write!(f, "{key}=[redacted]")?,
                _ => f.write_str(pair)?,
            }
        }
        Ok(())
    }
}

fn is_secret(key: &str) -> bool {
    let key = percent_encoding::percent_decode_str(key)
        .decode_utf8_lossy()
        .to_ascii_lowercase();
    EXACT.contains(&key.as_str()) || PARTS.iter().any(|part| key.contains(part))
}

/// `_state` is the upload capability of CNCF distribution, `code` that of `OpenID` Connect, `sig`
/// that of Azure's signed URLs.
const EXACT: [&str; 4] = ["_state", "code", "sig", "state"];
/// Any kind of token, password and signed URL (`X-Amz-Signature`, `X-Goog-Credential`, …).
const PARTS: [&str; 5] = ["token", "password", "secret", "signature", "credential"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_queries_are_blotted_out() {
        for (target, shown) in [
            ("/v2/", "/v2/"),
            ("/v2/a?n=1&last=b", "/v2/a?n=1&last=b"),
            ("/u?_state=abc%3D&digest=x", "/u?_state=[redacted]&digest=x"),
            ("/u?%5fstate=abc", "/u?%5fstate=[redacted]"),
            ("/t?Refresh_Token=a&x", "/t?Refresh_Token=[redacted]&x"),
            (
                "/b?X-Amz-Signature=1&X-Amz-Date=2",
                "/b?X-Amz-Signature=[redacted]&X-Amz-Date=2",
            ),
            (
                "/t?account=a&scope=repository:token:pull",
                "/t?account=a&scope=repository:token:pull",
            ),
            ("/p?", "/p?"),
        ] {
            assert_eq!(Redacted(target).to_string(), shown);
        }
    }
}
