//! `Range` and `Content-Range`, behind a first line with the size: no part lies outside of what
//! there is, and what is announced has as many bytes as it says.

#![no_main]

use http::{
    HeaderMap, HeaderValue,
    header::{IF_RANGE, RANGE},
};
use libfuzzer_sys::fuzz_target;
use tidegate::{
    embedded::fuzzing::{announced, wanted},
    oci::Digest,
};

fuzz_target!(|data: &str| {
    let (first, text) = data.split_once('\n').unwrap_or(("100", data));
    let Ok(size) = first.parse::<u64>() else {
        return;
    };
    let digest = Digest::sha256(b"content");
    if let Ok(value) = HeaderValue::from_str(text) {
        let mut headers = HeaderMap::from_iter([(RANGE, value.clone())]);
        if let Some((first, last)) = wanted(&headers, &digest, size) {
            assert!(first <= last, "{text} of {size}");
            assert!(last < size.max(1), "{text} of {size}");
        } else {
            assert!(text.starts_with("bytes="));
        }
        // Of other content nothing but the whole is of use.
        headers.insert(IF_RANGE, HeaderValue::from_static("\"sha256:other\""));
        let whole = Some((0, size.saturating_sub(1)));
        assert_eq!(wanted(&headers, &digest, size), whole);
    }
    if let Some((first, last)) = announced(text) {
        assert!(first <= last && (last - first).checked_add(1).is_some());
        assert_eq!(announced(&format!("{first}-{last}")), Some((first, last)));
    }
});
