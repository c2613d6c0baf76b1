use http::{
    HeaderMap,
    header::{IF_NONE_MATCH, IF_RANGE, RANGE},
};

use crate::oci::Digest;

/// The entity tag of content: its digest in quotes.
pub(super) fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether the client has the content already (RFC 9110 §13.1.2). Digests without quotes count
/// too, as distribution has it.
pub(super) fn is_known(headers: &HeaderMap, digest: &Digest) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| {
            let tag = tag.trim();
            let opaque = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"');
            tag == "*" || opaque == digest.as_str()
        })
}

/// Which bytes of content a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::embedded) enum Wanted {
    Whole,
    /// Both ends included.
    Part {
        first: u64,
        last: u64,
    },
    Unsatisfiable,
}

impl Wanted {
    /// Reads `Range` and `If-Range` (RFC 9110 §14.2, §13.1.5). Several ranges at once, other
    /// units and malformed ranges are passed over, as the standard lets us.
    pub(in crate::embedded) fn parse(headers: &HeaderMap, digest: &Digest, size: u64) -> Self {
        let unchanged = headers
            .get(IF_RANGE)
            .is_none_or(|tag| tag.as_bytes() == etag(digest).as_bytes());
        let range = headers.get(RANGE).and_then(|range| range.to_str().ok());
        match range.and_then(|range| range.strip_prefix("bytes=")) {
            Some(spec) if unchanged => Self::of_spec(spec.trim(), size),
            _ => Self::Whole,
        }
    }

    fn of_spec(spec: &str, size: u64) -> Self {
        match spec.split_once('-') {
            Some(("", suffix)) => number(suffix).map_or(Self::Whole, |n| Self::end(n, size)),
            Some((first, "")) => {
                number(first).map_or(Self::Whole, |first| Self::between(first, u64::MAX, size))
            }
            Some((first, last)) => match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => Self::between(first, last, size),
                _ => Self::Whole,
            },
            None => Self::Whole,
        }
    }

    fn between(first: u64, last: u64, size: u64) -> Self {
        if first >= size {
            return Self::Unsatisfiable;
        }
        let last = last.min(size - 1);
        Self::Part { first, last }
    }

    /// The last `length` bytes.
    fn end(length: u64, size: u64) -> Self {
        if length == 0 {
            return Self::Unsatisfiable;
        }
        Self::between(size.saturating_sub(length), u64::MAX, size)
    }
}

/// A number too large is as good as endless.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(range: &'static str, size: u64) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, http::HeaderValue::from_static(range));
        Wanted::parse(&headers, &Digest::sha256(b""), size)
    }

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let part = |first, last| Wanted::Part { first, last };
        let cases = [
            ("bytes=0-9", 100, part(0, 9)),
            ("bytes=0-0", 100, part(0, 0)),
            ("bytes=90-", 100, part(90, 99)),
            ("bytes=-10", 100, part(90, 99)),
            ("bytes=-200", 100, part(0, 99)),
            ("bytes=50-200", 100, part(50, 99)),
            ("bytes=0-99999999999999999999999", 100, part(0, 99)),
            ("bytes=100-", 100, Wanted::Unsatisfiable),
            ("bytes=0-", 0, Wanted::Unsatisfiable),
            ("bytes=-0", 100, Wanted::Unsatisfiable),
            ("bytes=-5", 0, Wanted::Unsatisfiable),
            ("bytes=9-0", 100, Wanted::Whole),
            ("bytes=0-1,5-6", 100, Wanted::Whole),
            ("bytes=-", 100, Wanted::Whole),
            ("bytes=a-b", 100, Wanted::Whole),
            ("bytes=+1-2", 100, Wanted::Whole),
            ("items=0-1", 100, Wanted::Whole),
        ];
        for (range, size, expected) in cases {
            assert_eq!(wanted(range, size), expected, "{range} of {size}");
        }
    }

    #[test]
    fn a_range_of_other_content_is_passed_over() {
        let digest = Digest::sha256(b"x");
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, http::HeaderValue::from_static("bytes=0-0"));
        headers.insert(IF_RANGE, http::HeaderValue::from_static("\"other\""));
        assert_eq!(Wanted::parse(&headers, &digest, 9), Wanted::Whole);
        headers.insert(IF_RANGE, etag(&digest).parse().unwrap());
        let first = Wanted::Part { first: 0, last: 0 };
        assert_eq!(Wanted::parse(&headers, &digest, 9), first);
    }

    #[test]
    fn entity_tags_match_with_and_without_quotes() {
        let digest = Digest::sha256(b"x");
        let known = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, value.parse().unwrap());
            is_known(&headers, &digest)
        };
        assert!(known(digest.as_str()) && known(&etag(&digest)) && known("*"));
        assert!(known(&format!("\"a\", W/{}", etag(&digest))));
        assert!(!known("\"a\"") && !is_known(&HeaderMap::new(), &digest));
    }
}
