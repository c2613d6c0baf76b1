use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::{
    oci::{Digest, Hasher},
    wire::{Body, BoxError},
};

/// `body`, which fails unless it has this digest and size.
///
/// The last bytes are withheld until the digest is known to be right, so that what is wrong
/// never arrives whole at whoever reads this.
pub fn verified(body: Body, digest: &Digest, size_bytes: u64) -> Body {
    Body::boxed(Verified {
        body,
        hasher: Hasher::new(digest.algorithm()),
        expected: digest.clone(),
        left_bytes: size_bytes,
        is_checked: false,
    })
}

struct Verified {
    body: Body,
    hasher: Hasher,
    expected: Digest,
    left_bytes: u64,
    is_checked: bool,
}

impl Verified {
    fn check(&mut self) -> Result<(), BoxError> {
        self.is_checked = true;
        let actual = self.hasher.clone().finish();
        if actual == self.expected {
            return Ok(());
        }
        let expected = &self.expected;
        Err(invalid(format!(
            "the content has digest {actual}, expected {expected}"
        )))
    }

    fn pass(&mut self, data: &Bytes) -> Result<(), BoxError> {
        let left = self.left_bytes.checked_sub(data.len() as u64);
        self.left_bytes =
            left.ok_or_else(|| invalid("the content is longer than stated".into()))?;
        self.hasher.update(data);
        if self.left_bytes == 0 && !self.is_checked {
            self.check()?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), BoxError> {
        if self.left_bytes > 0 {
            let missing = format!("the content ends {} bytes early", self.left_bytes);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, missing).into());
        }
        if self.is_checked {
            Ok(())
        } else {
            self.check()
        }
    }
}

fn invalid(message: String) -> BoxError {
    io::Error::new(io::ErrorKind::InvalidData, message).into()
}

impl http_body::Body for Verified {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let checked = match ready!(Pin::new(&mut this.body).poll_frame(context)) {
            None => return Poll::Ready(this.end().err().map(Err)),
            Some(Err(error)) => Err(error),
            Some(Ok(frame)) => match frame.data_ref() {
                Some(data) => this.pass(data).map(|()| frame),
                None => Ok(frame),
            },
        };
        Poll::Ready(Some(checked))
    }

    /// Never true before the check: a reader that trusts it would not see the failure.
    fn is_end_stream(&self) -> bool {
        self.is_checked && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::wire::{CollectError, collect};

    async fn read(content: &'static str, of: &str, size: u64) -> Result<Bytes, String> {
        let body = verified(content.into(), &Digest::sha256(of.as_bytes()), size);
        collect(body, 100).await.map_err(|error| match error {
            CollectError::Read(error) => error.to_string(),
            other @ CollectError::TooLarge { .. } => other.to_string(),
        })
    }

    #[tokio::test]
    async fn only_the_right_bytes_pass() {
        assert_eq!(read("abc", "abc", 3).await.unwrap(), "abc");
        assert_eq!(read("", "", 0).await.unwrap(), "");
        for (content, of, size, message) in [
            ("abd", "abc", 3, "expected sha256:ba7816bf"),
            ("", "abc", 0, "expected sha256:ba7816bf"),
            ("abcd", "abc", 3, "longer than stated"),
            ("ab", "abc", 3, "ends 1 bytes early"),
        ] {
            let error = read(content, of, size).await.unwrap_err();
            assert!(error.contains(message), "{content}: {error}");
        }
    }

    #[tokio::test]
    async fn wrong_bytes_never_arrive_whole() {
        let mut body = verified("abd".into(), &Digest::sha256(b"abc"), 3);
        assert!(body.frame().await.unwrap().is_err());
    }
}
