//! Connections of HTTP/1: whatever a client sends, each request that the service sees has one
//! meaning, and every answer is whole.

#![no_main]

use std::{
    cell::RefCell,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::{
    Method, Request, Response, Version,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
    request::Parts,
};
use libfuzzer_sys::fuzz_target;
use tidegate::{
    server::fuzzing::http1,
    wire::{Body, collect},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::{Builder, Runtime},
};

fuzz_target!(|data: &[u8]| {
    let whole = serve(vec![data]);
    for request in &whole.seen {
        request.check();
    }
    whole.check_answers();
    // However the bytes arrive, they mean the same.
    let in_pieces = serve(data.chunks(1).collect());
    assert_eq!(in_pieces.seen, whole.seen);
    // Written as strictly as one can, they mean the same.
    if whole.seen.iter().all(|request| request.body.is_some()) {
        let written: Vec<u8> = whole.seen.iter().flat_map(Seen::written).collect();
        assert_eq!(serve(vec![&written]).seen, whole.seen);
    }
});

/// A request as the service saw it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    method: Method,
    target: String,
    version: Version,
    /// In the order of their names, without those that frame the body.
    headers: Vec<(String, Vec<u8>)>,
    framing: Framing,
    /// `None`: it was cut or malformed.
    body: Option<Vec<u8>>,
}

/// How the client said where the body ends, which may be said in other ways.
#[derive(Debug)]
struct Framing {
    hosts: usize,
    lengths: Vec<Vec<u8>>,
    codings: Vec<Vec<u8>>,
}

impl PartialEq for Framing {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Framing {}

impl Seen {
    fn of(head: &Parts, body: Option<Vec<u8>>) -> Self {
        assert!(head.uri.authority().is_none() && head.uri.scheme().is_none());
        let values = |name| {
            let values = head.headers.get_all(name).iter();
            values.map(|value| value.as_bytes().to_vec()).collect()
        };
        let others = head.headers.iter();
        let others = others.filter(|(name, _)| ![CONTENT_LENGTH, TRANSFER_ENCODING].contains(name));
        let mut headers: Vec<_> = others
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect();
        headers.sort();
        Self {
            method: head.method.clone(),
            target: head.uri.to_string(),
            version: head.version,
            headers,
            framing: Framing {
                hosts: head.headers.get_all(HOST).iter().count(),
                lengths: values(CONTENT_LENGTH),
                codings: values(TRANSFER_ENCODING),
            },
            body,
        }
    }

    /// What another server could understand otherwise is not let in.
    fn check(&self) {
        let Framing {
            hosts,
            lengths,
            codings,
        } = &self.framing;
        assert!(self.target.starts_with('/'), "{self:?}");
        assert!(
            self.target.bytes().all(|byte| byte > b' ' && byte != 0x7f),
            "{self:?}"
        );
        assert!(
            *hosts == 1 || (*hosts == 0 && self.version == Version::HTTP_10),
            "{self:?}"
        );
        assert!(lengths.is_empty() || codings.is_empty(), "{self:?}");
        assert!(
            codings
                .iter()
                .all(|coding| coding.eq_ignore_ascii_case(b"chunked")),
            "{self:?}"
        );
        for length in lengths {
            assert!(length.iter().all(u8::is_ascii_digit), "{self:?}");
            let length = str::from_utf8(length)
                .ok()
                .and_then(|text| text.parse().ok());
            assert!(
                self.body
                    .as_ref()
                    .is_none_or(|body| length == Some(body.len())),
                "{self:?}"
            );
        }
        if lengths.is_empty() && codings.is_empty() {
            assert!(self.body.as_ref().is_some_and(Vec::is_empty), "{self:?}");
        }
    }

    fn written(&self) -> Vec<u8> {
        let mut text = format!("{} {} {:?}\r\n", self.method, self.target, self.version);
        let body = self.body.as_deref().unwrap_or_default();
        if !body.is_empty() {
            text.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        let mut bytes = text.into_bytes();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes.extend(body);
        bytes
    }
}

/// A connection from its beginning to its end.
struct Served {
    seen: Vec<Seen>,
    answers: Vec<u8>,
}

fn serve(pieces: Vec<&[u8]>) -> Served {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let service = {
        let seen = seen.clone();
        tower::service_fn(move |request| answer(request, seen.clone()))
    };
    let (gateway, client) = tokio::io::duplex(1 << 20);
    let (mut reader, mut writer) = tokio::io::split(client);
    let send = async {
        for piece in pieces {
            // Whoever is refused may be hung up on.
            if writer.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        // Silent from here on, and not gone: who is gone gets no answer.
    };
    let mut answers = Vec::new();
    let receive = reader.read_to_end(&mut answers);
    RUNTIME.with_borrow(|runtime| {
        runtime.block_on(async {
            let (_, _, received) = tokio::join!(http1(gateway, service), send, receive);
            received.expect("memory");
        });
    });
    let seen = std::mem::take(&mut *seen.lock().expect("no other thread"));
    Served { seen, answers }
}

async fn answer(
    request: Request<Body>,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = collect(body, 1 << 20)
        .await
        .ok()
        .map(|bytes| bytes.to_vec());
    let mut seen = seen.lock().expect("no other thread");
    let number = seen.len();
    seen.push(Seen::of(&head, body));
    let answer = Response::builder().header("number", number);
    Ok(answer
        .body(Body::from(format!("answer {number}")))
        .expect("an answer"))
}

impl Served {
    /// Every request has one whole answer, in their order; refusals stand between them.
    fn check_answers(&self) {
        let mut rest = self.answers.as_slice();
        let mut answered = 0;
        while !rest.is_empty() {
            let end = rest.windows(4).position(|four| four == b"\r\n\r\n");
            let (head, body) = rest.split_at(end.expect("a whole head") + 4);
            let head = str::from_utf8(head).expect("ASCII");
            let status = head
                .strip_prefix("HTTP/1.1 ")
                .or(head.strip_prefix("HTTP/1.0 "));
            let status = status.and_then(|rest| rest.get(..3)).expect("a status");
            if status.starts_with('1') {
                rest = body;
                continue;
            }
            let field = |name: &str| {
                let lines = head.lines().filter_map(|line| line.split_once(": "));
                let mut values = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
                let value = values.next().map(|(_, value)| value.to_owned());
                assert!(values.next().is_none(), "two {name}");
                value
            };
            let length = field("content-length").and_then(|text| text.parse().ok());
            let length: usize = length.expect("a length");
            let has_body = match field("number") {
                Some(number) => {
                    assert_eq!(number, answered.to_string());
                    answered += 1;
                    self.seen[answered - 1].method != Method::HEAD
                }
                // The sentence of a refusal, which an answer to HEAD does not have.
                None => body.first() == Some(&b'{'),
            };
            rest = if has_body { &body[length..] } else { body };
        }
        assert_eq!(answered, self.seen.len());
    }
}

thread_local! {
    static RUNTIME: RefCell<Runtime> = RefCell::new({
        // Times pass when there is nothing to do.
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime")
    });
}
