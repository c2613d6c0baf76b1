//! Envelopes of notifications: an answer for each, and no change is heard of that is not in it or
//! that the gateway has made itself.

#![no_main]

use std::sync::{Arc, Mutex};

use futures_util::future::{BoxFuture, FutureExt};
use http::{Request, header::AUTHORIZATION};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tidegate::{
    notification::{Change, ChangeKind, Config, Metrics, Observer, Service},
    secret::Secret,
    wire::{Body, BoxError},
};

fuzz_target!(|envelope: &[u8]| {
    let heard = Arc::new(Heard::default());
    let config = Config {
        secret: Some(Secret::new("secret")),
    };
    let service = Service::new(&config, MARK.to_owned(), heard.clone(), Metrics::default());
    let request = Request::post("/service/notifications")
        .header(AUTHORIZATION, "Bearer secret")
        .body(Body::from(envelope.to_vec()))
        .expect("a request");
    let answer = service
        .handle(request)
        .now_or_never()
        .expect("it waits for nothing");
    let changes = heard.0.lock().expect("no other thread").split_off(0);
    if answer.status() != 200 {
        assert_eq!(answer.status(), 400);
        assert!(changes.is_empty());
        return;
    }
    // Text that nobody looks at may be malformed.
    let Ok(value) = serde_json::from_slice::<Value>(envelope) else {
        return;
    };
    let events = value["events"].as_array().cloned().unwrap_or_default();
    let mut foreign = events.iter().filter(|event| {
        let agent = event["request"]["useragent"].as_str();
        !agent.is_some_and(|agent| agent.ends_with(MARK))
    });
    for change in changes {
        // In the order of the events.
        assert!(foreign.any(|event| says(event, &change)), "{change:?}");
    }
});

fn says(event: &Value, change: &Change) -> bool {
    let target = &event["target"];
    let names = |reference: &str| target["tag"] == *reference || target["digest"] == *reference;
    let is_said = match &change.kind {
        ChangeKind::Push { reference, digest } => {
            event["action"] == "push"
                && names(reference.as_str())
                && target["digest"] == *digest.as_str()
        }
        ChangeKind::Delete(reference) => event["action"] == "delete" && names(reference.as_str()),
    };
    is_said && target["repository"] == *change.repository.as_str()
}

#[derive(Default)]
struct Heard(Mutex<Vec<Change>>);

impl Observer for Heard {
    fn heard(&self, change: Change) -> BoxFuture<'_, Result<(), BoxError>> {
        self.0.lock().expect("no other thread").push(change);
        std::future::ready(Ok(())).boxed()
    }
}

const MARK: &str = " tidegate/mark";
