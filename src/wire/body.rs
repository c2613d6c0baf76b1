use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::Patience;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A message body. What comes from a socket stays unboxed, for it is the hot path.
#[derive(Default)]
pub enum Body {
    #[default]
    Empty,
    Full(Bytes),
    Incoming(Incoming),
    Boxed(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BoxError> + Send>>),
}

impl Body {
    pub fn boxed<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::Boxed(Box::pin(body.map_err(Into::into)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Full(_) => {
                let Self::Full(bytes) = std::mem::take(this) else {
                    return Poll::Ready(None);
                };
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Incoming(incoming) => Pin::new(incoming).poll_frame(context).map_err(Into::into),
            Self::Boxed(body) => body.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Incoming(incoming) => incoming.is_end_stream(),
            Self::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Incoming(incoming) => incoming.size_hint(),
            Self::Boxed(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Empty => "Empty",
            Self::Full(_) => "Full",
            Self::Incoming(_) => "Incoming",
            Self::Boxed(_) => "Boxed",
        };
        f.debug_struct(kind).finish_non_exhaustive()
    }
}

impl From<Incoming> for Body {
    fn from(incoming: Incoming) -> Self {
        Self::Incoming(incoming)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Full(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Full(bytes.into())
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Full(text.into())
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::Full(Bytes::from_static(text.as_bytes()))
    }
}

/// Why a body could not be read whole.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body broke off: {0}")]
    Read(BoxError),
}

/// Reads a whole body of at most `limit` bytes into memory.
pub async fn collect<B>(body: B, limit: usize) -> Result<Bytes, CollectError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut body = std::pin::pin!(body);
    if body.size_hint().lower() > limit as u64 {
        return Err(CollectError::TooLarge { limit });
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame
            .map_err(|error| CollectError::Read(error.into()))?
            .into_data()
        else {
            continue;
        };
        if whole.len() + data.len() > limit {
            return Err(CollectError::TooLarge { limit });
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// A body that fails with [`io::ErrorKind::TimedOut`] when its sender is silent for too long.
///
/// Time in which nobody asks for data does not count: a slow reader is not a silent sender.
pub struct IdleTimeout<B> {
    body: B,
    patience: Patience,
}

impl<B> IdleTimeout<B> {
    pub fn new(body: B, limit: Duration) -> Self {
        let patience = Patience::new(limit);
        Self { body, patience }
    }
}

impl<B> fmt::Debug for IdleTimeout<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdleTimeout")
            .field("limit", &self.patience.limit())
            .finish_non_exhaustive()
    }
}

impl<B> http_body::Body for IdleTimeout<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.patience.renew();
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.patience.poll_exhausted(context));
        let message = format!("no data for {} s", self.patience.limit().as_secs());
        Poll::Ready(Some(Err(
            io::Error::new(io::ErrorKind::TimedOut, message).into()
        )))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What comes of a body of which `rest` has been taken out and not been handed on.
pub fn size_hint_behind(rest: &Bytes, body: &impl http_body::Body) -> SizeHint {
    let (inner, rest) = (body.size_hint(), rest.len() as u64);
    let mut hint = SizeHint::new();
    hint.set_lower(inner.lower() + rest);
    if let Some(upper) = inner.upper() {
        hint.set_upper(upper + rest);
    }
    hint
}

/// A body that counts its bytes and, when it is dropped, tells how many went by and whether it
/// ended well.
pub struct Watched<B, F: FnOnce(u64, bool)> {
    body: B,
    bytes: u64,
    ended: bool,
    on_end: Option<F>,
}

impl<B: http_body::Body, F: FnOnce(u64, bool)> Watched<B, F> {
    pub fn new(body: B, on_end: F) -> Self {
        let ended = body.is_end_stream();
        Self {
            body,
            bytes: 0,
            ended,
            on_end: Some(on_end),
        }
    }
}

impl<B, F: FnOnce(u64, bool)> fmt::Debug for Watched<B, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl<B, F> http_body::Body for Watched<B, F>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    F: FnOnce(u64, bool) + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                self.ended = self.body.is_end_stream();
            }
            Some(Err(_)) => {}
            None => self.ended = true,
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

impl<B, F: FnOnce(u64, bool)> Drop for Watched<B, F> {
    fn drop(&mut self) {
        if let Some(on_end) = self.on_end.take() {
            on_end(self.bytes, self.ended);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn collecting_stops_at_the_limit() {
        assert_eq!(collect(Body::from("abc"), 3).await.unwrap(), "abc");
        let error = collect(Body::from("abcd"), 3).await.unwrap_err();
        assert!(matches!(error, CollectError::TooLarge { limit: 3 }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_sender_times_out() {
        let (_sender, body) = http_body_util::channel::Channel::<Bytes, BoxError>::new(1);
        let error = collect(IdleTimeout::new(body, Duration::from_mins(1)), 10)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("no data for 60 s"), "{error}");
    }

    #[tokio::test]
    async fn a_watched_body_tells_its_length_and_its_end() {
        let (told, tells) = mpsc::channel();
        let tell = told.clone();
        collect(
            Watched::new(Body::from("abc"), move |n, ended| {
                tell.send((n, ended)).unwrap();
            }),
            9,
        )
        .await
        .unwrap();
        drop(Watched::new(Body::from("abc"), move |n, ended| {
            told.send((n, ended)).unwrap();
        }));
        assert_eq!(tells.iter().collect::<Vec<_>>(), [(3, true), (0, false)]);
    }
}
