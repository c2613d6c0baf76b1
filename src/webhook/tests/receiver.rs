//! A receiver on loopback.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, mpsc},
};

/// What it says besides: what an inner service would show to whoever may ask it.
pub(super) const ANSWER: &str = "credentials of the instance";

/// A receiver that answers with the statuses it is given, and then with 200.
pub(super) struct Receiver {
    pub address: String,
    heard: Mutex<mpsc::UnboundedReceiver<Heard>>,
}

/// What it was sent.
#[derive(Debug)]
pub(super) struct Heard {
    pub path: String,
    pub body: Bytes,
    headers: HeaderMap,
}

/// What it does with a request.
struct Desk {
    sender: mpsc::UnboundedSender<Heard>,
    statuses: Mutex<VecDeque<u16>>,
}

impl Desk {
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (parts, body) = request.into_parts();
        let heard = Heard {
            path: parts.uri.to_string(),
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        };
        let _test_is_over = self.sender.send(heard);
        let status = self.statuses.lock().await.pop_front().unwrap_or(200);
        let answer = Response::builder()
            .status(status)
            .header("location", "http://127.0.0.1:1/elsewhere");
        Ok(answer.body(Full::from(ANSWER)).unwrap())
    }
}

/// The address of a receiver that does with each connection what `serve` does.
pub(super) async fn odd<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

impl Receiver {
    pub(super) async fn answering(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (sender, heard) = mpsc::unbounded_channel();
        let desk = Arc::new(Desk {
            sender,
            statuses: Mutex::new(statuses.iter().copied().collect()),
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let desk = Arc::clone(&desk);
                let answer = service_fn(move |request| Arc::clone(&desk).answer(request));
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                tokio::spawn(connection);
            }
        });
        Self {
            address,
            heard: Mutex::new(heard),
        }
    }

    pub(super) async fn next(&self) -> Heard {
        let mut heard = self.heard.lock().await;
        let next = tokio::time::timeout(Duration::from_secs(20), heard.recv());
        next.await.expect("a delivery comes").unwrap()
    }

    pub(super) async fn has_more(&self) -> bool {
        self.heard.lock().await.try_recv().is_ok()
    }
}

impl Heard {
    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// As a receiver verifies it.
    pub(super) fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap());
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key.unwrap());
        let (id, time) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let content = [id.as_bytes(), b".", time.as_bytes(), b".", &self.body].concat();
        let signatures = self.header("webhook-signature").split(' ');
        signatures
            .filter_map(|text| text.strip_prefix("v1,"))
            .any(|text| {
                let tag = STANDARD.decode(text).unwrap();
                aws_lc_rs::hmac::verify(&key, &content, &tag).is_ok()
            })
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}
