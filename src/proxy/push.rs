//! A manifest PUT (end-7), read whole: it is small, and its digest decides what it is.

use std::{io, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Response, header::CONTENT_TYPE};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::{
    Change, ChangeKind, Inner, Outcome, Push, Refusal, Ticket, authorise::Admitted,
    conclude::outcome, intend::gated, memory::Held, observer::FOLLOW_UP_HEADER,
};
use crate::{
    failpoint,
    oci::{Digest, ErrorCode, MAX_MANIFEST_BYTES, Manifest, Reference, Route},
    wire::{Body, ExchangeError},
};

impl Inner {
    /// Checks the manifest and hands it on. From then on the exchange belongs to the gateway: a
    /// client that goes away does not stop it half way.
    pub(super) async fn push(
        self: Arc<Self>,
        admitted: Admitted,
        body: Body,
    ) -> Result<Response<Body>, Refusal> {
        let Route::Manifest {
            reference, tags, ..
        } = &admitted.asked.route
        else {
            return Err(Refusal::new(ErrorCode::NotFound, "this is no manifest"));
        };
        let (account, length) = (&admitted.actor.name, body.size_hint().upper());
        let mut memory = self.manifest_memory.hold(account, length).await?;
        let bytes = self.read(body, &mut memory).await?;
        let digest = check_digest(reference, &bytes)?;
        failpoint::hit("proxy.manifest_read");
        let media_type = admitted.asked.header(CONTENT_TYPE.as_str());
        let media_type = media_type.unwrap_or_default();
        let push = Push {
            reference: reference.clone(),
            tags: tags.clone(),
            digest,
            size_bytes: bytes.len() as u64,
            manifest: Manifest::parse(media_type, &bytes).ok().map(Arc::new),
            media_type: media_type.to_owned(),
        };
        let inner = Arc::clone(&self);
        let exchange = self.parts.tasks.spawn(async move {
            // The bytes may outlive the client, and their share of the memory with them.
            let _memory = memory;
            inner.commit_push(&admitted, push, bytes).await
        });
        exchange.await.unwrap_or_else(|_panicked| {
            Err(Refusal::new(
                ErrorCode::Unknown,
                "the push could not be finished",
            ))
        })
    }

    /// Reads the manifest, which must not only keep coming but come to an end.
    async fn read(&self, body: Body, held: &mut Held) -> Result<Bytes, Refusal> {
        let limit = self.parts.config.manifest_read_limit();
        let read = timeout(limit, read(body, held)).await;
        read.unwrap_or_else(|_elapsed| {
            let seconds = limit.as_secs();
            let message = format!("the manifest did not arrive within {seconds} seconds");
            Err(Refusal::new(ErrorCode::BadRequest, message))
        })
    }

    async fn commit_push(
        &self,
        admitted: &Admitted,
        push: Push,
        bytes: Bytes,
    ) -> Result<Response<Body>, Refusal> {
        let digest = push.digest.clone();
        let change = self
            .change(admitted, ChangeKind::Push(push))
            .map(Arc::new)
            .ok_or_else(|| Refusal::new(ErrorCode::NotFound, "this is no manifest"))?;
        let rules = self.parts.auth.immutable(&change.repository).await?;
        let _turn = self.guard_immutable(&change, &rules).await?;
        let reserved = self.guard_quota(&change).await?;
        self.parts.observer.begin(&change);
        let (first, ticket) = self.hand_over(admitted, &change, &bytes).await?;
        let is_second = first.as_ref().is_err_and(is_worth_another_try);
        let answer = if is_second {
            self.send_whole(admitted, bytes).await
        } else {
            first
        };
        failpoint::hit("proxy.upstream_answered");
        let outcome = match outcome(&change, &answer) {
            // The second time says nothing of what the first one did.
            Outcome::Refused { .. } if is_second => Outcome::Unknown,
            other => other,
        };
        let follow_up = ticket
            .as_ref()
            .and_then(Ticket::follow_up)
            .map(str::to_owned);
        if let Some(reserved) = reserved
            && !matches!(outcome, Outcome::Refused { .. })
        {
            reserved.stored();
        }
        self.conclude(&change, ticket, &outcome).await;
        failpoint::hit("proxy.push_concluded");
        let mut response = self.relay(admitted, answer?)?;
        name_digest(&mut response, &digest);
        name_follow_up(&mut response, follow_up);
        Ok(response)
    }

    async fn hand_over(
        &self,
        admitted: &Admitted,
        change: &Arc<Change>,
        bytes: &Bytes,
    ) -> Result<HandedOver, Refusal> {
        if self.parts.observer.wants(&change.repository) {
            self.send_gated(admitted, change, bytes).await
        } else {
            Ok((self.send_whole(admitted, bytes.clone()).await, None))
        }
    }

    /// Sends the manifest while the change is being written down.
    async fn send_gated(
        &self,
        admitted: &Admitted,
        change: &Arc<Change>,
        bytes: &Bytes,
    ) -> Result<HandedOver, Refusal> {
        let (gate, body) = gated(bytes);
        let request = self.build_change(&admitted.asked, body)?;
        let intent = async {
            let intent = self.intend(change).await;
            match &intent {
                Ok(_) => {
                    gate.open();
                    failpoint::hit("proxy.gate_opened");
                }
                Err(_) => drop(gate),
            }
            intent
        };
        let (answer, intent) = tokio::join!(self.parts.upstream.send(request), intent);
        match intent {
            Ok(ticket) => Ok((answer, ticket)),
            Err(refusal) => {
                let status = refusal.code().status();
                self.conclude(change, None, &Outcome::Refused { status })
                    .await;
                Err(refusal)
            }
        }
    }

    /// Once more, if need be: the bytes are the same and so is their effect, and docker never
    /// tries a manifest twice itself.
    async fn send_whole(
        &self,
        admitted: &Admitted,
        bytes: Bytes,
    ) -> Result<Response<Body>, ExchangeError> {
        let body = Body::Full(bytes);
        match self.build_change(&admitted.asked, body) {
            Ok(request) => self.parts.upstream.send(request).await,
            Err(refusal) => Err(ExchangeError::Unreachable {
                address: "the registry behind".into(),
                source: refusal.message().into(),
            }),
        }
    }
}

/// The registry's answer, and the intent if one was written down.
type HandedOver = (Result<Response<Body>, ExchangeError>, Option<Ticket>);

/// A connection that broke off may have been a stale one; a registry that is silent for minutes
/// would be so again.
fn is_worth_another_try(error: &ExchangeError) -> bool {
    let ExchangeError::Interrupted { source, .. } = error else {
        return false;
    };
    let io = source.downcast_ref::<io::Error>();
    io.is_none_or(|error| error.kind() != io::ErrorKind::TimedOut)
}

/// Into memory that is reserved as the bytes come.
async fn read(mut body: Body, held: &mut Held) -> Result<Bytes, Refusal> {
    let too_large = || {
        Refusal::new(
            ErrorCode::ManifestTooLarge,
            format!("the manifest is larger than {MAX_MANIFEST_BYTES} bytes"),
        )
    };
    if body.size_hint().lower() > MAX_MANIFEST_BYTES as u64 {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_broken| {
            Refusal::new(ErrorCode::BadRequest, "the manifest did not arrive whole")
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let length = bytes.len() + data.len();
        if length > MAX_MANIFEST_BYTES {
            return Err(too_large());
        }
        held.grow_to(length).await?;
        // A vector that grows by itself would take more than is held.
        if length > bytes.capacity() {
            bytes.reserve_exact(held.bytes() - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    if bytes.is_empty() {
        return Err(Refusal::new(
            ErrorCode::ManifestInvalid,
            "the manifest is empty",
        ));
    }
    bytes.shrink_to_fit();
    held.shrink_to(bytes.len());
    Ok(bytes.into())
}

fn check_digest(reference: &Reference, bytes: &[u8]) -> Result<Digest, Refusal> {
    let Reference::Digest(expected) = reference else {
        return Ok(Digest::sha256(bytes));
    };
    let actual = Digest::of(expected.algorithm(), bytes);
    if actual == *expected {
        return Ok(actual);
    }
    let message = format!("the manifest's digest is {actual}, not {expected}");
    Err(Refusal::new(ErrorCode::DigestInvalid, message))
}

/// docker fails a push whose answer does not name the digest.
fn name_digest(response: &mut Response<Body>, digest: &Digest) {
    const NAME: &str = "docker-content-digest";
    if !response.status().is_success() || response.headers().contains_key(NAME) {
        return;
    }
    if let Ok(value) = HeaderValue::from_str(digest.as_str()) {
        response.headers_mut().insert(NAME, value);
    }
}

fn name_follow_up(response: &mut Response<Body>, path: Option<String>) {
    let path = path.filter(|_| response.status().is_success());
    if let Some(Ok(path)) = path.map(HeaderValue::try_from) {
        response.headers_mut().insert(FOLLOW_UP_HEADER, path);
    }
}
