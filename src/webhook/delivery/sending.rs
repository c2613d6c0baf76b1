use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use url::{Position, Url};

use super::{
    connect::{self, connect},
    place,
    signature::Signature,
};
use crate::{secret::Secret, tls::ClientTrust, webhook::handle::Shared};

/// What is sent, and where.
#[derive(Debug)]
pub(super) struct Letter {
    /// For the log.
    pub subject: String,
    pub address: String,
    pub skip_cert_verify: bool,
    pub content_type: String,
    pub auth_header: Option<Secret>,
    pub signature: Option<Signature>,
    /// Header `webhook-id`: the same for every try, and for every target of one event.
    pub id: String,
    pub body: Bytes,
}

/// How sending ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Taken {
        status: StatusCode,
    },
    Refused {
        status: StatusCode,
        retry_after: Option<Duration>,
    },
    Unreachable {
        problem: String,
    },
    /// It may not be sent there, or cannot be sent at all.
    Forbidden {
        problem: String,
    },
}

/// Sends once, over a connection of its own: receivers are many and hear little.
pub(super) async fn send(shared: &Shared, letter: &Letter) -> Outcome {
    let limit = shared.config.timeout();
    let sent = tokio::time::timeout(limit, attempt(shared, letter)).await;
    sent.unwrap_or_else(|_elapsed| Outcome::Unreachable {
        problem: format!(
            "{} has not answered within {} s",
            place(&letter.address),
            limit.as_secs()
        ),
    })
}

async fn attempt(shared: &Shared, letter: &Letter) -> Outcome {
    let forbidden = |problem: String| Outcome::Forbidden { problem };
    let url = match Url::parse(&letter.address) {
        Ok(url) => url,
        Err(error) => return forbidden(format!("the target's address: {error}")),
    };
    let request = match request(letter, &url) {
        Ok(request) => request,
        Err(error) => return forbidden(format!("the target's headers: {error}")),
    };
    let trust = ClientTrust {
        insecure: letter.skip_cert_verify,
        ..ClientTrust::default()
    };
    let stream = match connect(&shared.config, &shared.proxies, &url, &trust).await {
        Ok(stream) => stream,
        Err(connect::Error::Forbidden(refusal)) => {
            return forbidden(format!("{}: {refusal}", place(&letter.address)));
        }
        Err(error) => {
            return Outcome::Unreachable {
                problem: format!("{} {error}", place(&letter.address)),
            };
        }
    };
    exchange(stream, request).await.unwrap_or_else(|error| {
        let place = place(&letter.address);
        Outcome::Unreachable {
            problem: format!("{place} broke off: {error}"),
        }
    })
}

async fn exchange(
    stream: Box<dyn connect::Stream>,
    request: Request<Full<Bytes>>,
) -> Result<Outcome, hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let talk = async {
        let answer = sender.send_request(request).await?;
        let (parts, body) = answer.into_parts();
        // Read so that the receiver sees its answer taken; what it says is nobody's to see.
        let _too_long_or_cut = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        Ok::<_, hyper::Error>(parts)
    };
    let parts = tokio::select! {
        parts = talk => parts?,
        // Ends first when it breaks; the other branch then says why.
        Err(error) = connection => return Err(error),
    };
    if parts.status.is_success() {
        return Ok(Outcome::Taken {
            status: parts.status,
        });
    }
    let wait = parts.headers.get(header::RETRY_AFTER);
    let seconds = wait.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Ok(Outcome::Refused {
        status: parts.status,
        retry_after: seconds.map(Duration::from_secs),
    })
}

fn request(letter: &Letter, url: &Url) -> Result<Request<Full<Bytes>>, http::Error> {
    let host = &url[Position::BeforeHost..Position::AfterPort];
    let target = &url[Position::BeforePath..Position::AfterQuery];
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(target)
        .header(header::HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONTENT_TYPE, &letter.content_type)
        .header("webhook-id", &letter.id);
    if let Some(signature) = &letter.signature {
        request = request
            .header("webhook-timestamp", signature.timestamp)
            .header("webhook-signature", &signature.value);
    }
    if let Some(auth_header) = &letter.auth_header {
        let mut value = HeaderValue::from_str(auth_header.expose())?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    request.body(Full::new(letter.body.clone()))
}

const USER_AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));
const MAX_ANSWER_BYTES: usize = 64 * 1024;
