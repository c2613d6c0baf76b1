//! Challenges, a `WWW-Authenticate` on each line: what one says survives being written anew.

#![no_main]

use http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE};
use libfuzzer_sys::fuzz_target;
use tidegate::registry::fuzzing::{Asked, challenge};

fuzz_target!(|text: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(WWW_AUTHENTICATE, value);
        }
    }
    let Some(asked) = challenge(&headers) else {
        return;
    };
    let mut again = HeaderMap::new();
    again.insert(WWW_AUTHENTICATE, written(&asked));
    assert_eq!(challenge(&again).as_ref(), Some(&asked), "{again:?}");
    // Basic is what is done where nothing better is offered.
    again.insert(
        WWW_AUTHENTICATE,
        HeaderValue::from_static("Basic realm=\"x\""),
    );
    again.append(WWW_AUTHENTICATE, written(&asked));
    assert_eq!(challenge(&again), Some(asked), "{again:?}");
});

fn written(asked: &Asked) -> HeaderValue {
    let text = match asked {
        Asked::Basic => "Basic".to_owned(),
        Asked::Bearer {
            realm,
            service,
            scope,
        } => {
            let mut text = format!("Bearer realm={}", quoted(realm));
            for (name, value) in [("service", service), ("scope", scope)] {
                if let Some(value) = value {
                    text.push_str(&format!(",{name}={}", quoted(value)));
                }
            }
            text
        }
    };
    text.parse().expect("it came in a header")
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
