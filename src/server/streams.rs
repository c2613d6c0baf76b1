//! The streams of an HTTP/2 connection. Each is a task; one whose client takes nothing of its
//! answer is reset, for neither hyper nor the socket notices: a stream without a window waits, and
//! holds a connection to the registry or a file.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;

use crate::wire::{Patience, size_hint_behind};

/// Runs the streams of a connection, and gives up those that stand still for as long as this.
#[derive(Debug, Clone)]
pub(super) struct Streams(pub(super) Duration);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        tokio::spawn(FLOW.scope(Flow::default(), until_held(stream, self.0)));
    }
}

/// Runs until nobody has asked for more of the answer for so long. Dropped, the stream is reset.
async fn until_held<F: Future>(stream: F, limit: Duration) {
    let mut stream = pin!(stream);
    let mut patience = Patience::new(limit);
    let mut seen = 0;
    poll_fn(|context| {
        if stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let (is_held, pieces) = FLOW.with(|flow| (flow.is_held.get(), flow.pieces.get()));
        if !is_held || pieces != seen {
            seen = pieces;
            patience.renew();
        }
        if is_held {
            ready!(patience.poll_exhausted(context));
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

tokio::task_local! {
    static FLOW: Flow;
}

/// How far the answer of a stream has come.
#[derive(Debug, Default)]
struct Flow {
    /// Pieces handed out.
    pieces: Cell<u64>,
    /// Whether the last one waits for the client: the next has not been asked for.
    is_held: Cell<bool>,
}

/// The body of a stream's answer. hyper asks for a piece when the client's window has room behind
/// the ones before.
pub(super) struct Pieces<B> {
    body: B,
    /// What is left of a frame.
    rest: Bytes,
}

impl<B> Pieces<B> {
    pub(super) fn new(body: B) -> Self {
        Self {
            body,
            rest: Bytes::new(),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Pieces<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        FLOW.with(|flow| flow.is_held.set(false));
        if self.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        FLOW.with(|flow| {
            flow.pieces.set(flow.pieces.get() + 1);
            flow.is_held.set(true);
        });
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        size_hint_behind(&self.rest, &self.body)
    }
}

/// What a client must take in one time of patience; also what a stream holds in memory for it: all
/// of a connection 8 MiB, as they may of what the client sends.
const PIECE_BYTES: usize = 64 << 10;
