use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use crate::{
    oci::ErrorCode,
    proxy::{Refusal, follow::Followed},
    quota,
    wire::{Body, BoxError},
};

/// A client's body on its way to the registry behind.
///
/// It ends with an error when the client's does, so that the registry never takes a broken
/// upload for a whole one; and it notes that the fault was the client's. Who follows the upload
/// is told what passes.
pub(super) struct Sending {
    body: Body,
    fault: Fault,
    followed: Option<Followed>,
}

/// What went wrong with the client's body, if anything did.
#[derive(Clone, Default)]
pub(super) struct Fault(Arc<OnceLock<Kind>>);

enum Kind {
    BrokeOff,
    /// The listener gave it up.
    Silent,
    /// Its project has no room for it.
    OverLimit(Refusal),
}

impl Sending {
    pub(super) fn new(body: Body, followed: Option<Followed>) -> (Self, Fault) {
        let fault = Fault::default();
        let sending = Self {
            body,
            fault: fault.clone(),
            followed,
        };
        (sending, fault)
    }
}

impl Sending {
    /// Tells a frame, or the end, which may come with the last frame.
    fn tell(&self, frame: Option<&Frame<Bytes>>) {
        let Some(followed) = &self.followed else {
            return;
        };
        if let Some(data) = frame.and_then(Frame::data_ref) {
            followed.tell(data);
        }
        if frame.is_none() || self.body.is_end_stream() {
            followed.end_request();
        }
    }
}

impl Fault {
    /// What to answer a client whose body failed; it mostly is not there any more.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let message = match self.0.get()? {
            Kind::BrokeOff => "the request body broke off",
            Kind::Silent => "no more of the request body came for too long",
            Kind::OverLimit(refusal) => return Some(refusal.clone()),
        };
        Some(Refusal::new(ErrorCode::BadRequest, message))
    }

    /// What to answer, whatever the registry behind says of a body that was cut.
    pub(super) fn over_limit(&self) -> Option<Refusal> {
        match self.0.get()? {
            Kind::OverLimit(refusal) => Some(refusal.clone()),
            Kind::BrokeOff | Kind::Silent => None,
        }
    }

    fn note(&self, error: &BoxError) {
        let timed_out = error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
        self.0.get_or_init(|| {
            if let Some(error) = error.downcast_ref::<quota::Error>() {
                Kind::OverLimit(error.into())
            } else if timed_out {
                Kind::Silent
            } else {
                Kind::BrokeOff
            }
        });
    }
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Err(error)) => {
                self.fault.note(error);
                self.followed = None;
            }
            other => self.tell(other.as_ref().and_then(|frame| frame.as_ref().ok())),
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
