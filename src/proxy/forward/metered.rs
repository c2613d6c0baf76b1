use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body as _, Frame, SizeHint};

use crate::{
    quota::{self, Reservation},
    wire::{Body, BoxError},
};

/// A body of unknown length that ends with a [`quota::Error`] before it passes its project's
/// limit. What says how long it is was reserved whole.
struct Metered {
    body: Body,
    reservation: Reservation,
    waiting: Option<Waiting>,
}

/// A frame that waits for the project's use to be read.
type Waiting = (Frame<Bytes>, BoxFuture<'static, Result<(), quota::Error>>);

/// The body, held against what was reserved for it.
pub(super) fn body(body: Body, reserved: Option<&Reservation>) -> Body {
    match reserved {
        Some(reservation) if body.size_hint().exact().is_none() => Body::boxed(Metered {
            body,
            reservation: reservation.clone(),
            waiting: None,
        }),
        _ => body,
    }
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.waiting.is_none() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                ended => return Poll::Ready(ended),
            };
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            let bytes = self.reservation.bytes().saturating_add(length);
            if self.reservation.try_extend(bytes) {
                return Poll::Ready(Some(Ok(frame)));
            }
            let reservation = self.reservation.clone();
            let extended = async move { reservation.extend(None, bytes).await };
            self.waiting = Some((frame, Box::pin(extended)));
        }
        let fits = match &mut self.waiting {
            Some((_, extended)) => ready!(extended.as_mut().poll(context)),
            None => Ok(()),
        };
        let frame = self.waiting.take().map(|(frame, _)| frame);
        Poll::Ready(frame.map(|frame| fits.map(|()| frame).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
