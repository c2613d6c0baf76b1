use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use crate::wire::{Body, BoxError};

/// A request body on its way out, which notes when it last moved.
pub(super) struct Sending {
    body: Body,
    /// Absent for what is in memory whole.
    progress: Option<Arc<Progress>>,
}

/// When a body last moved, in ms since `since`; [`DRAINED`] is added while the peer has taken
/// all there is so far.
struct Progress {
    since: Instant,
    moved_ms: AtomicU64,
}

/// The limits on silence while a request is out. There is no limit on the whole, for a blob may
/// take hours. The peer must take what there is to take within `idle`; once it has, it must
/// answer, or the body must go on, within `answer_within`. A body that can stall should have a
/// limit of its own: who makes it knows better how long its source may be silent.
pub(super) struct Silence {
    progress: Option<Arc<Progress>>,
    idle: Duration,
    answer_within: Duration,
}

impl Silence {
    pub(super) fn watch(
        request: Request<Body>,
        idle: Duration,
        answer_within: Duration,
    ) -> (Request<Sending>, Self) {
        let is_whole = matches!(request.body(), Body::Empty | Body::Full(_));
        let progress = (!is_whole).then(|| Arc::new(Progress::new()));
        let silence = Self {
            progress: progress.clone(),
            idle,
            answer_within,
        };
        (request.map(|body| Sending { body, progress }), silence)
    }

    /// Awaits `answer`; `None` when the silence grew too long.
    pub(super) async fn bound<F: Future>(&self, answer: F) -> Option<F::Output> {
        let mut answer = pin!(answer);
        let start = Instant::now();
        let mut deadline = self.deadline(start);
        loop {
            if let Ok(output) = tokio::time::timeout_at(deadline, answer.as_mut()).await {
                return Some(output);
            }
            let moved = self.deadline(start);
            if moved <= deadline {
                return None;
            }
            deadline = moved;
        }
    }

    fn deadline(&self, start: Instant) -> Instant {
        let Some(progress) = &self.progress else {
            return start + self.answer_within;
        };
        let state = progress.moved_ms.load(Ordering::Relaxed);
        let limit = if state & DRAINED == 0 {
            self.idle
        } else {
            self.answer_within
        };
        progress.since + Duration::from_millis(state & !DRAINED) + limit
    }
}

impl Progress {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            moved_ms: AtomicU64::new(0),
        }
    }

    fn note(&self, flag: u64) {
        let elapsed_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(0);
        self.moved_ms.store(elapsed_ms | flag, Ordering::Relaxed);
    }
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Some(progress) = &self.progress {
            progress.note(if frame.is_pending() { DRAINED } else { 0 });
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// hyper lets go of a body when its last piece is in the write buffer, or the connection broke.
impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(progress) = &self.progress {
            progress.note(DRAINED);
        }
    }
}

const DRAINED: u64 = 1 << 63;
