use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use crate::wire::{Body, BoxError};

/// One body that is handed out as several, each beginning where the one before has ended.
#[derive(Debug)]
pub(super) struct Portions(Arc<Mutex<Whole>>);

#[derive(Debug)]
struct Whole {
    body: Body,
    /// Taken from the body and not handed out yet.
    rest: Bytes,
}

/// So many bytes of the whole; an error where the whole ends before.
struct Portion {
    whole: Arc<Mutex<Whole>>,
    left_bytes: u64,
}

impl Portions {
    pub(super) fn new(body: Body) -> Self {
        let rest = Bytes::new();
        Self(Arc::new(Mutex::new(Whole { body, rest })))
    }

    /// The next bytes. The portion before must have been read to its end.
    pub(super) fn next(&self, size_bytes: u64) -> Body {
        Body::boxed(Portion {
            whole: Arc::clone(&self.0),
            left_bytes: size_bytes,
        })
    }
}

impl Whole {
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, BoxError>> {
        while self.rest.is_empty() {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
            let Some(frame) = frame else {
                let message = "the content ends early";
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, message);
                return Poll::Ready(Err(error.into()));
            };
            self.rest = frame?.into_data().unwrap_or_default();
        }
        Poll::Ready(Ok(std::mem::take(&mut self.rest)))
    }
}

impl http_body::Body for Portion {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.left_bytes == 0 {
            return Poll::Ready(None);
        }
        let whole = Arc::clone(&self.whole);
        let mut whole = whole.lock().unwrap_or_else(PoisonError::into_inner);
        let mut data = ready!(whole.poll_data(context))?;
        let most = usize::try_from(self.left_bytes).unwrap_or(usize::MAX);
        if data.len() > most {
            whole.rest = data.split_off(most);
        }
        self.left_bytes -= data.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.left_bytes == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;

    use super::*;
    use crate::wire::collect;

    fn portions(frames: &[&'static str]) -> Portions {
        let frames: Vec<_> = frames
            .iter()
            .map(|text| Ok::<_, BoxError>(Frame::data(Bytes::from_static(text.as_bytes()))))
            .collect();
        let body = StreamBody::new(futures_util::stream::iter(frames));
        Portions::new(Body::boxed(body))
    }

    #[tokio::test]
    async fn portions_follow_each_other_wherever_frames_end() {
        for frames in [
            &["abcdefgh"][..],
            &["a", "", "bcd", "efgh"],
            &["abcde", "fgh"],
        ] {
            let portions = portions(frames);
            for (size, content) in [(3, "abc"), (3, "def"), (0, ""), (2, "gh")] {
                let portion = collect(portions.next(size), 100).await.unwrap();
                assert_eq!(portion, content, "{frames:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_portion_that_cannot_be_filled_is_an_error() {
        let portions = portions(&["abcd"]);
        collect(portions.next(3), 100).await.unwrap();
        let error = collect(portions.next(2), 100).await.unwrap_err();
        assert!(error.to_string().contains("ends early"), "{error}");
    }
}
