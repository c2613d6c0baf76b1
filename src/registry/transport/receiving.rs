use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

use crate::wire::{Body, BoxError, IdleTimeout};

/// An answer's body; holds its request's slot until it is dropped.
struct Receiving {
    body: IdleTimeout<Incoming>,
    _slot: OwnedSemaphorePermit,
}

/// Bounds the silence within the body of `answer`, and keeps `slot` taken while it lasts.
pub(super) fn hold(
    answer: Response<Incoming>,
    idle: Duration,
    slot: OwnedSemaphorePermit,
) -> Response<Body> {
    answer.map(|incoming| {
        if incoming.is_end_stream() {
            return Body::Empty;
        }
        Body::Boxed(Box::pin(Receiving {
            body: IdleTimeout::new(incoming, idle),
            _slot: slot,
        }))
    })
}

impl http_body::Body for Receiving {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
