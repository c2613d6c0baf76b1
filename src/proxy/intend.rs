//! Phase 5: a change that somebody wants is written down before it can happen.
//!
//! A push flows to the registry behind while it is being written down: only the last byte of
//! the manifest waits, without which the registry can commit nothing.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;

use super::{Change, ChangeKind, Inner, Refusal, Ticket, authorise::Admitted};
use crate::{
    failpoint,
    wire::{Body, BoxError, ORIGIN_HEADER},
};

impl Inner {
    pub(super) fn change(&self, admitted: &Admitted, kind: ChangeKind) -> Option<Change> {
        let asked = &admitted.asked;
        Some(Change {
            repository: asked.route.repository()?.clone(),
            kind,
            actor: admitted.actor.clone(),
            origin: admitted.origin().map(str::to_owned),
            request_id: asked.request_id.clone(),
            at: self.parts.clock.now(),
        })
    }

    /// Writes the change down if anybody wants it.
    pub(super) async fn intend(&self, change: &Arc<Change>) -> Result<Option<Ticket>, Refusal> {
        if !self.parts.observer.wants(&change.repository) {
            return Ok(None);
        }
        let ticket = self.parts.observer.intend(Arc::clone(change)).await?;
        failpoint::hit("proxy.change_intended");
        Ok(Some(ticket))
    }
}

impl Admitted {
    /// Where the request says it comes from; believed of whoever has signed in.
    pub(super) fn origin(&self) -> Option<&str> {
        let text = self.asked.header(ORIGIN_HEADER)?;
        let text = text.get(..text.len().min(MAX_ORIGIN_CHARS))?;
        (!self.actor.name.is_empty()).then_some(text)
    }
}

/// Lets the last byte of a [`gated`] body go. Dropped unopened it makes the body fail, so that
/// the registry behind sees a broken request and not a short one.
pub(super) struct Gate(oneshot::Sender<()>);

impl Gate {
    pub(super) fn open(self) {
        // The other side is gone when the registry answered before it had read everything.
        let _answered_early = self.0.send(());
    }
}

/// A body that holds its last byte back until its gate opens.
pub(super) fn gated(bytes: &Bytes) -> (Gate, Body) {
    let (gate, opened) = oneshot::channel();
    let (first, last) = (
        bytes.slice(..bytes.len().saturating_sub(1)),
        bytes.slice(bytes.len().saturating_sub(1)..),
    );
    let body = Gated {
        first: Some(first).filter(|bytes| !bytes.is_empty()),
        last: Some(last),
        opened,
    };
    (Gate(gate), Body::boxed(body))
}

struct Gated {
    first: Option<Bytes>,
    last: Option<Bytes>,
    opened: oneshot::Receiver<()>,
}

impl http_body::Body for Gated {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if self.last.is_none() {
            return Poll::Ready(None);
        }
        let opened = ready!(Pin::new(&mut self.opened).poll(context));
        let last = self.last.take().map(Frame::data);
        let closed = || io::Error::other("the change could not be written down");
        Poll::Ready(match opened {
            Ok(()) => last.map(Ok),
            Err(_gate_dropped) => Some(Err(closed().into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.last.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self
            .first
            .iter()
            .chain(&self.last)
            .map(Bytes::len)
            .sum::<usize>();
        SizeHint::with_exact(left as u64)
    }
}

/// An origin is a time and the short names of some installations.
const MAX_ORIGIN_CHARS: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::collect;

    #[tokio::test]
    async fn the_last_byte_waits_for_the_gate() {
        use http_body_util::BodyExt;
        let (gate, mut body) = gated(&Bytes::from_static(b"abc"));
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "ab");
        let mut next = std::pin::pin!(body.frame());
        assert!(futures_util::poll!(next.as_mut()).is_pending());
        gate.open();
        assert_eq!(next.await.unwrap().unwrap().into_data().unwrap(), "c");
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_gate_that_is_dropped_breaks_the_body() {
        let (gate, body) = gated(&Bytes::from_static(b"abc"));
        drop(gate);
        let error = collect(body, 10).await.unwrap_err();
        assert!(error.to_string().contains("written down"), "{error}");
    }
}
