use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::{BoxError, body::size_hint_behind};

/// A speed limit, as [`Throttled`] asks it.
pub trait Meter {
    /// How many bytes may go at once; `None`: any number.
    fn portion(&self) -> Option<usize>;
    /// So many bytes have gone.
    fn pay(&mut self, bytes: usize);
    /// How long nothing more may go, as things are now.
    fn wait(&self) -> Duration;
}

/// A body that keeps to the speed its meter allows, also when that changes meanwhile.
#[derive(Debug)]
pub struct Throttled<B, M> {
    body: B,
    meter: M,
    /// Of the frame whose first bytes have gone.
    rest: Bytes,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<B, M: Meter> Throttled<B, M> {
    pub fn new(body: B, meter: M) -> Self {
        Self {
            body,
            meter,
            rest: Bytes::new(),
            sleep: None,
        }
    }

    /// Until the next bytes may go, by the limits as they are then.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(context));
                self.sleep = None;
            }
            let wait = self.meter.wait().min(LOOK_AGAIN);
            if wait.is_zero() {
                return Poll::Ready(());
            }
            self.sleep = Some(Box::pin(tokio::time::sleep(wait)));
        }
    }

    /// As much of `data` as may go at once; the rest is kept.
    fn portion(&mut self, mut data: Bytes) -> Bytes {
        let most = self.meter.portion().unwrap_or(data.len());
        self.rest = data.split_off(most.min(data.len()));
        self.meter.pay(data.len());
        data
    }
}

impl<B, M> Body for Throttled<B, M>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
    M: Meter + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        ready!(this.poll_turn(context));
        let mut data = std::mem::take(&mut this.rest);
        if data.is_empty() {
            let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(next))) => data = next,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(this.portion(data)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        size_hint_behind(&self.rest, &self.body)
    }
}

/// How soon a changed limit is seen by who waits for long.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
