//! The two bodies of an exchange, counted on their way.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::Version;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::record::{Progress, Record};
use crate::wire::{Body, BoxError};

/// The request body. On HTTP/2 what nobody read to its end is read out for a while: clients take
/// the reset of a stream they are still sending on for its answer, and never see the real one.
/// (On HTTP/1.1 the connection lingers instead.)
pub(super) struct Received {
    /// Taken only when dropped.
    body: Option<Incoming>,
    version: Version,
    progress: Arc<Progress>,
}

impl Received {
    pub(super) fn new(body: Incoming, version: Version, progress: Arc<Progress>) -> Self {
        Self {
            body: Some(body),
            version,
            progress,
        }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if self.version == Version::HTTP_2
            && !self.progress.has_ended()
            && let Some(body) = self.body.take()
        {
            // Untracked: it ends by itself in seconds, and at once with its connection.
            tokio::spawn(tokio::time::timeout(READ_OUT, read_out(body)));
        }
    }
}

async fn read_out(mut body: Incoming) {
    while let Some(Ok(_unwanted)) = body.frame().await {}
}

/// As long as an HTTP/1.1 connection lingers.
const READ_OUT: Duration = Duration::from_secs(5);

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.progress.add(data.len() as u64);
                }
                // Behind trailers there is nothing, and who sends them on does not ask.
                if frame.is_trailers() || self.is_end_stream() {
                    self.progress.end();
                }
            }
            Some(Err(_)) => {}
            None => self.progress.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

/// The response body, and with it the exchange's record.
pub(super) struct Sent {
    pub(super) body: Body,
    pub(super) record: Record,
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.record.sent_bytes += data.len() as u64;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
