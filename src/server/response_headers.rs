use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONNECTION, CONTENT_LENGTH, STRICT_TRANSPORT_SECURITY, TE, TRAILER, TRANSFER_ENCODING,
        UPGRADE,
    },
};

/// Headers that the operator wants in every answer, as nginx's `add_header … always`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct ResponseHeaders(Vec<(HeaderName, HeaderValue)>);

impl ResponseHeaders {
    /// Adds those that are not there yet, to the answer to a client that speaks `scheme`.
    pub(super) fn add_to(&self, headers: &mut HeaderMap, scheme: &str) {
        for (name, value) in &self.0 {
            // RFC 6797 §7.2: not over plain HTTP.
            if name != STRICT_TRANSPORT_SECURITY || scheme == "https" {
                headers.entry(name).or_insert_with(|| value.clone());
            }
        }
    }
}

impl TryFrom<Vec<String>> for ResponseHeaders {
    type Error = String;

    fn try_from(lines: Vec<String>) -> Result<Self, String> {
        let headers = lines.iter().map(|line| header(line));
        headers.collect::<Result<_, _>>().map(Self)
    }
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parsed = line.split_once(':').and_then(|(name, value)| {
        let name = name.trim().parse::<HeaderName>().ok()?;
        Some((name, HeaderValue::from_str(value.trim()).ok()?))
    });
    let (name, value) = parsed.ok_or_else(|| {
        format!("\"{line}\" is no header; write for example \"X-Frame-Options: DENY\"")
    })?;
    if OF_THE_CONNECTION.contains(&name) {
        return Err(format!(
            "\"{line}\": how a body is framed is not for the configuration"
        ));
    }
    Ok((name, value))
}

const OF_THE_CONNECTION: [HeaderName; 6] = [
    CONNECTION,
    CONTENT_LENGTH,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> Result<ResponseHeaders, String> {
        ResponseHeaders::try_from(
            lines
                .iter()
                .map(|line| (*line).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn headers_are_added_where_they_are_missing() {
        let added = headers(&[
            "Strict-Transport-Security: max-age=31536000; includeSubDomains",
            "x-frame-options:DENY",
        ])
        .unwrap();
        for (scheme, sts) in [("https", true), ("http", false)] {
            let mut answer = HeaderMap::new();
            answer.insert("x-frame-options", HeaderValue::from_static("SAMEORIGIN"));
            added.add_to(&mut answer, scheme);
            assert_eq!(answer["x-frame-options"], "SAMEORIGIN");
            assert_eq!(answer.contains_key(STRICT_TRANSPORT_SECURITY), sts);
        }
        let mut empty = HeaderMap::new();
        added.add_to(&mut empty, "http");
        assert_eq!(empty["x-frame-options"], "DENY");
    }

    #[test]
    fn what_is_no_header_or_frames_bodies_is_refused() {
        for line in [
            "X-A",
            "a b: c",
            "X-A: b\nc",
            "Content-Length: 3",
            "connection: close",
        ] {
            let error = headers(&[line]).unwrap_err();
            assert!(error.contains(line), "{error}");
        }
    }
}
